//! The code for senders on `docs/sending.md`, run in its languages: against a server, and against one that is
//! overloaded at first. A language that is not on the machine is left out, with a line that says so.

use super::docs::{blocks, page};
use super::*;
use crate::support::programs::{is_here, run};

/// A language: its blocks on the page, the program that runs it, the file, and the arguments.
struct Language {
    block: &'static str,
    program: &'static str,
    file: &'static str,
    args: &'static [&'static str],
}

/// Runs the code of the page in this language. It must succeed.
async fn send(language: &Language, base: &str, token: &str) -> String {
    let dir = TempDir::new().unwrap();
    let mut code = blocks(&page("sending.md"), language.block);
    assert_eq!(code.len(), 1, "{}", language.block);
    fs::write(dir.path().join(language.file), code.remove(0)).unwrap();
    let env = [("POSTRIDER_URL", base), ("POSTRIDER_TOKEN", token), ("no_proxy", "*"), ("NO_PROXY", "*")];
    let output = run(dir.path(), language.program, language.args, &env).await;
    let (said, complained) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    assert!(output.status.success(), "{said:?} {complained:?}");
    said.unwrap()
}

async fn posts_an_event_and_repeats_it_when_the_server_is_overloaded(language: Language) {
    if !is_here(language.program) {
        return;
    }
    // A real server: the event is stored.
    let program = Program::new();
    let running = program.serve().await;
    let said = send(&language, &running.base, &running.token).await;
    assert!(said.contains("evt_"), "{said}");
    let events = running.request(Method::GET, "/v1/events").send().await.unwrap().text().await.unwrap();
    let events: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(events["data"].as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events["data"][0]["attributes"]["event_type"], "license.assigned");

    // One that is overloaded at first: the same request comes again.
    let server = Receiver::start().await;
    server.reply(
        Reply::status(202)
            .header("content-type", "application/json")
            .body(r#"{"data":{"type":"event","id":"evt_0198c2f46a1e7c339d0a5b7e3f1c2a48","attributes":{}}}"#),
    );
    for status in [503, 429] {
        server.reply_once(Reply::status(status).header("retry-after", "0"));
    }
    let said = send(&language, server.url("/").trim_end_matches('/'), "prk_1_2").await;
    assert!(said.contains("evt_0198c2f46a1e7c339d0a5b7e3f1c2a48"), "{said}");
    let got = server.next_n(3).await;
    for request in &got {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/events"));
        assert_eq!(request.header("authorization"), Some("Bearer prk_1_2"));
        assert_eq!(request.header("idempotency-key"), got[0].header("idempotency-key"));
        assert!(request.header("idempotency-key").is_some() && request.body == got[0].body);
        assert_eq!(
            request.json(),
            json!({ "event_type": "license.assigned", "payload": { "license": "L-1" } })
        );
    }

    // One that refuses it: no second request.
    let server = Receiver::start().await;
    server.reply(Reply::status(422).body("no"));
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(language.file), &blocks(&page("sending.md"), language.block)[0]).unwrap();
    if language.program != "bash" {
        let base = server.url("/");
        let env = [
            ("POSTRIDER_URL", base.trim_end_matches('/')),
            ("POSTRIDER_TOKEN", "prk_1_2"),
            ("no_proxy", "*"),
        ];
        let output = run(dir.path(), language.program, language.args, &env).await;
        assert!(!output.status.success());
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn the_shell_code_posts_an_event() {
    let args = &["send.sh", "license.assigned", r#"{"license":"L-1"}"#, "license-L-1-assigned"];
    if is_here("curl") {
        let language = Language { block: "bash", program: "bash", file: "send.sh", args };
        posts_an_event_and_repeats_it_when_the_server_is_overloaded(language).await;
    }
}

#[tokio::test]
async fn the_python_code_posts_an_event() {
    let language = Language { block: "python", program: "python3", file: "send.py", args: &["send.py"] };
    posts_an_event_and_repeats_it_when_the_server_is_overloaded(language).await;
}

#[tokio::test]
async fn the_node_code_posts_an_event() {
    let language = Language { block: "js", program: "node", file: "send.mjs", args: &["send.mjs"] };
    posts_an_event_and_repeats_it_when_the_server_is_overloaded(language).await;
}

#[tokio::test]
async fn the_php_code_posts_an_event() {
    let language = Language { block: "php", program: "php", file: "send.php", args: &["send.php"] };
    posts_an_event_and_repeats_it_when_the_server_is_overloaded(language).await;
}

#[tokio::test]
async fn the_go_code_posts_an_event() {
    let language = Language { block: "go", program: "go", file: "send.go", args: &["run", "send.go"] };
    posts_an_event_and_repeats_it_when_the_server_is_overloaded(language).await;
}

#[tokio::test]
async fn the_java_code_posts_an_event() {
    let language = Language { block: "java", program: "java", file: "Send.java", args: &["Send.java"] };
    posts_an_event_and_repeats_it_when_the_server_is_overloaded(language).await;
}

#[tokio::test]
async fn the_csharp_code_posts_an_event() {
    if !is_here("dotnet") {
        return;
    }
    // A file that runs by itself needs .NET 10.
    let version = run(Path::new("."), "dotnet", &["--version"], &[]).await;
    let version = String::from_utf8(version.stdout).unwrap();
    let major: u32 = version.split('.').next().and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    if major < 10 {
        eprintln!("skipped: dotnet {version} cannot run a file by itself");
        return;
    }
    let language =
        Language { block: "csharp", program: "dotnet", file: "send.cs", args: &["run", "send.cs"] };
    posts_an_event_and_repeats_it_when_the_server_is_overloaded(language).await;
}
