//! `kill -9`: nothing that was answered with 202 is lost.

use tokio::sync::mpsc;

use super::*;

/// Clients that post at the same time.
const CLIENTS: usize = 4;
/// Answers with 202 after which the server is killed.
const KILL_AFTER: usize = 150;

/// Posts until the server is gone, and notes every event that was accepted.
pub(super) async fn post_on(request: reqwest::RequestBuilder, accepted: mpsc::UnboundedSender<String>) {
    for n in 0.. {
        let request = request.try_clone().expect("it has no body yet");
        let body = json!({ "event_type": "burst.event", "payload": { "n": n } });
        let Ok(answer) = json_body(request, body.to_string()).send().await else { return };
        if answer.status() != 202 {
            continue;
        }
        // An answer that broke off in the middle has promised nothing.
        let Ok(text) = answer.text().await else { return };
        let Ok(json) = serde_json::from_str::<Value>(&text) else { return };
        accepted.send(json["data"]["id"].as_str().unwrap().to_owned()).ok();
    }
}

#[tokio::test]
async fn every_event_that_was_accepted_arrives_after_a_kill_in_the_middle_of_a_burst() {
    let (program, receiver) = (Program::new(), Receiver::start().await);
    let mut running = program.serve().await;
    let hook = json!({ "url": receiver.url("/"), "events": ["*"], "rate_limit": 100 });
    running.post("/v1/webhooks", hook).await;

    let (note, mut accepted) = mpsc::unbounded_channel();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(post_on(running.request(Method::POST, "/v1/events"), note.clone()));
    }
    drop(note);
    let mut ledger = HashSet::new();
    while ledger.len() < KILL_AFTER {
        ledger.insert(in_time("an accepted event", accepted.recv()).await.unwrap());
    }
    running.child.kill().unwrap();
    running.ended().await;
    in_time("the end of the clients", async { while clients.join_next().await.is_some() {} }).await;
    // What was answered just before the end counts as well.
    while let Some(id) = accepted.recv().await {
        ledger.insert(id);
    }
    assert!(receiver.count() < ledger.len(), "it was killed before everything had been sent");

    let running = program.serve().await;
    let mut arrived = HashSet::new();
    while !ledger.is_subset(&arrived) {
        let got = receiver.next().await;
        arrived.insert(got.header("webhook-id").unwrap().to_owned());
    }
    drop(running);
}
