//! Create, read, change and delete sources; presets; who may see what.

use reqwest::Method;
use serde_json::{Value, json};

use super::{post, source};
use crate::support::app::{json_body, send};
use crate::support::{TestApp, postgres};

#[tokio::test]
async fn a_source_has_defaults_and_reads_back() {
    let app = TestApp::start().await;
    let made = app.post("/v1/sources", json!({ "name": "my-app" })).await.expect(201);
    assert_eq!(made["data"]["type"], "source");
    let attributes = &made["data"]["attributes"];
    for (name, value) in [
        ("name", json!("my-app")),
        ("enabled", json!(true)),
        ("verify", json!([])),
        ("methods", json!(["POST", "PUT"])),
        ("event_type", json!("my-app.event")),
        ("resource_id", Value::Null),
        ("json_field", json!("payload")),
        ("challenge", Value::Null),
        ("response", json!({ "status": 200, "content_type": "application/json", "body": null })),
        ("summary", Value::Null),
        ("rate_limit", json!("600/m")),
        ("preset", Value::Null),
        ("last_request_at", Value::Null),
        ("counts_24h", json!({ "accepted": 0, "duplicate": 0, "ignored": 0, "rejected": 0 })),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    let token = attributes["url"].as_str().unwrap().rsplit('/').next().unwrap();
    assert!(token.len() == 26 && token.bytes().all(|b| b.is_ascii_lowercase() || b"234567".contains(&b)));
    let id = made["data"]["id"].as_str().unwrap();
    let path = format!("/v1/sources/{id}");
    assert_eq!(app.get(&path).await.expect(200), made);
    // What was read can be written back, and changes nothing but the time.
    app.clock.advance_ms(1_000);
    let again = app.with_json(Method::PUT, &path, attributes.clone()).await.expect(200);
    let mut expected = made.clone();
    expected["data"]["attributes"]["updated_at"] = again["data"]["attributes"]["updated_at"].clone();
    assert_eq!(again, expected);
    let list = app.get("/v1/sources").await.expect(200);
    assert_eq!((&list["data"][0], &list["meta"]["total"]), (&again["data"], &json!(1)));
    app.delete(&path).await.expect(204);
    assert_eq!(app.get(&path).await.status, 404);
}

#[tokio::test]
async fn secrets_are_masked_and_a_mask_keeps_them() {
    let app = TestApp::start().await;
    let verify =
        json!([{"kind":"basic","username":"u","secret":"s3cr3t-7f21"},{"kind":"stripe","secret":["a","b"]}]);
    let (id, _) = source(&app, json!({ "name": "a", "verify": verify })).await;
    let path = format!("/v1/sources/{id}");
    let read = app.get(&path).await;
    assert!(!read.text.contains("s3cr3t-7f21"));
    let masked = read.attributes()["verify"].clone();
    assert_eq!(masked[1]["secret"], json!(["********", "********"]));
    let change = |body: Value| app.with_json(Method::PATCH, &path, body);
    assert_eq!(change(json!({ "verify": masked, "name": "b" })).await.status, 200);
    let other_kind = json!([{"kind":"slack","secret":"********"}]);
    let problems = change(json!({ "verify": other_kind })).await.problems(422);
    let of_secret = [("validation_failed".to_owned(), Some("/verify/0/secret".to_owned()))];
    assert_eq!(problems, of_secret);
    // A kept secret that the change would make unreadable would take the source, and every list with it, along.
    let (hmac, _) =
        source(&app, json!({ "name": "c", "verify": [{"kind":"hmac","header":"x","secret":"text"}] })).await;
    let other_form = json!([{"kind":"hmac","header":"x","secret":"********","key":"hex"}]);
    let changed =
        app.with_json(Method::PATCH, &format!("/v1/sources/{hmac}"), json!({ "verify": other_form })).await;
    assert_eq!(changed.problems(422), of_secret);
    app.get("/v1/sources").await.expect(200);
    if postgres::is_wanted() {
        return;
    }
    let files = std::fs::read_dir(app.dir.path().join("data")).unwrap();
    for file in files {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(11).any(|part| part == b"s3cr3t-7f21"), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn wrong_attributes_are_named() {
    let app = TestApp::start().await;
    source(&app, json!({ "name": "taken" })).await;
    for (body, pointer) in [
        (json!({}), "/name"),
        (json!({ "name": "taken" }), "/name"),
        (json!({ "name": "a", "nam": 1 }), "/nam"),
        (json!({ "name": "a", "event_type": "{{ payload." }), "/event_type"),
        (json!({ "name": "a", "verify": [{"kind":"hmac","header":"X","secret":""}] }), "/verify/0/secret"),
        (json!({ "preset": { "name": "githup" } }), "/preset/name"),
        (json!({ "preset": { "name": "github" } }), "/preset/inputs/secret"),
        (
            json!({ "preset": { "name": "github", "inputs": { "secret": "{{ x }}" } } }),
            "/preset/inputs/secret",
        ),
    ] {
        let found = app.post("/v1/sources", body.clone()).await.problems(422);
        assert_eq!(found[0].1.as_deref(), Some(pointer), "{body} {found:?}");
    }
}

#[tokio::test]
async fn every_preset_makes_a_source() {
    let app = TestApp::start().await;
    let gallery = app.get("/v1/gallery/sources").await.expect(200);
    for preset in gallery["data"].as_array().unwrap() {
        let name = &preset["attributes"]["name"];
        let inputs: serde_json::Map<String, Value> = preset["attributes"]["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|input| {
                let example = input["example"].as_str().unwrap();
                let value = if example.starts_with("whsec_") { "whsec_c2VjcmV0" } else { example };
                (input["name"].as_str().unwrap().to_owned(), json!(value))
            })
            .collect();
        let body = json!({ "preset": { "name": name, "inputs": inputs } });
        let made = app.post("/v1/sources", body).await.expect(201);
        let attributes = &made["data"]["attributes"];
        assert_eq!(&attributes["name"], name);
        assert_eq!(attributes["preset"], json!({ "name": name, "version": 1, "changed": false }));
        let path = format!("/v1/sources/{}", made["data"]["id"].as_str().unwrap());
        let changed = app.with_json(Method::PATCH, &path, json!({ "dedupe": "{{ payload.x }}" })).await;
        assert_eq!(changed.attributes()["preset"]["changed"], true, "{name}");
    }
    assert_eq!(app.get("/v1/gallery/sources/github").await.expect(200)["data"]["id"], "github");
    let destinations = app.get("/v1/gallery/destinations").await.expect(200);
    assert_eq!(destinations["data"].as_array().unwrap().len(), 18);
    assert_eq!(app.get("/v1/gallery/destinations/github").await.status, 404);
    let patch = json!({ "preset": { "name": "plex" } });
    let id = app.get("/v1/sources").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    let refused = app.with_json(Method::PATCH, &format!("/v1/sources/{id}"), patch).await;
    assert_eq!(refused.problems(422)[0].1.as_deref(), Some("/preset"));
}

#[tokio::test]
async fn a_url_is_shown_only_to_keys_that_could_post_events() {
    let app = TestApp::start().await;
    let (id, path) = source(&app, json!({ "name": "a" })).await;
    let token = path.strip_prefix("/in/").unwrap();
    for (scopes, whole) in [
        ("webhooks:read", false),
        ("webhooks:read,webhooks:secrets", false),
        ("webhooks:read,webhooks:secrets,events:write", true),
        ("admin", true),
    ] {
        let key = app.key(scopes, None).await;
        for read in [format!("/v1/sources/{id}"), "/v1/sources".to_owned()] {
            let answer = send(app.request_as(&key, Method::GET, &read)).await;
            assert_eq!(answer.text.contains(token), whole, "{scopes} {read}");
            assert!(answer.text.contains(&token[..4]), "{scopes}");
        }
    }
    let key = app.key("webhooks:write", None).await;
    for (method, path, body) in [
        (Method::POST, "/v1/sources".to_owned(), json!({ "name": "b" })),
        (Method::POST, format!("/v1/sources/{id}/rotate-url"), json!({})),
    ] {
        let answer = send(json_body(app.request_as(&key, method, &path), body.to_string())).await;
        assert_eq!(answer.problems(403)[0].0, "forbidden", "{path}");
    }
    let key = app.key("webhooks:write,events:write", None).await;
    let body = json!({ "name": "b" }).to_string();
    let made = send(json_body(app.request_as(&key, Method::POST, "/v1/sources"), body)).await;
    assert!(made.attributes()["url"].as_str().unwrap().len() > 26 && made.status == 201);
}

#[tokio::test]
async fn an_old_url_works_during_the_overlap() {
    let app = TestApp::start().await;
    let (id, first) = source(&app, json!({ "name": "a" })).await;
    let rotate = async |body: Value| {
        let answer = app.post(&format!("/v1/sources/{id}/rotate-url"), body).await;
        let url = answer.attributes()["url"].as_str().unwrap().to_owned();
        url.strip_prefix(&app.base).unwrap().to_owned()
    };
    let second = rotate(json!({ "overlap": "1h" })).await;
    assert_eq!((post(&app, &first, "{}").await.status, post(&app, &second, "{}").await.status), (200, 200));
    app.clock.advance_ms(3_600_000);
    assert_eq!((post(&app, &first, "{}").await.status, post(&app, &second, "{}").await.status), (404, 200));
    let third = rotate(json!({ "overlap": "7d" })).await;
    let fourth = rotate(json!({})).await;
    assert_eq!(post(&app, &second, "{}").await.status, 404, "a second rotation ends the oldest");
    assert_eq!((post(&app, &third, "{}").await.status, post(&app, &fourth, "{}").await.status), (200, 200));
    let fifth = rotate(json!({ "overlap": "0s" })).await;
    assert_eq!((post(&app, &fourth, "{}").await.status, post(&app, &fifth, "{}").await.status), (404, 200));
    let long = app.post(&format!("/v1/sources/{id}/rotate-url"), json!({ "overlap": "8d" })).await;
    assert_eq!(long.problems(422)[0].1.as_deref(), Some("/overlap"));
}

#[tokio::test]
async fn saving_says_when_an_address_would_be_that_of_a_proxy() {
    let untrusting = TestApp::start().await;
    let trusting = TestApp::with(|c| c.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]).await;
    let verify = json!([{ "kind": "address", "networks": ["10.0.0.0/8"] }]);
    let save = async |app: &TestApp, method: Method, path: &str, body: Value, header: Option<&str>| {
        let mut request = json_body(app.request(method, path), body.to_string());
        if let Some(name) = header {
            request = request.header(name, "10.1.2.3");
        }
        let answer = send(request).await;
        assert!(answer.status < 300, "{}", answer.text);
        (answer.json()["data"]["id"].as_str().unwrap().to_owned(), answer.attributes()["warnings"].clone())
    };
    let body = json!({ "name": "a", "verify": verify });
    let (id, said) = save(&untrusting, Method::POST, "/v1/sources", body, Some("x-forwarded-for")).await;
    assert!(said[0].as_str().unwrap().contains("http.trusted_proxies"), "{said}");
    let path = format!("/v1/sources/{id}");
    for (body, header, warns) in [
        (json!({ "enabled": true }), Some("forwarded"), true),
        (json!({ "enabled": true }), None, false),
        (json!({ "verify": [] }), Some("forwarded"), false),
    ] {
        let (_, said) = save(&untrusting, Method::PATCH, &path, body.clone(), header).await;
        assert_eq!(!said.is_null(), warns, "{body} {said}");
    }
    assert_eq!(untrusting.get(&path).await.attributes().get("warnings"), None);
    let body = json!({ "name": "a", "verify": verify });
    let (_, said) = save(&trusting, Method::POST, "/v1/sources", body, Some("x-forwarded-for")).await;
    assert_eq!(said, Value::Null);
}
