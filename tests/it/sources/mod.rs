//! Sources: `/v1/sources` and the URLs that other programs post to.

mod inbound;
mod manage;
mod peers;
mod requests;
mod strangers;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{Answer, send};

/// A source with these attributes: its id and the path of its URL.
async fn source(app: &TestApp, attributes: Value) -> (String, String) {
    let made = app.post("/v1/sources", attributes).await.expect(201);
    let url = made["data"]["attributes"]["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix(&app.base).unwrap_or_else(|| panic!("{url}")).to_owned();
    (made["data"]["id"].as_str().unwrap().to_owned(), path)
}

/// A request without any credential.
fn stranger(app: &TestApp, method: Method, path: &str) -> reqwest::RequestBuilder {
    app.client.request(method, format!("{}{path}", app.base))
}

async fn post(app: &TestApp, path: &str, body: &'static str) -> Answer {
    send(stranger(app, Method::POST, path).header("content-type", "application/json").body(body)).await
}

/// The rows of the inbound log, newest first.
async fn log(app: &TestApp, id: &str) -> Vec<Value> {
    let list = app.get(&format!("/v1/sources/{id}/requests")).await.expect(200);
    let rows = list["data"].as_array().unwrap().iter();
    rows.map(|row| {
        let mut flat = row["attributes"].clone();
        flat["id"] = row["id"].clone();
        flat
    })
    .collect()
}

/// `outcome` and `reason` of the newest row.
async fn newest(app: &TestApp, id: &str) -> (String, Option<String>) {
    let row = log(app, id).await.remove(0);
    (row["outcome"].as_str().unwrap().to_owned(), row["reason"].as_str().map(str::to_owned))
}

fn error(text: &str) -> Value {
    json!({ "error": text })
}
