//! `/openapi.json` and `/docs`.

use serde_json::{Map, Value, json};

use crate::support::{Receiver, Reply, TestApp};

async fn document() -> Value {
    TestApp::start().await.get("/openapi.json").await.expect(200)
}

/// Every operation with its name.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((format!("{method} {path}"), operation));
        }
    }
    assert!(all.len() >= 30, "the operations were found");
    all
}

/// What does not fit a schema, as far as this document uses them.
pub(crate) fn misfits(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema =
            document.pointer(reference.trim_start_matches('#')).expect("a reference leads somewhere");
        return misfits(document, schema, value, at);
    }
    if value.is_null() && schema["nullable"] == true && schema.get("type").is_some() {
        let words = schema["enum"].as_array();
        let fits = words.is_none_or(|words| words.contains(value));
        return if fits { vec![] } else { vec![format!("{at}: null is none of {}", schema["enum"])] };
    }
    if let Some(all) = schema["allOf"].as_array() {
        return all.iter().flat_map(|s| misfits(document, s, value, at)).collect();
    }
    if let Some(all) = schema["oneOf"].as_array() {
        let fits = all.iter().filter(|s| misfits(document, s, value, at).is_empty()).count();
        return if fits == 1 { vec![] } else { vec![format!("{at}: fits {fits} of oneOf")] };
    }
    let mut wrong = Vec::new();
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("{at}: {other} is not known here"),
        None => true,
    };
    if !fits {
        return vec![format!("{at}: {value} is no {}", schema["type"])];
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        wrong.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if let Some(items) = value.as_array() {
        for (i, item) in items.iter().enumerate() {
            wrong.extend(misfits(document, &schema["items"], item, &format!("{at}/{i}")));
        }
    }
    if let Some(fields) = value.as_object().filter(|_| schema["type"] == "object") {
        let none = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&none);
        for name in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                wrong.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            let at = format!("{at}/{name}");
            match known.get(name) {
                Some(schema) => wrong.extend(misfits(document, schema, field, &at)),
                None if schema["additionalProperties"].is_object() => {
                    wrong.extend(misfits(document, &schema["additionalProperties"], field, &at));
                }
                None => wrong.push(format!("{at}: is not in the schema")),
            }
        }
    }
    wrong
}

#[tokio::test]
async fn every_operation_is_described_with_examples_that_fit() {
    let document = document().await;
    let mut wrong = Vec::new();
    for (name, operation) in operations(&document) {
        for field in ["summary", "description", "operationId", "x-scope"] {
            if operation[field].as_str().is_none_or(str::is_empty) {
                wrong.push(format!("{name}: no {field}"));
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let at = format!("{name} {}", parameter["name"]);
            // A cursor is nobody's to make up: an example that is sent as it stands would be refused.
            let is_bare = parameter["example"].is_null() && parameter["name"] != "cursor";
            if parameter["description"].as_str().is_none_or(str::is_empty) || is_bare {
                wrong.push(format!("{at}: no description or example"));
            } else if !parameter["example"].is_null() {
                wrong.extend(misfits(&document, &parameter["schema"], &parameter["example"], &at));
            }
        }
        let mut bodies = vec![(format!("{name} request"), &operation["requestBody"])];
        let answers = operation["responses"].as_object().unwrap();
        bodies.extend(answers.iter().map(|(status, r)| (format!("{name} {status}"), r)));
        for (at, body) in bodies {
            if !at.ends_with("request") && !at.contains(" 2") {
                continue;
            }
            for (kind, content) in body["content"].as_object().into_iter().flatten() {
                let text = kind.starts_with("text/") || kind.contains("json");
                if text && content["example"].is_null() {
                    wrong.push(format!("{at}: no example of {kind}"));
                }
            }
            let Some(content) = body["content"].get("application/json") else { continue };
            if let Some(example) = content.get("example") {
                wrong.extend(misfits(&document, &content["schema"], example, &at));
            }
        }
        for status in ["401", "403", "429", "500", "503"] {
            if !answers.contains_key(status) {
                wrong.push(format!("{name}: {status} is not documented"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Asserts that an answer is as the document says.
fn fits(document: &Value, method: &str, path: &str, status: u16, answer: &Value) {
    let responses = &document["paths"][path][method]["responses"];
    let schema = &responses[status.to_string()]["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path} {status} is documented");
    assert_eq!(misfits(document, schema, answer, path), [""; 0]);
}

#[tokio::test]
async fn answers_fit_their_schemas() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let document = app.get("/openapi.json").await.expect(200);
    let hook = app.webhook(&receiver.url("/"), json!({ "headers": { "X-A": "b" } })).await;
    let event = app.post_event("a.b", json!(1)).await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    for (operation, path) in [
        ("/v1/webhooks", "/v1/webhooks".to_owned()),
        ("/v1/webhooks/{id}", format!("/v1/webhooks/{}", hook.id)),
        ("/v1/webhooks/{id}/deliveries", format!("/v1/webhooks/{}/deliveries", hook.id)),
        ("/v1/webhooks/{id}/stats", format!("/v1/webhooks/{}/stats", hook.id)),
        ("/v1/webhooks/{id}/health", format!("/v1/webhooks/{}/health", hook.id)),
        ("/v1/webhooks/{id}/verification", format!("/v1/webhooks/{}/verification", hook.id)),
        ("/v1/webhooks/stats", "/v1/webhooks/stats".to_owned()),
        ("/v1/webhooks/deliveries", "/v1/webhooks/deliveries".to_owned()),
        ("/v1/webhooks/deliveries/{id}", format!("/v1/webhooks/deliveries/{}", row["id"])),
        ("/v1/events", "/v1/events".to_owned()),
        ("/v1/events/{id}", format!("/v1/events/{event}")),
        ("/v1/event-types", "/v1/event-types".to_owned()),
        ("/v1/activity", "/v1/activity".to_owned()),
    ] {
        let answer = app.get(&path).await.expect(200);
        assert_ne!(answer["data"], json!([]), "{operation} has something to show");
        fits(&document, "get", operation, 200, &answer);
    }
    let refused = app.get("/v1/events?since=x").await.json();
    let schema = json!({ "$ref": "#/components/schemas/Errors" });
    assert_eq!(misfits(&document, &schema, &refused, "errors"), [""; 0]);
}

#[tokio::test]
async fn answers_of_recovery_fit_their_schemas() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let document = app.get("/openapi.json").await.expect(200);
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    let event = app.post_event("a.b", json!(1)).await;
    app.row_when(|row| row["status"] == "exhausted").await;
    // A failure is what errors, labels and sentences are made of.
    let health = app.get(&format!("/v1/webhooks/{}/health", hook.id)).await.expect(200);
    assert_ne!(health["data"]["attributes"]["errors"], json!([]));
    fits(&document, "get", "/v1/webhooks/{id}/health", 200, &health);

    let retry = "/v1/webhooks/deliveries/retry";
    for dry_run in [true, false] {
        let answer = app.post(retry, json!({ "filter": {}, "dry_run": dry_run })).await.expect(202);
        assert_eq!(answer["data"]["id"].is_null(), dry_run);
        fits(&document, "post", retry, 202, &answer);
    }
    let recover = format!("/v1/webhooks/{}/recover", hook.id);
    let answer = app.post(&recover, json!({ "since": "2026-01-01T00:00:00Z" })).await.expect(202);
    fits(&document, "post", "/v1/webhooks/{id}/recover", 202, &answer);
    let answer = app.post(&format!("/v1/events/{event}/replay"), json!({})).await.expect(202);
    fits(&document, "post", "/v1/events/{id}/replay", 202, &answer);

    let job = format!("/v1/jobs/{}", answer["data"]["id"].as_str().unwrap());
    fits(&document, "get", "/v1/jobs/{id}", 200, &app.get(&job).await.expect(200));
    let jobs = app.get("/v1/jobs").await.expect(200);
    assert_eq!(jobs["meta"]["total"], 3, "all but the dry run");
    fits(&document, "get", "/v1/jobs", 200, &jobs);
    let swept = app.post("/v1/retention/sweep", json!({})).await.expect(200);
    fits(&document, "post", "/v1/retention/sweep", 200, &swept);
}

#[tokio::test]
async fn bodies_say_what_they_need() {
    let document = document().await;
    let required = |name: &str| document["components"]["schemas"][name]["required"].clone();
    assert_eq!(required("WebhookEndpointInput"), json!(["events"]), "the URL may come from a preset");
    assert_eq!(required("WebhookEndpointChange"), Value::Null);
    assert_eq!(required("EventInput"), json!(["event_type", "payload"]));
    let tags: Vec<&str> =
        document["tags"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(
        tags,
        ["Webhooks", "Events", "Sources", "Gallery", "Deliveries", "Jobs", "Statistics", "Operations"]
    );
    assert!(document["tags"].as_array().unwrap().iter().all(|t| t["description"].is_string()));
}

#[tokio::test]
async fn the_page_asks_nobody_else_and_runs_no_inline_script() {
    let app =
        TestApp::with(|c| c.public_url = postrider::config::PublicUrl::parse("https://example.com/hooks"))
            .await;
    for base in ["", "/hooks"] {
        let page = app.get(&format!("{base}/docs")).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe-eval"), "{policy}");
        assert!(!policy.contains("script-src"), "scripts follow default-src");
        for attribute in page.text.split("src=\"").chain(page.text.split("href=\"")).skip(1) {
            let link = attribute.split('"').next().unwrap();
            assert!(!link.contains("://") && !link.starts_with('/'), "{link} is relative");
        }
        for file in ["page.js", "page.css", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"] {
            let answer = app.client.get(format!("{}{base}/docs/{file}", app.base)).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{file}");
            let etag = answer.headers()["etag"].clone();
            let again =
                app.client.get(format!("{}{base}/docs/{file}", app.base)).header("if-none-match", etag);
            assert_eq!(again.send().await.unwrap().status(), 304, "{file}");
        }
    }
    let document = app.get("/hooks/openapi.json").await.expect(200);
    assert_eq!(document["servers"][0]["url"], "/hooks");
}

#[tokio::test]
async fn the_examples_can_be_sent_as_they_stand() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").await.expect(200);
    let example = |path: &str, method: &str| {
        document["paths"][path][method]["requestBody"]["content"]["application/json"]["example"].clone()
    };
    let made = app.post("/v1/webhooks", example("/v1/webhooks", "post")).await.expect(201);
    let own = format!("/v1/webhooks/{}", made["data"]["id"].as_str().unwrap());
    for (method, name) in [(reqwest::Method::PUT, "put"), (reqwest::Method::PATCH, "patch")] {
        app.with_json(method, &own, example("/v1/webhooks/{id}", name)).await.expect(200);
    }
    let rotate = example("/v1/webhooks/{id}/rotate-secret", "post");
    app.post(&format!("{own}/rotate-secret"), rotate).await.expect(200);
    app.with_json(reqwest::Method::PATCH, &own, json!({ "status": "paused" })).await.expect(200);
    app.post("/v1/events", example("/v1/events", "post")).await.expect(202);
    app.post("/v1/events/batch", example("/v1/events/batch", "post")).await.expect(202);
    let retry = "/v1/webhooks/deliveries/retry";
    app.post(retry, example(retry, "post")).await.expect(202);
}
