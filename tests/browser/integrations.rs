//! The gallery: from a sender to a phone in five minutes, by clicking; search; what a viewer may.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::Stage;

/// What Uptime Kuma sends when a monitor is down.
const DOWN: &str =
    r#"{"heartbeat":{"status":0},"monitor":{"name":"NAS"},"msg":"[NAS] connect ECONNREFUSED"}"#;

/// Sends what a sender does, and gives the status of the answer.
async fn send(stage: &Stage, url: &str, token: &str, body: &'static str) -> u16 {
    let request = stage.app.client.post(url).header("content-type", "application/json").body(body);
    let answer = request.bearer_auth(token).send().await.expect("the server answers");
    answer.status().as_u16()
}

/// Opens the gallery by the navigation, which is folded on narrow screens.
async fn open_gallery(page: &Page, width: u32) {
    if width < 1041 {
        page.press("Menu").await;
    }
    page.press("Integrations").await;
    page.sees_in("h1", "Integrations").await;
}

async fn text_of(page: &Page, what: &str, expression: &str) -> String {
    page.until(what, expression).await.as_str().expect("it is a text").to_owned()
}

/// Creates the source and the receiver by clicking, as the steps say.
async fn walk(width: u32) {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "").await;
    page.width(width).await;
    open_gallery(&page, width).await;

    // The sender.
    page.press("Uptime Kuma").await;
    page.sees_in("h1", "New source: Uptime Kuma").await;
    page.press("Generate").await;
    let token =
        text_of(&page, "the token", "labelled('Token').value.length === 32 && labelled('Token').value").await;
    page.press("Create source").await;
    page.sees("Waiting for the first request…").await;
    page.sees("Settings → Notifications → Setup Notification").await;
    assert!(!page.js("return document.body.innerText", vec![]).await.as_str().unwrap().contains(&token));
    let url = text_of(&page, "the URL", "all('.copy-line code')[0].innerText").await;

    // Its first request has a wrong token: the page says so, and then what the next one became.
    assert_eq!(send(&stage, &url, "wrong", DOWN).await, 401);
    page.sees("Authorization has another value").await;
    assert_eq!(send(&stage, &url, &token, DOWN).await, 200);
    page.sees("It became uptime_kuma.down.").await;
    page.sees_in(".event-summary", "[NAS] connect ECONNREFUSED").await;

    // The phone.
    page.press("Add a destination").await;
    page.press("ntfy").await;
    page.sees_in("h1", "New webhook: ntfy").await;
    page.fill("Server", &stage.receiver.url("")).await;
    page.fill("Topic", "my-phone").await;
    page.sees_in(".chips-input", "uptime_kuma.*").await;
    // The preview has the newest event of these types.
    page.sees_in(".preview-card", "\"title\": \"NAS\"").await;
    page.sees_in(".lengths", "of 4,096 bytes").await;
    page.press("Create webhook").await;
    page.sees("is ready").await;
    page.press("Send a test").await;
    page.sees("Test delivered: ntfy responded with 200").await;
    let test = stage.receiver.next().await;
    assert_eq!(
        (test.json()["topic"].clone(), test.json()["title"].clone()),
        (json!("my-phone"), json!("NAS"))
    );

    // The sender again: this time for real.
    assert_eq!(send(&stage, &url, &token, DOWN).await, 200);
    let message = stage.receiver.next().await;
    assert_eq!(message.json()["message"], "[NAS] connect ECONNREFUSED");
    assert_eq!(message.json()["priority"], 4);
    page.close().await;
}

#[tokio::test]
async fn from_a_sender_to_a_phone_by_clicking_on_a_phone() {
    walk(390).await;
}

#[tokio::test]
async fn from_a_sender_to_a_phone_by_clicking_on_a_wide_screen() {
    walk(1280).await;
}

#[tokio::test]
async fn the_gallery_searches_and_shows_first_what_is_in_use() {
    let stage = Stage::set().await;
    let sonarr =
        json!({ "preset": { "name": "sonarr", "inputs": { "token": "long and random" } }, "name": "tv" });
    stage.app.post("/v1/sources", sonarr).await.expect(201);
    let ntfy = json!({
        "preset": { "name": "ntfy", "inputs": { "server": stage.receiver.url(""), "topic": "t" } },
        "name": "Phone", "events": ["*"],
    });
    stage.app.post("/v1/webhooks", ntfy).await.expect(201);
    let page = stage.signed_in(Role::Admin, "integrations").await;
    page.sees_in("[aria-label='Sources in use']", "tv").await;
    page.sees_in("[aria-label='Destinations in use']", "Phone").await;
    for (side, first) in [("Sources", "Sonarr"), ("Destinations", "ntfy")] {
        let tile = format!("all('section[aria-label={side}] .tile')[0].innerText");
        let tile = text_of(&page, "the first tile", &tile).await;
        assert!(tile.starts_with(first) && tile.contains("In use"), "{tile}");
    }
    page.fill("Search programs", "HOME as").await;
    let only =
        "all('.tile').length > 0 && all('.tile').every((e) => e.innerText.startsWith('Home Assistant'))";
    page.until("only Home Assistant", only).await;
    page.fill("Search programs", "nothing like it").await;
    page.sees("No matches").await;
    page.press("Clear").await;
    page.until("all programs", "all('.tile').length > 40").await;
    page.press("Destinations").await;
    page.until("only receivers", "!all('section[aria-label=Sources]').length && all('.tile').length > 10")
        .await;
    assert_eq!(page.address().await, "integrations?show=destinations");
    page.close().await;
}

#[tokio::test]
async fn a_viewer_looks_at_the_gallery_and_changes_nothing() {
    let stage = Stage::set().await;
    let made = stage.app.post("/v1/sources", json!({ "name": "my-app" })).await.expect(201);
    let id = made["data"]["id"].as_str().unwrap();
    let url = made["data"]["attributes"]["url"].as_str().unwrap();
    let page = stage.signed_in(Role::Viewer, "integrations").await;
    page.sees("GitHub").await;
    assert_eq!(page.js("return document.querySelectorAll('a.tile').length", vec![]).await, Value::from(0));
    page.goto(&format!("integrations/sources/{id}")).await;
    page.sees("Only admins and owners see the whole URL").await;
    let text = page.js("return document.documentElement.outerHTML", vec![]).await;
    assert!(!text.as_str().unwrap().contains(url), "the URL is a secret");
    for button in ["Edit", "More actions"] {
        assert!(!page.offers(button).await, "{button}");
    }
    page.goto("integrations/sources/new?preset=sonarr").await;
    page.sees("You need another role").await;
    page.close().await;
}
