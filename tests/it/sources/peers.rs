//! Sources against the programs and libraries themselves: what the library of a sender signs is accepted, and refused
//! after a change. `tests/all.sh` installs them below `target/tools`; a test of what is not there says so and ends.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use postrider::host::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{newest, source, stranger};
use crate::support::app::send;
use crate::support::programs::{is_here, run};
use crate::support::{Receiver, TestApp, in_time};

/// Below `target/tools`.
fn tool(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(path)
}

/// Whether something of `target/tools` is there; says so when it is not.
fn is_installed(path: &str) -> bool {
    let found = tool(path).exists();
    if !found {
        eprintln!("skipped: target/tools/{path} is not installed (tests/all.sh does it)");
    }
    found
}

const BODY: &str = "{\"type\":\"invoice.paid\",\"id\":\"evt_1\",\"name\":\"Zo\u{eb}\"}";

/// Prints the headers that a sender would send with `BODY`, signed by its own library, which also checks them.
const SIGN: &str = r#"
import datetime, json, sys, time
library, secret, body = sys.argv[1:]
now = int(time.time())
at = datetime.datetime.fromtimestamp(now, tz=datetime.timezone.utc)
if library == "stripe":
    import stripe
    header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=now)
    assert stripe.WebhookSignature.verify_header(body, header, secret, 300)
    headers = {"Stripe-Signature": header}
elif library == "slack_sdk":
    from slack_sdk.signature import SignatureVerifier
    verifier = SignatureVerifier(secret)
    signature = verifier.generate_signature(timestamp=str(now), body=body)
    headers = {"X-Slack-Request-Timestamp": str(now), "X-Slack-Signature": signature}
    assert verifier.is_valid_request(body, headers)
elif library == "standardwebhooks":
    from standardwebhooks import Webhook
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = Webhook(secret).sign("msg_1", at, body)
    Webhook(secret).verify(body, headers)
elif library == "svix":
    from svix.webhooks import Webhook
    headers = {"svix-id": "msg_1", "svix-timestamp": str(now)}
    headers["svix-signature"] = Webhook(secret).sign("msg_1", at, body)
    Webhook(secret).verify(body, headers)
print(json.dumps(headers))
"#;

/// The same by GitHub's own library.
const SIGN_GITHUB: &str = "import { Webhooks } from '@octokit/webhooks';\n\
    const [secret, body] = process.argv.slice(2);\n\
    const webhooks = new Webhooks({ secret });\n\
    const signature = await webhooks.sign(body);\n\
    if (!(await webhooks.verify(body, signature))) throw new Error('it does not verify');\n\
    console.log(JSON.stringify({ 'X-Hub-Signature-256': signature, 'X-GitHub-Event': 'push', 'X-GitHub-Delivery': '1' }));\n";

/// A source of a recipe takes the request as it was signed, and no other.
async fn accepts_only_what_was_signed(preset: &str, secret: &str, headers: &Value) {
    let app = TestApp::start().await;
    // The library signs with the time of the machine.
    app.clock.set(SystemClock.now());
    let (id, path) =
        source(&app, json!({ "preset": { "name": preset, "inputs": { "secret": secret } } })).await;
    let ask = |body: String, leave: Option<&str>| {
        let mut request = stranger(&app, Method::POST, &path).header("content-type", "application/json");
        for (name, value) in headers.as_object().unwrap() {
            if leave != Some(name) {
                request = request.header(name, value.as_str().unwrap());
            }
        }
        send(request.body(body))
    };
    for body in [BODY.replace("paid", "void"), format!("{BODY} "), String::new()] {
        ask(body, None).await.expect(401);
        assert_eq!(newest(&app, &id).await.0, "rejected", "{preset}");
    }
    for name in headers.as_object().unwrap().keys().filter(|name| !name.starts_with("X-GitHub-")) {
        ask(BODY.to_owned(), Some(name)).await.expect(401);
    }
    ask(BODY.to_owned(), None).await.expect(200);
    assert_eq!(newest(&app, &id).await.0, "accepted", "{preset}");
    assert_eq!(app.get("/v1/events").await.expect(200)["meta"]["total"], 1);
}

async fn signed_by_python(library: &str, preset: &str, secret: &str) {
    if !is_here("python3") || !is_installed(&format!("peers/{library}")) {
        return;
    }
    let packages = tool("peers").display().to_string();
    let arguments = ["-c", SIGN, library, secret, BODY];
    let output = run(Path::new("."), "python3", &arguments, &[("PYTHONPATH", &packages)]).await;
    assert!(output.status.success(), "{library}: {}", String::from_utf8_lossy(&output.stderr));
    let headers = serde_json::from_slice(&output.stdout).expect("headers");
    accepts_only_what_was_signed(preset, secret, &headers).await;
}

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn what_the_library_of_stripe_signs_is_accepted() {
    signed_by_python("stripe", "stripe", "whsec_test").await;
}

#[tokio::test]
async fn what_the_library_of_slack_signs_is_accepted() {
    signed_by_python("slack_sdk", "slack", "8f742231b10e8888abcd99yyyzzz85a5").await;
}

#[tokio::test]
async fn what_the_library_of_standard_webhooks_signs_is_accepted() {
    signed_by_python("standardwebhooks", "standard", STANDARD_SECRET).await;
}

#[tokio::test]
async fn what_the_library_of_svix_signs_is_accepted() {
    signed_by_python("svix", "standard", STANDARD_SECRET).await;
}

#[tokio::test]
async fn what_the_library_of_github_signs_is_accepted() {
    if !is_here("node") || !is_installed("peers-node/node_modules/@octokit/webhooks") {
        return;
    }
    // Where node finds the package.
    let dir = tempfile::tempdir_in(tool("peers-node")).unwrap();
    std::fs::write(dir.path().join("sign.mjs"), SIGN_GITHUB).unwrap();
    let secret = "It's a Secret to Everybody";
    let output = run(dir.path(), "node", &["sign.mjs", secret, BODY], &[]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let headers = serde_json::from_slice(&output.stdout).expect("headers");
    accepts_only_what_was_signed("github", secret, &headers).await;
}

/// The newest event: its type and the summary that a webhook would send.
async fn delivered(receiver: &Receiver) -> (String, Value) {
    let got = receiver.next().await.json();
    (got["type"].as_str().unwrap().to_owned(), got["summary"].clone())
}

/// A webhook that sends the summary of all events.
async fn with_summaries(app: &TestApp, receiver: &Receiver) {
    let body = json!({
        "type": "{{ event.type }}",
        "summary": {
            "title": "{{ summary.title }}", "message": "{{ summary.message }}", "level": "{{ summary.level }}",
        },
    });
    app.webhook(&receiver.url("/"), json!({ "request": { "body": body } })).await;
}

#[tokio::test]
async fn apprise_sends_to_a_source() {
    if !is_here("python3") || !is_installed("peers/apprise") {
        return;
    }
    const NOTIFY: &str = "import sys, apprise\na = apprise.Apprise()\nassert a.add(sys.argv[1])\n\
        assert a.notify(title='Backup \"nas\"', body='line 1\\nline 2', notify_type='failure')\n";
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    with_summaries(&app, &receiver).await;
    let (_, path) = source(&app, json!({ "preset": { "name": "apprise" } })).await;
    let url = format!("{}{path}", app.base.replace("http://", "json://"));
    let packages = tool("peers").display().to_string();
    let environment = [("PYTHONPATH", packages.as_str()), ("no_proxy", "*")];
    let output = run(Path::new("."), "python3", &["-c", NOTIFY, &url], &environment).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json!({ "title": "Backup \"nas\"", "message": "line 1\nline 2", "level": "error" });
    assert_eq!(delivered(&receiver).await, ("apprise.failure".to_owned(), summary));
}

/// A program that is ended with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended long since.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts Alertmanager in a directory, and gives its address.
fn alertmanager(dir: &Path, program: &Path) -> (Ending, String) {
    let mut child = Command::new(program)
        .args(["--config.file=alertmanager.yml", "--web.listen-address=127.0.0.1:0"])
        .args(["--cluster.listen-address=", "--storage.path=data"])
        .current_dir(dir)
        .env("no_proxy", "*")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = String::new();
    let address = lines.by_ref().find_map(|line| {
        said += &line;
        let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
        Some(address.trim().to_owned())
    });
    // What it says later is read, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    (Ending(child), address.unwrap_or_else(|| panic!("it did not start: {said}")))
}

#[tokio::test]
async fn alertmanager_sends_to_a_source() {
    const PROGRAM: &str = "alertmanager/usr/bin/prometheus-alertmanager";
    if !is_installed(PROGRAM) {
        return;
    }
    if !Path::new("/usr/share/prometheus/alertmanager/default.tmpl").exists() {
        eprintln!(
            "skipped: Alertmanager has no templates in /usr/share/prometheus (tests/all.sh copies them as root)"
        );
        return;
    }
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    with_summaries(&app, &receiver).await;
    let preset = json!({ "name": "alertmanager", "inputs": { "token": "long and random" } });
    let (id, path) = source(&app, json!({ "preset": preset })).await;
    let dir = TempDir::new().unwrap();
    let config = format!(
        "route: {{receiver: postrider, group_by: [alertname], group_wait: 1ms, group_interval: 100ms}}\n\
         receivers:\n- name: postrider\n  webhook_configs: [{{url: '{}{path}', \
         http_config: {{authorization: {{credentials: long and random}}}}}}]\n",
        app.base
    );
    std::fs::write(dir.path().join("alertmanager.yml"), config).unwrap();
    let (_alertmanager, address) = alertmanager(dir.path(), &tool(PROGRAM));
    let now = SystemClock.now().to_string();
    let mut alert = json!({
        "labels": { "alertname": "Down", "severity": "critical", "instance": "nas:9100" },
        "annotations": { "summary": "nas is \"down\"" },
        "startsAt": now,
    });
    let post = |alert: &Value| {
        let request =
            app.client.post(format!("http://{address}/api/v2/alerts")).body(json!([alert]).to_string());
        send(request.header("content-type", "application/json"))
    };
    assert_eq!(post(&alert).await.status, 200);
    let summary = json!({
        "title": "FIRING: Down (1)", "message": "nas:9100 nas is \"down\"", "level": "error",
    });
    assert_eq!(delivered(&receiver).await, ("alertmanager.firing".to_owned(), summary));
    // The delivery may be there before the answer's row is read.
    in_time("the row", async {
        while newest(&app, &id).await.0 != "accepted" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    alert["endsAt"] = json!(now);
    assert_eq!(post(&alert).await.status, 200);
    assert_eq!(delivered(&receiver).await.0, "alertmanager.resolved");
}
