//! Webhooks from recipes of the gallery, with real receivers.

use super::*;

fn discord(url: &str) -> Value {
    json!({ "name": "discord", "inputs": { "webhook_url": url } })
}

async fn create(app: &TestApp, fields: Value) -> (Webhook, Value) {
    let made = app.post("/v1/webhooks", fields).await.expect(201);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let attributes = made["data"]["attributes"].clone();
    (Webhook { id: text(&made["data"]["id"]), secret: text(&attributes["signing_secret"]) }, attributes)
}

fn path(hook: &Webhook) -> String {
    format!("/v1/webhooks/{}", hook.id)
}

/// The places and sentences of an error response.
async fn refused(app: &TestApp, fields: Value) -> Vec<(String, String)> {
    let answer = app.post("/v1/webhooks", fields.clone()).await;
    assert_eq!(answer.status, 422, "{fields}: {}", answer.text);
    let entry = |error: &Value| {
        (
            error["source"]["pointer"].as_str().unwrap().to_owned(),
            error["detail"].as_str().unwrap().to_owned(),
        )
    };
    answer.json()["errors"].as_array().unwrap().iter().map(entry).collect()
}

#[tokio::test]
async fn a_recipe_and_a_pasted_url_are_all_that_a_chat_needs() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let preset = discord(&receiver.url("/api/webhooks/123/tok-EN"));
    let (hook, shown) = create(&app, json!({ "preset": preset, "events": ["a.b"] })).await;
    assert_eq!(shown["url"], receiver.url("/api/webhooks/{{ secrets.path }}"));
    assert_eq!(shown["secrets"], json!({ "path": "********" }));
    assert_eq!((&shown["rate_limit"], &shown["request"]["sign"]), (&json!("30/m"), &json!(false)));
    assert_eq!(shown["request"]["final"], json!([400, 401, 403, 404]));
    assert_eq!(shown["preset"], json!({ "name": "discord", "version": 1, "changed": false }));
    assert!(!app.get("/v1/webhooks").await.text.contains("tok-EN"));

    app.post_event("a.b", json!({ "text": "@everyone" })).await;
    let got = receiver.next().await;
    assert_eq!(got.path, "/api/webhooks/123/tok-EN?wait=true");
    let body = got.json();
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    assert_eq!(body["embeds"][0]["title"], "a.b");
    assert_eq!(got.header("webhook-signature"), None);
    let row = app.row_when(|row| row["status"] == "delivered").await;
    assert_eq!(row["endpoint_url"], shown["url"]);

    // What a preset sets can be changed by hand, and changed back; the rest is not its own.
    assert_eq!(
        patch(&app, &hook, json!({ "name": "Chat", "events": ["*"] })).await["preset"]["changed"],
        false
    );
    assert_eq!(patch(&app, &hook, json!({ "rate_limit": "20/m" })).await["preset"]["changed"], true);
    assert_eq!(patch(&app, &hook, json!({ "rate_limit": "30/m" })).await["preset"]["changed"], false);
    let request = shown["request"].clone();
    assert_eq!(patch(&app, &hook, json!({ "request": request })).await["preset"]["changed"], false);
    let app = app.restart().await;
    assert_eq!(app.webhook_attributes(&hook.id).await["preset"]["name"], "discord");
    // A node that takes endpoints over from another one, or from itself, begins without credit.
    app.clock.advance_ms(2_000);
    app.post_event("a.b", json!(2)).await;
    assert_eq!(receiver.next().await.path, "/api/webhooks/123/tok-EN?wait=true");
}

#[tokio::test]
async fn what_is_given_wins_over_the_recipe() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let preset = json!({
        "name": "ntfy", "inputs": { "server": receiver.url("/"), "topic": "a b", "token": "tk_1" },
    });
    let fields = json!({
        "preset": preset, "events": ["a.b"], "rate_limit": null, "name": "Phone",
        "request": { "body": { "n": "{{ payload.n }}" }, "headers": { "X-T": "{{ secrets.token }}" } },
    });
    let (_, shown) = create(&app, fields).await;
    assert_eq!((&shown["rate_limit"], &shown["name"]), (&Value::Null, &json!("Phone")));
    app.post_event("a.b", json!({ "n": 1 })).await;
    let got = receiver.next().await;
    assert_eq!((got.path.as_str(), got.json()), ("/", json!({ "n": 1 })));
    assert_eq!((got.header("x-t"), got.header("authorization")), (Some("tk_1"), None));
    assert!(got.header("webhook-signature").is_some());
}

#[tokio::test]
async fn an_input_that_is_left_out_takes_its_entries_with_it() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    for (token, header) in [(json!("tk_1"), Some("Bearer tk_1")), (Value::Null, None)] {
        let inputs = json!({ "server": receiver.url(""), "topic": "t", "token": token });
        let event_type = if header.is_some() { "with" } else { "without" };
        let fields = json!({ "preset": { "name": "ntfy", "inputs": inputs }, "events": [event_type] });
        let (_, shown) = create(&app, fields).await;
        assert_eq!(shown["secrets"].is_null(), header.is_none());
        app.post_event(event_type, json!({})).await;
        let got = receiver.next().await;
        assert_eq!((got.header("authorization"), &got.json()["topic"]), (header, &json!("t")));
    }
    let inputs = json!({ "token": "1:a", "chat_id": "-100" });
    let (_, shown) =
        create(&app, json!({ "preset": { "name": "telegram", "inputs": inputs }, "events": ["x"] })).await;
    assert_eq!(shown["request"]["body"].get("message_thread_id"), None);
    assert_eq!(shown["url"], "https://api.telegram.org/bot{{ secrets.token }}/sendMessage");
}

#[tokio::test]
async fn what_is_wrong_with_a_preset_is_said_at_its_input() {
    let app = TestApp::with(|config| config.network.allow.clear()).await;
    let good = "https://discord.com/api/webhooks/1/a";
    for (preset, pointer) in [
        (json!("discord"), "/preset"),
        (json!({ "name": "disco", "inputs": {} }), "/preset/name"),
        (json!({ "inputs": {} }), "/preset/name"),
        (json!({ "name": "discord" }), "/preset/inputs/webhook_url"),
        (json!({ "name": "discord", "inputs": [] }), "/preset/inputs"),
        (json!({ "name": "discord", "inputs": { "webhook_url": 5 } }), "/preset/inputs/webhook_url"),
        (json!({ "name": "discord", "inputs": { "webhook_url": good }, "x": 1 }), "/preset/x"),
        (json!({ "name": "discord", "a/b~": 1 }), "/preset/a~1b~0"),
        (json!({ "name": "discord", "inputs": { "webhook_url": good, "x": "y" } }), "/preset/inputs/x"),
        (discord("https://discord.com/channels/1"), "/preset/inputs/webhook_url"),
        (discord("https://discord.com/api/webhooks/1/{{ payload }}"), "/preset/inputs/webhook_url"),
        (discord("https://discord.com/api/webhooks/1/{%a"), "/preset/inputs/webhook_url"),
        (discord("https://discord.com/api/webhooks/1/{#a"), "/preset/inputs/webhook_url"),
        // What the rules for URLs and secrets say of an input is said there, too.
        (discord("https://10.0.0.1/api/webhooks/1/a"), "/preset/inputs/webhook_url"),
        (json!({ "name": "json", "inputs": { "url": "http://127.0.0.1/x" } }), "/preset/inputs/url"),
        (json!({ "name": "telegram", "inputs": { "token": "1:a b", "chat_id": 1 } }), "/preset/inputs/token"),
        (
            json!({ "name": "telegram", "inputs": { "token": "1/../a", "chat_id": 1 } }),
            "/preset/inputs/token",
        ),
    ] {
        let found = refused(&app, json!({ "preset": preset, "events": ["*"] })).await;
        assert_eq!(found.len(), 1, "{preset} {found:?}");
        assert_eq!(found[0].0, pointer, "{preset} {found:?}");
    }
    let events = refused(&app, json!({ "preset": discord(good) })).await;
    assert_eq!(events[0].0, "/events");
    // What is given beside a preset is wrong where it stands.
    let given = json!({ "preset": discord(good), "events": ["*"], "url": "http://127.0.0.1/", "request": { "x": 1 } });
    let found = refused(&app, given).await;
    assert_eq!(found[0].0, "/url", "{found:?}");
    let unused = json!({ "preset": discord(good), "events": ["*"], "secrets": { "other": "x" } });
    let found = refused(&app, unused).await;
    assert_eq!(found[0].0, "/preset/inputs/webhook_url", "the URL of the recipe needs its secret: {found:?}");
}

#[tokio::test]
async fn put_takes_a_preset_or_keeps_it_and_patch_refuses_it() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let preset = discord(&receiver.url("/api/webhooks/1/secret-a"));
    let replace = async |fields: Value| app.with_json(Method::PUT, &path(&hook), fields).await;
    let shown = replace(json!({ "preset": preset, "events": ["*"] })).await.attributes();
    assert_eq!(shown["preset"], json!({ "name": "discord", "version": 1, "changed": false }));
    // What was read can be written back: the recipe stays, and masks keep secrets.
    let mut read = shown.clone();
    read["rate_limit"] = json!(5);
    let kept = replace(read).await.attributes();
    assert_eq!(kept["preset"], json!({ "name": "discord", "version": 1, "changed": true }));
    app.post_event("a.b", json!(1)).await;
    assert_eq!(receiver.next().await.path, "/api/webhooks/1/secret-a?wait=true");
    let again = discord(&receiver.url("/api/webhooks/1/secret-b"));
    let shown = replace(json!({ "preset": again, "events": ["*"] })).await.attributes();
    assert_eq!(shown["preset"]["changed"], false);
    app.clock.advance_ms(1_000);
    app.post_event("a.b", json!(2)).await;
    assert_eq!(receiver.next().await.path, "/api/webhooks/1/secret-b?wait=true");
    let other = json!({ "preset": { "name": "slack" }, "url": receiver.url("/"), "events": ["*"] });
    assert_eq!(replace(other).await.problems(422)[0].1.as_deref(), Some("/preset/inputs"));
    let plain = replace(json!({ "url": receiver.url("/"), "events": ["*"] })).await.attributes();
    assert_eq!((&plain["preset"], &plain["request"]), (&Value::Null, &Value::Null));
    let change = async |fields: Value| app.with_json(Method::PATCH, &path(&hook), fields).await;
    for preset in [&preset, &json!({ "name": "discord" })] {
        let answer = change(json!({ "preset": preset })).await;
        assert_eq!(answer.problems(422)[0].1.as_deref(), Some("/preset"));
    }
    change(json!({ "preset": null })).await.expect(200);
    replace(json!({ "preset": preset, "events": ["*"] })).await.expect(200);
    for preset in
        [&preset, &json!({ "name": "discord" }), &json!({ "name": "slack", "version": 1 }), &Value::Null]
    {
        let answer = change(json!({ "preset": preset })).await;
        assert_eq!(answer.problems(422)[0].1.as_deref(), Some("/preset"));
    }
    // What was read is not a change.
    let read = app.webhook_attributes(&hook.id).await;
    assert_eq!(change(read.clone()).await.attributes()["preset"], read["preset"]);
}
