//! What the server says after its start works when it is pasted.

use super::*;
use crate::support::programs::is_here;

/// Starts a server, pastes what its greeting shows, in another directory, and waits for the delivery. Gives what
/// came out.
async fn pasted(program: &Program, arguments: &str, receiver: &Receiver) -> String {
    let child = program.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut server = Ending(child);
    let mut stdout = BufReader::new(server.0.stdout.take().unwrap());
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        while !text.ends_with("\n\n") || !text.contains("/v1/events") {
            assert_ne!(stdout.read_line(&mut text).unwrap(), 0, "it ended: {text}");
        }
        text
    });
    let greeting = in_time("the greeting", reading).await.unwrap();
    let (_, commands) = greeting.split_once("another terminal:\n").unwrap();
    let commands = commands.replace("https://example.com/hook", &receiver.url("/hook"));
    let elsewhere = TempDir::new().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &commands]).current_dir(elsewhere.path()).env("no_proxy", "*");
    let ran = programs::ended(shell).await;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{greeting}{said}{}", String::from_utf8_lossy(&ran.stderr));
    let got = receiver.next().await;
    assert_eq!(got.header("x-webhook-event"), Some("license.assigned"));
    assert_eq!(got.json(), json!({ "license": "L-1" }));
    said
}

#[tokio::test]
async fn what_the_greeting_shows_leads_to_a_delivered_webhook_from_any_directory() {
    if !is_here("curl") {
        return;
    }
    let receiver = Receiver::start().await;
    let mut program = Program::new();
    program.data = "it's my data".to_owned();
    fs::write(program.path().join("own.toml"), "auth.key_prefix = \"own\"\n").unwrap();
    for listen in ["127.0.0.1:0", "unix:own.sock"] {
        let said = pasted(&program, &format!("--config own.toml --listen {listen}"), &receiver).await;
        assert!(said.contains("signing_secret"), "{listen}: {said}");
    }
    let (_, keys, _) = program.run("--config own.toml key list --json").await;
    assert!(keys.contains("own_"), "they begin as the file says: {keys}");
}

#[tokio::test]
async fn a_greeting_that_nobody_reads_stops_no_server() {
    let mut program = Program::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    program.env.push(("POSTRIDER_LISTEN", format!("127.0.0.1:{port}")));
    let mut command = program.command("serve");
    let mut server = Ending(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    drop(server.0.stdout.take());
    in_time("the server", async {
        while program.run("healthcheck").await.0 != Some(0) {
            assert_eq!(server.0.try_wait().unwrap(), None, "it ended");
        }
    })
    .await;
}
