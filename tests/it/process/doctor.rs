//! `doctor`: its findings about a machine and the connection to a receiver.

use super::*;
use crate::support::certificates::{Authority, self_signed_files, server_of};

async fn doctor(program: &Program, arguments: &str) -> (Option<i32>, Value) {
    let (code, stdout, stderr) = program.run(&format!("doctor --json {arguments}")).await;
    let said = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    (code, said)
}

fn verdict<'a>(said: &'a Value, check: &str) -> Option<&'a str> {
    let checks = said["checks"].as_array().unwrap();
    checks.iter().find(|one| one["check"] == check).map(|one| one["verdict"].as_str().unwrap())
}

#[tokio::test]
async fn a_webhook_is_checked_step_by_step_and_gets_a_signed_test() {
    let (mut program, receiver) = (Program::new(), Receiver::start().await);
    let running = program.serve().await;
    let made = running.post("/v1/webhooks", json!({ "url": receiver.url("/"), "events": ["*"] })).await;
    let id = made["data"]["id"].as_str().unwrap();
    let (_, said) = doctor(&program, id).await;
    for check in
        ["configuration", "data directory", "endpoint", "network policy", "connection", "signed test"]
    {
        assert_eq!(verdict(&said, check), Some("ok"), "{check}: {said:#}");
    }
    let got = receiver.next().await;
    let secret = made["data"]["attributes"]["signing_secret"].as_str().unwrap();
    assert!(super::backup::signed(secret, &got));

    receiver.reply_once(Reply::status(403));
    let (code, said) = doctor(&program, id).await;
    assert_eq!((code, &said["ok"]), (Some(1), &json!(false)));
    assert_eq!(verdict(&said, "signed test"), Some("problem"));
    receiver.next().await;

    program.env.push(("POSTRIDER_NETWORK__ALLOW", "[]".to_owned()));
    let (code, stdout, _) = program.run(&format!("doctor {id}")).await;
    assert_eq!(code, Some(1));
    let line = stdout.lines().find(|line| line.starts_with("problem") && line.contains("loopback"));
    assert!(line.is_some() && stdout.contains("add 127.0.0.1/32 to network.allow"), "{stdout}");
    assert_eq!(receiver.count(), 2, "nothing was sent where nothing may be");
    let rows = running.request(Method::GET, "/v1/webhooks/deliveries").send().await.unwrap();
    let rows: Value = serde_json::from_str(&rows.text().await.unwrap()).unwrap();
    assert_eq!(rows["meta"]["total"], 0, "it is in no log");
}

#[tokio::test]
async fn the_url_of_a_source_is_asked_as_a_sender_would_find_it() {
    let mut program = Program::new();
    let running = program.serve().await;
    let made = running.post("/v1/sources", json!({ "name": "my-app" })).await;
    let (id, url) = (&made["data"]["id"], made["data"]["attributes"]["url"].as_str().unwrap());
    let (id, token) = (id.as_str().unwrap(), url.rsplit('/').next().unwrap());
    let base = running.base.clone();
    program.env.push(("POSTRIDER_PUBLIC_URL", base.clone()));
    // The policy for receivers has nothing to do with it.
    program.env.push(("POSTRIDER_NETWORK__ALLOW", "[]".to_owned()));
    let (_, said) = doctor(&program, id).await;
    for check in ["source", "connection", "source URL"] {
        assert_eq!(verdict(&said, check), Some("ok"), "{check}: {said:#}");
    }
    assert!(!said.to_string().contains(token), "{said}");
    let log = running.request(Method::GET, &format!("/v1/sources/{id}/requests")).send().await.unwrap();
    let log: Value = serde_json::from_str(&log.text().await.unwrap()).unwrap();
    assert_eq!(log["meta"]["total"], 0, "it is no request of a sender");

    program.env.push(("POSTRIDER_PUBLIC_URL", format!("{base}/elsewhere")));
    let (code, said) = doctor(&program, id).await;
    assert_eq!((code, verdict(&said, "source URL")), (Some(1), Some("problem")), "{said:#}");
    assert!(said.to_string().contains("inbound.public_url") && !said.to_string().contains(token), "{said}");
    running.signal("TERM");
    running.ended().await;
    let (code, said) = doctor(&program, id).await;
    assert_eq!((code, verdict(&said, "connection")), (Some(1), Some("problem")), "{said:#}");
    assert!(!said.to_string().contains(token), "{said}");
    let (code, _, stderr) = program.run("doctor 0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48").await;
    assert!(code == Some(2) && stderr.contains("no webhook and no source"), "{stderr}");
}

#[tokio::test]
async fn without_data_the_machine_is_checked_and_nothing_is_created() {
    let program = Program::empty();
    let (_, said) = doctor(&program, "").await;
    assert_eq!(verdict(&said, "data directory"), Some("warning"));
    assert_eq!(verdict(&said, "clock"), Some("ok"));
    assert!(!program.path().join("data").exists());
    let mut elsewhere = Program::new();
    elsewhere.env.push(("SSL_CERT_FILE", "nowhere.pem".to_owned()));
    elsewhere.env.push(("SSL_CERT_DIR", "nowhere".to_owned()));
    let (code, said) = doctor(&elsewhere, "").await;
    assert_eq!((code, verdict(&said, "CA certificates")), (Some(1), Some("problem")));
    let (code, _, stderr) = program.run("doctor ftp://x").await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("neither"), "{stderr}");
    // A port that nobody listens at.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (code, said) = doctor(&program, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!((code, verdict(&said, "connection")), (Some(1), Some("problem")));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_explained_as_in_the_log() {
    let (server, pem) = Authority::posing_as_server(&["127.0.0.1"]);
    let receiver = Receiver::start_tls(server).await;
    let mut program = Program::new();
    program.env.push(("SSL_CERT_FILE", "ca.pem".to_owned()));
    fs::write(program.path().join("ca.pem"), pem).unwrap();
    let (code, said) = doctor(&program, &receiver.url("/")).await;
    assert_eq!((code, verdict(&said, "TLS")), (Some(1), Some("problem")));
    assert!(
        said.to_string().contains("is one for an authority") && said.to_string().contains("CA:FALSE"),
        "{said}"
    );
    // What that advice leads to: a certificate that is made for itself and no authority's.
    let (pem, key) = self_signed_files(&["127.0.0.1"]);
    fs::write(program.path().join("ca.pem"), &pem).unwrap();
    let receiver = Receiver::start_tls(server_of(&pem, &key)).await;
    let (_, said) = doctor(&program, &receiver.url("/")).await;
    assert_eq!(verdict(&said, "TLS"), Some("ok"), "{said}");
}

#[tokio::test]
async fn https_to_a_port_without_tls_is_named_and_the_echo_receiver_is_fine() {
    let (program, receiver) = (Program::new(), Receiver::start().await);
    let url = receiver.url("/").replace("http://", "https://");
    let (code, said) = doctor(&program, &url).await;
    assert_eq!((code, verdict(&said, "TLS")), (Some(1), Some("problem")));
    assert!(said.to_string().contains("this port does not speak TLS"), "{said}");

    let running = program.serve().await;
    let hook = json!({ "url": "http://echo.postrider.invalid/", "events": ["*"] });
    let created = running.post("/v1/webhooks", hook).await;
    let (_, said) = doctor(&program, created["data"]["id"].as_str().unwrap()).await;
    for check in ["connection", "signed test"] {
        assert_eq!(verdict(&said, check), Some("ok"), "{said:#}");
    }
}
