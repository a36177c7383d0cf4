//! The objects and what is done with them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{create, with_events};
use crate::support::app::send;
use crate::support::{Receiver, TestApp};

/// The kind of JSON value that Devdraft's example has in each place.
fn kinds() -> Value {
    json!({
        "id": "string", "name": "string", "url": "string", "isActive": "boolean", "encrypted": "boolean",
        "signing_secret": "string", "created_at": "string", "updated_at": "string",
        "delivery_stats": {
            "total_events": "number", "successful_deliveries": "number", "failed_deliveries": "number",
            "last_delivery": "string", "success_rate": "number", "average_response_time": "number",
            "last_24h_events": "number", "last_24h_failures": "number",
        },
        "app": { "id": "string", "name": "string" },
        "recent_events": [{
            "id": "string", "event_type": "string", "delivery_status": "string", "response_code": "number",
            "response_time": "number", "created_at": "string", "delivered_at": "string",
            "retry_count": "number",
        }],
    })
}

/// Every field of `kinds` that is missing in `value` or of another kind.
fn misfits(kinds: &Value, value: &Value, at: &str) -> Vec<String> {
    match kinds {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, kind)| misfits(kind, &value[name], &format!("{at}/{name}")))
            .collect(),
        Value::Array(rows) => match value.as_array() {
            Some(found) if !found.is_empty() => {
                found.iter().flat_map(|row| misfits(&rows[0], row, at)).collect()
            }
            _ => vec![format!("{at}: no rows")],
        },
        kind => {
            let found = match value {
                Value::String(_) => "string",
                Value::Number(_) => "number",
                Value::Bool(_) => "boolean",
                _ => "something else",
            };
            if kind == found { vec![] } else { vec![format!("{at}: {found}, not {kind}")] }
        }
    }
}

#[tokio::test]
async fn a_webhook_has_every_field_of_devdrafts_example() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let made = create(&app, json!({ "url": receiver.url("/") })).await;
    app.post_event("payment.completed", json!(1)).await;
    app.row_when(|row| row["status"] == "delivered").await;
    let object = with_events(&app, &made["id"]).await;
    assert_eq!(misfits(&kinds(), &object, ""), [""; 0], "{object:#}");
    assert!(object["recent_events"][0].get("error_message").is_some_and(Value::is_null));
    for label in ["success_rate", "response_time", "activity"] {
        assert!(object["health"][label].is_string());
    }
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("wh_") && id.len() == 35 && !id.contains('-'), "{id}");
    assert!(made["app"]["id"].as_str().unwrap().starts_with("app_"));
    assert!(made.get("recent_events").is_none());
}

#[tokio::test]
async fn a_webhook_is_made_changed_paused_and_deleted() {
    let app = TestApp::start().await;
    let made = create(&app, json!({ "url": "https://example.com/a", "name": "A", "unknown": 1 })).await;
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/v0/webhooks/{id}");
    assert_eq!((&made["isActive"], &made["encrypted"]), (&json!(true), &json!(false)));

    let change = json!({ "name": "B", "isActive": false, "url": "https://example.com/b", "other": {} });
    let changed = app.with_json(Method::PATCH, &path, change).await.expect(200);
    assert_eq!((&changed["name"], &changed["isActive"]), (&json!("B"), &json!(false)));
    let uuid = uuid::Uuid::parse_str(&id[3..]).unwrap();
    let same = app.webhook_attributes(&uuid.to_string()).await;
    assert_eq!((&same["status"], &same["events"]), (&json!("paused"), &json!(["*"])));
    // The other form of the id.
    assert_eq!(app.get(&format!("/api/v0/webhooks/wh_{uuid}")).await.expect(200)["id"], id);

    assert_eq!(app.delete(&path).await.status, 204);
    assert_eq!(app.get(&path).await.status, 404);
    assert_eq!(app.get("/api/v0/webhooks").await.expect(200), json!([]));
}

#[tokio::test]
async fn the_list_is_a_plain_array_that_can_be_skipped_through() {
    let app = TestApp::start().await;
    for n in 0..5 {
        create(&app, json!({ "url": "https://example.com/", "name": format!("n{n}") })).await;
    }
    let names = async |query: &str| {
        let list = app.get(&format!("/api/v0/webhooks{query}")).await.expect(200);
        let names = list.as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["n4", "n3", "n2", "n1", "n0"]);
    assert_eq!(names("?skip=1&take=2&whatever=x").await, ["n3", "n2"]);
    assert_eq!(names("?skip=9").await, [""; 0]);
}

#[tokio::test]
async fn the_secret_is_whole_at_creation_and_for_its_scope_only() {
    let app = TestApp::start().await;
    let writer = app.key("webhook:create,webhook:read", None).await;
    let body = json!({ "url": "https://example.com/" }).to_string();
    let request = app.request_as(&writer, Method::POST, "/api/v0/webhooks");
    let made = send(crate::support::app::json_body(request, body)).await.expect(201);
    let whole = made["signing_secret"].as_str().unwrap();
    assert!(whole.starts_with("whsec_") && !whole.contains('…'));

    let path = format!("/api/v0/webhooks/{}", made["id"].as_str().unwrap());
    let seen = send(app.request_as(&writer, Method::GET, &path)).await.expect(200);
    assert_eq!(seen["signing_secret"], format!("whsec_…{}", &whole[whole.len() - 4..]));
    let secrets = app.key("webhooks:read,webhooks:secrets", None).await;
    let seen = send(app.request_as(&secrets, Method::GET, &path)).await.expect(200);
    assert_eq!(seen["signing_secret"], whole);
}

#[tokio::test]
async fn both_forms_of_credentials_work() {
    let app = TestApp::start().await;
    let (rest, secret) = app.token.rsplit_once('_').unwrap();
    let request = app.client.get(format!("{}/api/v0/webhooks", app.base));
    let answer = send(request.header("x-client-key", rest).header("x-client-secret", secret)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn the_document_describes_it() {
    let app = TestApp::start().await;
    let document = app.get("/api/v0/openapi.json").await.expect(200);
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/api/v0/webhooks", "/api/v0/webhooks/{webhook_id}"]);
    let get = &document["paths"]["/api/v0/webhooks/{webhook_id}"]["get"];
    assert_eq!(get["x-scope"], "webhooks:read");
    let names: Vec<&str> =
        get["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["webhook_id", "include_events", "events_limit"]);
    let reference = &get["responses"]["404"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(reference, "#/components/schemas/Error");
}
