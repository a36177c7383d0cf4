//! `/v1` against the contract, sections 3 to 5: the tree mirrors the routes.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::app::Answer;
use crate::support::{TestApp, in_time};

mod credentials;
mod deliveries;
pub(crate) mod docs;
mod endpoint_headers;
mod endpoint_input;
mod endpoints;
mod errors;
mod events;
mod health;
mod limits;
mod log_lists;
mod paging;
mod preview;
mod snippets;
mod verification;

/// A URL that is well-formed and never sent to.
const URL: &str = "https://example.com/hook";

/// A webhook with these attributes beside those that it needs.
fn with(fields: Value) -> Value {
    let mut body = json!({ "url": URL, "events": ["license.*"] });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Sends bytes on a connection of their own, and gives all that comes back until it is closed.
async fn raw(app: &TestApp, bytes: &[u8]) -> String {
    let address = app.base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(bytes).await.expect("the server reads");
    let mut answer = Vec::new();
    in_time("the end of the answer", stream.read_to_end(&mut answer)).await.expect("the server answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The messages of an error answer.
fn details(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let errors = json["errors"].as_array().expect("errors is a list");
    errors.iter().map(|e| e["detail"].as_str().expect("detail is text").to_owned()).collect()
}

/// Checks that an answer is a 422 about exactly these fields or parameters, in any order.
fn assert_invalid(answer: &Answer, mut sources: Vec<&str>) {
    let problems = answer.problems(422);
    assert!(problems.iter().all(|(code, _)| code == "validation_failed"));
    let mut found: Vec<&str> = problems.iter().filter_map(|(_, source)| source.as_deref()).collect();
    found.sort_unstable();
    sources.sort_unstable();
    assert_eq!(found, sources, "{}", answer.text);
}

/// Everything that differs from run to run, taken out of an answer.
fn redacted(mut value: Value) -> Value {
    fn walk(value: &mut Value, name: &str) {
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| walk(value, name)),
            Value::Array(all) => all.iter_mut().for_each(|value| walk(value, name)),
            Value::String(text) => {
                if text.starts_with("evt_") {
                    *text = "[evt]".to_owned();
                } else if uuid::Uuid::try_parse(text).is_ok() {
                    *text = "[uuid]".to_owned();
                } else if text.starts_with("whsec_") {
                    *text = "[whsec]".to_owned();
                } else if text.starts_with("v1,") || text.starts_with("sha256=") {
                    *text = "[signature]".to_owned();
                } else if let Some(start) = text.find("127.0.0.1:") {
                    let rest = &text[start + 10..];
                    let port = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                    *text = format!("{}127.0.0.1:[port]{}", &text[..start], &rest[port..]);
                } else if text.len() > 36 && name == "self" || name == "first" {
                    *text = text
                        .split('/')
                        .map(|s| if s.len() == 36 { "[uuid]" } else { s })
                        .collect::<Vec<_>>()
                        .join("/");
                }
            }
            Value::Number(_) if name == "response_time_ms" => *value = json!("[ms]"),
            _ => {}
        }
    }
    walk(&mut value, "");
    number_rows(&mut value);
    value
}

/// Numbers the rows of the log that an answer names from 1 on: what their ids are is the storage's choice.
fn number_rows(value: &mut Value) {
    fn each(value: &mut Value, is_row: bool, act: &mut impl FnMut(&mut Value)) {
        match value {
            Value::Object(fields) => {
                let is_id = |name: &str| name == "id" || name == "delivery_id";
                fields.iter_mut().for_each(|(name, value)| each(value, is_id(name), act));
            }
            Value::Array(all) => all.iter_mut().for_each(|value| each(value, false, act)),
            Value::Number(_) if is_row => act(value),
            _ => {}
        }
    }
    let mut ids = std::collections::BTreeSet::new();
    each(value, false, &mut |id| {
        ids.insert(id.as_i64());
    });
    each(value, false, &mut |id| *id = ids.iter().take_while(|other| **other <= id.as_i64()).count().into());
}
