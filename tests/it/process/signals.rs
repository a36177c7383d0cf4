//! SIGTERM and SIGINT, and what else ends a server.

use super::*;

#[tokio::test]
async fn a_signal_lets_what_is_in_flight_finish_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let (program, receiver) = (Program::new(), Receiver::start().await);
        let running = program.serve().await;
        let made = running.post("/v1/webhooks", json!({ "url": receiver.url("/"), "events": ["*"] })).await;
        let hold = receiver.hold();
        running.post("/v1/events", json!({ "event_type": "a.b", "payload": 1 })).await;
        // A delivery and a request of a client, which is a test delivery, are both in flight.
        let path = format!("/v1/webhooks/{}/test", made["data"]["id"].as_str().unwrap());
        let test = tokio::spawn(json_body(running.request(Method::POST, &path), "{}").send());
        receiver.next_n(2).await;
        running.signal(signal);
        // From now on nobody new is let in; until then the signal has not been seen.
        in_time("the end of listening", async {
            let address = running.base.strip_prefix("http://").unwrap();
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        hold.release();
        assert_eq!(in_time("the answer", test).await.unwrap().unwrap().status(), 200);
        assert_eq!(running.ended().await.code, Some(0), "{}", program.log());

        let running = program.serve().await;
        let list = running.request(Method::GET, "/v1/webhooks/deliveries").send().await.unwrap();
        let list: Value = serde_json::from_str(&list.text().await.unwrap()).unwrap();
        let rows = list["data"].as_array().unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row["attributes"]["status"] == "delivered"), "{list:#}");
        assert_eq!(receiver.count(), 2, "nothing was sent again");
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_data_ends_with_2() {
    let program = Program::new();
    let running = program.serve().await;
    let (code, stdout, stderr) = program.run("serve --listen 127.0.0.1:0").await;
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let line = stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{stderr}"));
    assert!(line.contains("in use") && line.contains("data"), "{line}");
    assert_eq!(running.get("/readyz").await, 200, "the first one does not mind");
}

#[tokio::test]
async fn a_port_that_is_taken_ends_with_1() {
    let program = Program::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stdout, stderr) = program.run(&format!("serve --listen {address}")).await;
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains(&address) && stderr.contains("--listen"), "{stderr}");
}

#[tokio::test]
async fn keys_made_and_revoked_beside_the_server_count_at_once() {
    let program = Program::new();
    let mut running = program.serve().await;
    let key = program.key().await;
    running.token = key["token"].as_str().unwrap().to_owned();
    assert_eq!(running.get("/v1/webhooks").await, 200);
    let (code, _, stderr) = program.run(&format!("key revoke {}", key["id"].as_str().unwrap())).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(running.get("/v1/webhooks").await, 401);
}
