//! The code that `/v1/webhooks/{id}/verification` gives away, run in its languages on requests that the
//! server really sent, and on some that it did not. A language that is not on the machine is left out,
//! with a line that says so.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::Webhook;
use crate::support::programs::{has_python_with, is_here, run};
use crate::support::receiver::Received;
use crate::support::{Receiver, TestApp};

const PAYLOAD: &str = "{\"name\":\"Zo\u{eb}\",\"n\":1.0}";

/// Where the code finds the secret.
const SECRET: &str = "WEBHOOK_SECRET";
/// A secret of nobody here.
const OTHER_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Genuine requests and forged ones, and the code of a webhook.
struct Cases {
    /// `{"headers","body"}`; the first ones are genuine.
    cases: Vec<Value>,
    expected: Vec<&'static str>,
    hook: Webhook,
    snippets: Vec<Value>,
    dir: TempDir,
}

/// The signature that the published library makes.
fn signed(secret: &str, id: &str, at: i64, body: &str) -> String {
    standardwebhooks::Webhook::new(secret).unwrap().sign(id, at, body.as_bytes()).unwrap()
}

fn case(got: &Received) -> Value {
    let headers: serde_json::Map<String, Value> =
        got.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({ "headers": headers, "body": String::from_utf8(got.body.to_vec()).unwrap() })
}

/// The same case with another value at a header, or without it.
fn with(case: &Value, name: &str, value: Option<&str>) -> Value {
    let mut case = case.clone();
    let headers = case["headers"].as_object_mut().unwrap();
    headers.remove(name);
    headers.extend(value.map(|value| (name.to_owned(), json!(value))));
    case
}

impl Cases {
    async fn new(encrypted: bool) -> Cases {
        let app = TestApp::with(|c| c.signing.headers = vec!["X-Signature-MexCep".to_owned()]).await;
        // The code judges the age of a request by the real time.
        let now = postrider::host::clock::Clock::now(&postrider::host::clock::SystemClock);
        app.clock.set(now);
        let receiver = Receiver::start().await;
        let hook = app.webhook(&receiver.url("/"), json!({ "encrypted": encrypted })).await;
        let payload: Box<serde_json::value::RawValue> = serde_json::from_str(PAYLOAD).unwrap();
        let body = format!("{{\"event_type\":\"a.b\",\"payload\":{payload}}}");
        let post = app.request(reqwest::Method::POST, "/v1/events");
        crate::support::app::send(crate::support::app::json_body(post, body)).await.expect(202);
        let genuine = case(&receiver.next().await);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (id, sent) = (text(&genuine["headers"]["webhook-id"]), text(&genuine["body"]));
        let at = now.as_secs();
        let mut tampered = genuine.clone();
        tampered["body"] = json!(format!("{sent} "));
        let stamped = |off: i64| {
            let case = with(&genuine, "webhook-timestamp", Some(&(at + off).to_string()));
            with(&case, "webhook-signature", Some(&signed(&hook.secret, &id, at + off, &sent)))
        };
        let forged = signed(OTHER_SECRET, &id, at, &sent);
        let rotated = format!("{forged} {}", text(&genuine["headers"]["webhook-signature"]));
        let zeros = format!("sha256={}", "0".repeat(64));
        // Of Standard Webhooks first, then those that also tell in the plain scheme.
        let cases = vec![
            genuine.clone(),
            with(&genuine, "webhook-signature", Some(&rotated)),
            stamped(-200),
            stamped(-1_000),
            stamped(1_000),
            with(&genuine, "webhook-signature", Some(&forged)),
            with(&genuine, "webhook-signature", None),
            with(&genuine, "webhook-timestamp", None),
            with(&genuine, "webhook-timestamp", Some("soon")),
            with(&genuine, "webhook-id", Some("evt_1")),
            tampered,
            with(&genuine, "x-signature-mexcep", Some(&zeros)),
            with(&genuine, "x-signature-mexcep", None),
        ];
        let mut expected = vec!["refused"; cases.len()];
        for genuine in [0, 1, 2, 11, 12] {
            expected[genuine] = "accepted";
        }
        let answer = app.get(&format!("/v1/webhooks/{}/verification", hook.id)).await.attributes();
        let snippets = answer["snippets"].as_array().unwrap().clone();
        Cases { cases, expected, hook, snippets, dir: TempDir::new().unwrap() }
    }

    /// What the plain scheme says of the same cases: it covers the body only.
    fn expected_plain(&self) -> Vec<&'static str> {
        let mut expected = vec!["accepted"; self.cases.len()];
        expected[10..].fill("refused");
        expected
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Puts the code whose title begins so into a file.
    fn snippet(&self, language: &str, title: &str, file: &str) {
        let fits = |s: &&Value| s["language"] == language && s["title"].as_str().unwrap().starts_with(title);
        let found = self.snippets.iter().find(fits).unwrap_or_else(|| panic!("{language}: {title}"));
        self.write(file, found["code"].as_str().unwrap());
    }

    /// Runs a program in the directory with the cases, and gives its lines.
    async fn run(&self, program: &str, args: &[&str]) -> Vec<String> {
        self.write("cases.json", &json!(self.cases).to_string());
        let output = run(self.dir.path(), program, args, &[(SECRET, &self.hook.secret)]).await;
        assert!(output.status.success(), "{program}: {output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Runs both ways of verifying, with a driver that prints a line for each case.
async fn both_schemes(language: &str, file: &str, program: &str, args: &[&str], driver: (&str, &str)) {
    if !is_here(program) {
        return;
    }
    let cases = Cases::new(false).await;
    cases.write(driver.0, driver.1);
    cases.snippet(language, "Verify webhook-signature", file);
    assert_eq!(cases.run(program, args).await, cases.expected, "{language}, Standard Webhooks");
    cases.snippet(language, "Verify X-Signature-MexCep", file);
    assert_eq!(cases.run(program, args).await, cases.expected_plain(), "{language}, plain");
}

/// Decrypts a body that the server sent, with a driver that prints it, or `refused`.
async fn decrypts(language: &str, file: &str, program: &str, args: &[&str], driver: (&str, &str)) {
    let cases = Cases::new(true).await;
    cases.write(driver.0, driver.1);
    cases.snippet(language, "Decrypt", file);
    let jwe = cases.cases[0]["body"].as_str().unwrap();
    cases.write("body.jwe", jwe);
    let output = run(cases.dir.path(), program, args, &[(SECRET, &cases.hook.secret)]).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), PAYLOAD, "{output:?}");
    let other = run(cases.dir.path(), program, args, &[(SECRET, OTHER_SECRET)]).await;
    assert!(!other.status.success() && other.stdout.is_empty(), "another secret: {other:?}");
}

const PYTHON: &str = "import json\nfrom snippet import verify\n\
    for case in json.load(open('cases.json')):\n    \
    print('accepted' if verify(case['headers'], case['body'].encode()) else 'refused')\n";

#[tokio::test]
async fn the_python_code_verifies() {
    both_schemes("python", "snippet.py", "python3", &["main.py"], ("main.py", PYTHON)).await;
}

#[tokio::test]
async fn the_python_code_decrypts() {
    if !has_python_with("cryptography").await {
        return;
    }
    let driver = "import sys\nfrom snippet import decrypt\n\
        sys.stdout.buffer.write(decrypt(open('body.jwe', 'rb').read()))\n";
    decrypts("python", "snippet.py", "python3", &["main.py"], ("main.py", driver)).await;
}

const NODE: &str = "import { readFileSync } from 'node:fs';\nimport { verify } from './snippet.mjs';\n\
    for (const { headers, body } of JSON.parse(readFileSync('cases.json')))\n  \
    console.log(verify(headers, Buffer.from(body)) ? 'accepted' : 'refused');\n";

#[tokio::test]
async fn the_node_code_verifies() {
    both_schemes("node", "snippet.mjs", "node", &["main.mjs"], ("main.mjs", NODE)).await;
}

#[tokio::test]
async fn the_node_code_decrypts() {
    if is_here("node") {
        let driver = "import { readFileSync } from 'node:fs';\nimport { decrypt } from './snippet.mjs';\n\
            process.stdout.write(decrypt(readFileSync('body.jwe')));\n";
        decrypts("node", "snippet.mjs", "node", &["main.mjs"], ("main.mjs", driver)).await;
    }
}

const PHP: &str = "<?php require 'snippet.php';\n\
    foreach (json_decode(file_get_contents('cases.json'), true) as $case)\n    \
    echo verify($case['headers'], $case['body']) ? \"accepted\\n\" : \"refused\\n\";\n";

#[tokio::test]
async fn the_php_code_verifies() {
    both_schemes("php", "snippet.php", "php", &["main.php"], ("main.php", PHP)).await;
}

#[tokio::test]
async fn the_php_code_decrypts() {
    if is_here("php") {
        let driver = "<?php ini_set('display_errors', 'stderr'); require 'snippet.php';\n\
            echo decrypt(file_get_contents('body.jwe'));\n";
        decrypts("php", "snippet.php", "php", &["main.php"], ("main.php", driver)).await;
    }
}

const GO: &str = r#"package main

import ("encoding/json"; "fmt"; "net/http"; "os")

func main() {
	text, _ := os.ReadFile("cases.json")
	var cases []struct { Headers map[string]string; Body string }
	if err := json.Unmarshal(text, &cases); err != nil { panic(err) }
	for _, one := range cases {
		header := http.Header{}
		for name, value := range one.Headers { header.Set(name, value) }
		if verify(header, []byte(one.Body)) { fmt.Println("accepted") } else { fmt.Println("refused") }
	}
}
"#;

#[tokio::test]
async fn the_go_code_verifies() {
    let args = ["run", "main.go", "snippet.go"];
    both_schemes("go", "snippet.go", "go", &args, ("main.go", GO)).await;
}

#[tokio::test]
async fn the_go_code_decrypts() {
    if is_here("go") {
        let driver = "package main\n\nimport \"os\"\n\nfunc main() {\n\tbody, _ := os.ReadFile(\"body.jwe\")\n\t\
            plain, err := decrypt(body)\n\tif err != nil { os.Exit(1) }\n\tos.Stdout.Write(plain)\n}\n";
        decrypts("go", "snippet.go", "go", &["run", "main.go", "snippet.go"], ("main.go", driver)).await;
    }
}

const CSHARP: &str = r#"using System; using System.Collections.Generic; using System.IO; using System.Text; using System.Text.Json;
foreach (var one in JsonDocument.Parse(File.ReadAllText("cases.json")).RootElement.EnumerateArray()) {
    var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
    foreach (var h in one.GetProperty("headers").EnumerateObject()) headers[h.Name] = h.Value.GetString()!;
    var body = Encoding.UTF8.GetBytes(one.GetProperty("body").GetString()!);
    Console.WriteLine(Webhook.Verify(n => headers.GetValueOrDefault(n), body) ? "accepted" : "refused");
}
"#;

#[tokio::test]
async fn the_csharp_code_verifies() {
    if is_here("dotnet") {
        let cases = Cases::new(false).await;
        let project = "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup><OutputType>Exe</OutputType>\
            <TargetFramework>net8.0</TargetFramework><Nullable>enable</Nullable></PropertyGroup></Project>";
        cases.write("snippet.csproj", project);
        cases.write("Main.cs", CSHARP);
        cases.snippet("csharp", "Verify webhook-signature", "Snippet.cs");
        assert_eq!(cases.run("dotnet", &["run"]).await, cases.expected);
        cases.snippet("csharp", "Verify X-Signature-MexCep", "Snippet.cs");
        assert_eq!(cases.run("dotnet", &["run"]).await, cases.expected_plain());
    }
}

#[tokio::test]
async fn the_shell_code_verifies() {
    if !is_here("bash") || !is_here("openssl") {
        return;
    }
    let cases = Cases::new(false).await;
    cases.snippet("bash", "Verify webhook-signature", "standard.sh");
    cases.snippet("bash", "Verify X-Signature-MexCep", "plain.sh");
    for (i, case) in cases.cases.iter().enumerate() {
        let headers = case["headers"].as_object().unwrap().iter();
        let lines: String = headers.map(|(n, v)| format!("{n}: {}\r\n", v.as_str().unwrap())).collect();
        cases.write("headers", &lines);
        cases.write("body", case["body"].as_str().unwrap());
        for (file, expected) in [("standard.sh", cases.expected[i]), ("plain.sh", cases.expected_plain()[i])]
        {
            let args = [file, "headers", "body"];
            let output = run(cases.dir.path(), "bash", &args, &[(SECRET, &cases.hook.secret)]).await;
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(said.starts_with(expected), "{file}, case {i}: {said}");
            assert_eq!(output.status.success(), expected == "accepted");
        }
    }
}

#[tokio::test]
async fn the_shell_code_sends_what_the_server_would() {
    if !["bash", "openssl", "curl"].into_iter().all(is_here) {
        return;
    }
    let app = TestApp::start().await;
    app.clock.set(postrider::host::clock::Clock::now(&postrider::host::clock::SystemClock));
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let answer = app.get(&format!("/v1/webhooks/{}/verification", hook.id)).await.attributes();
    let send = answer["snippets"].as_array().unwrap().iter();
    let mut send = send.filter(|s| s["title"] == "Send your receiver a signed request (curl)");
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("send.sh"), send.next().unwrap()["code"].as_str().unwrap()).unwrap();
    std::fs::write(dir.path().join("body"), PAYLOAD).unwrap();
    let output =
        run(dir.path(), "bash", &["send.sh", &receiver.url("/"), "body"], &[(SECRET, &hook.secret)]).await;
    assert!(output.status.success(), "{output:?}");
    let judged = app.post(&format!("/v1/webhooks/{}/verify", hook.id), case(&receiver.next().await)).await;
    assert_eq!(judged.attributes()["valid"], json!(true), "{}", judged.text);
    assert_eq!(judged.attributes()["checks"].as_array().unwrap().len(), 2);
}

/// The Rust code, compiled in: it is written for the crates of this project.
#[allow(clippy::disallowed_methods, unreachable_pub, reason = "code for others, with their clock")]
mod rust {
    pub(super) mod decrypt {
        include!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/snippets/rust/decrypt.rs"));
    }
    pub(super) mod plain {
        include!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/snippets/rust/plain.rs"));
    }
    pub(super) mod verify {
        include!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/snippets/rust/verify.rs"));
    }
}

const RUST_SAYS: &str = "the rust code says: ";

/// It reads the environment, so it runs in a process of its own.
#[tokio::test]
async fn the_rust_code_verifies_and_decrypts() {
    for encrypted in [false, true] {
        let cases = Cases::new(encrypted).await;
        let child = std::env::current_exe().unwrap();
        let args = ["--exact", "v1::snippets::the_rust_child", "--ignored", "--nocapture"];
        let said = cases.run(child.to_str().unwrap(), &args).await;
        let said: Vec<Vec<&str>> = said
            .iter()
            .filter_map(|line| Some(line.split_once(RUST_SAYS)?.1.splitn(3, ' ').collect()))
            .collect();
        assert_eq!(said.iter().map(|line| line[0]).collect::<Vec<_>>(), cases.expected);
        assert_eq!(said.iter().map(|line| line[1]).collect::<Vec<_>>(), cases.expected_plain());
        assert_eq!(said[0][2], if encrypted { PAYLOAD } else { "-" });
    }
}

#[test]
#[ignore = "runs as a child of another test"]
fn the_rust_child() {
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read("cases.json").unwrap()).unwrap();
    for case in cases {
        let text = case["body"].as_str().unwrap();
        // The file is written for the default header; the server would have put the other name in.
        let header = |name: &str| match name {
            "x-webhook-signature" => case["headers"]["x-signature-mexcep"].as_str(),
            name => case["headers"][name].as_str(),
        };
        let word = |accepted| if accepted { "accepted" } else { "refused" };
        let (standard, plain) =
            (rust::verify::verify(header, text.as_bytes()), rust::plain::verify(header, text.as_bytes()));
        let opened = rust::decrypt::decrypt(text).map_or("-".to_owned(), |b| String::from_utf8(b).unwrap());
        println!("{RUST_SAYS}{} {} {opened}", word(standard), word(plain));
    }
}
