//! Alerts by e-mail to a real mail server: aiosmtpd, in each of the three ways to connect.

use super::*;
use crate::support::certificates::Authority;
use crate::support::programs::is_here;

/// Prints its port, and each message that it gets as a line of JSON.
const SERVER: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
mode = sys.argv[1]
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos,
            "tls": server.transport.get_extra_info("sslcontext") is not None,
            "auth": bool(session.authenticated), "body": envelope.content.decode()}), flush=True)
        return "250 OK"
def check(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"postrider", b"s3cret w0rd"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
async def main():
    def make():
        options = dict(hostname="mail.test", authenticator=check)
        if mode == "starttls":
            options.update(tls_context=context, require_starttls=True)
        elif mode == "implicit":
            options.update(auth_require_tls=False)
        return SMTP(Handler(), **options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if mode == "implicit" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

/// Where tests/all.sh installs the package unless Python has it.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/aiosmtpd");

fn has_aiosmtpd() -> bool {
    if !is_here("python3") {
        return false;
    }
    let import = Command::new("python3").args(["-c", "import aiosmtpd"]).env("PYTHONPATH", PACKAGES).output();
    let found = import.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no python3 with the package aiosmtpd on this machine");
    }
    found
}

/// Starts a mail server in a directory: its process, its output, and its port.
fn mail_server(dir: &Path, mode: &str) -> (Ending, BufReader<ChildStdout>, u64) {
    let mut child = Command::new("python3")
        .args(["-c", SERVER, mode])
        .current_dir(dir)
        .env("PYTHONPATH", PACKAGES)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    (Ending(child), stdout, line.trim().parse().expect("it prints its port"))
}

#[tokio::test]
async fn alerts_are_mailed_with_starttls_with_implicit_tls_and_without() {
    if !has_aiosmtpd() {
        return;
    }
    let mut program = Program::new();
    let authority = Authority::new();
    let (certificate, key) = authority.files(&["127.0.0.1", "localhost"]);
    for (name, text) in [("ca.pem", authority.pem()), ("server.pem", certificate), ("server.key", key)] {
        fs::write(program.path().join(name), text).unwrap();
    }
    program.env.push(("SSL_CERT_FILE", program.path().join("ca.pem").display().to_string()));
    let running = program.serve().await;
    for mode in ["starttls", "implicit", "none"] {
        let (_server, mut stdout, port) = mail_server(program.path(), mode);
        let mut target = json!({
            "form": "email", "host": "127.0.0.1", "port": port, "tls": mode, "from": "postrider@example.com",
            "to": ["ops@example.com", "b@example.com"],
        });
        if mode != "none" {
            target["user"] = json!("postrider");
            target["password"] = json!("s3cret w0rd");
        }
        let made = running.post("/admin/api/alerts", target).await;
        let test = format!("/admin/api/alerts/{}/test", made["id"].as_str().unwrap());
        let tried = running.post(&test, json!({ "kind": "webhook_recovered" })).await;
        assert_eq!((&tried["sent"], &tried["error"]), (&json!(true), &Value::Null), "{mode}");
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| line)
        });
        let line = in_time("the message", reading).await.unwrap().unwrap();
        let got: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&got["tls"], &got["auth"]), (&json!(mode != "none"), &json!(mode != "none")), "{mode}");
        assert_eq!(got["from"], "postrider@example.com");
        assert_eq!(got["to"], json!(["ops@example.com", "b@example.com"]));
        let body = got["body"].as_str().unwrap();
        assert!(body.contains("Subject: Test: Webhook \"Example\" works again"), "{body}");
        assert!(body.contains("Auto-Submitted: auto-generated"), "{body}");
    }
    // A server that nobody vouches for, and one that does not speak TLS.
    let other = Authority::new();
    let (certificate, key) = other.files(&["127.0.0.1"]);
    fs::write(program.path().join("server.pem"), certificate).unwrap();
    fs::write(program.path().join("server.key"), key).unwrap();
    for (mode, tls, said) in
        [("starttls", "starttls", "no TLS with"), ("none", "starttls", "does not offer STARTTLS")]
    {
        let (_server, _, port) = mail_server(program.path(), mode);
        let target = json!({
            "form": "email", "host": "127.0.0.1", "port": port, "tls": tls, "from": "p@example.com",
            "to": ["ops@example.com"],
        });
        let made = running.post("/admin/api/alerts", target).await;
        let test = format!("/admin/api/alerts/{}/test", made["id"].as_str().unwrap());
        let tried = running.post(&test, json!({})).await;
        assert!(tried["error"].as_str().unwrap_or_default().contains(said), "{mode}: {tried}");
    }
}
