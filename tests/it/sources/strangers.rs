//! What strangers send to the URL of a source costs them more than the server.

use futures_util::future::select_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{log, post, source, stranger};
use crate::support::app::send;
use crate::support::{TestApp, in_time};

#[tokio::test]
async fn the_inbound_log_does_not_grow_by_what_it_masks() {
    let app = TestApp::start().await;
    let verify = json!([
        { "kind": "token", "in": "query", "name": "token", "secret": "s3cr3t" },
        { "kind": "token", "in": "header", "name": "x-token", "secret": "s3cr3t" },
    ]);
    let (id, path) = source(&app, json!({ "name": "a", "verify": verify })).await;
    for (value, times, other, shown) in [
        // Each of these would be masked in the mask of the one before.
        ("*", 30, "a * b", "a ******** b"),
        ("a", 1, &"ab".repeat(2_000), "********"),
        // Nobody has so many secrets.
        ("", 2_000, "plain", "********"),
        ("", 1, "plain", "plain"),
    ] {
        let value = |n: usize| if value.is_empty() { n.to_string() } else { value.to_owned() };
        let query: String = (0..times).map(|n| format!("token={}&", value(n))).collect();
        let mut request = stranger(&app, Method::POST, &format!("{path}?{query}")).header("x-other", other);
        for n in 0..times.min(30) {
            request = request.header("x-token", value(n));
        }
        assert_eq!(send(request.body("{}")).await.status, 401);
        let row = log(&app, &id).await.remove(0);
        let detail = app.get(&format!("/v1/sources/{id}/requests/{}", row["id"])).await.attributes();
        assert_eq!(detail["headers"]["x-other"], shown, "{times} of {:?}", value(0));
    }
}

#[tokio::test]
async fn long_methods_and_paths_are_kept_in_part() {
    let app = TestApp::start().await;
    let (id, path) = source(&app, json!({ "name": "a" })).await;
    let method = Method::from_bytes("M".repeat(20_000).as_bytes()).unwrap();
    let long = format!("{path}/{}", "p".repeat(20_000));
    assert_eq!(send(stranger(&app, method, &long)).await.status, 405);
    let row = log(&app, &id).await.remove(0);
    let lengths = ["method", "path", "reason"].map(|name| row[name].as_str().unwrap().chars().count());
    assert!(lengths[0] == 33 && lengths[1] == 2_049 && lengths[2] < 100, "{lengths:?}");
}

#[tokio::test]
async fn a_form_or_a_query_has_a_thousand_fields_at_most() {
    let app = TestApp::start().await;
    let methods = json!({ "name": "a", "methods": ["POST", "GET"] });
    let (id, path) = source(&app, methods).await;
    for (fields, status) in [(1_000, 200), (1_001, 413)] {
        let form = vec!["a=1"; fields].join("&");
        let get = stranger(&app, Method::GET, &format!("{path}?{form}"));
        assert_eq!(send(get).await.status, status, "{fields}");
        let post = stranger(&app, Method::POST, &path).body(form);
        let post = post.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(send(post).await.status, status, "{fields}");
    }
    assert_eq!(log(&app, &id).await[0]["reason"], "body: has more than 1000 fields");
}

#[tokio::test]
async fn the_heads_of_requests_without_a_body_have_a_limit_together() {
    let app = TestApp::start().await;
    let (_, path) = source(&app, json!({ "name": "a", "rate_limit": 0 })).await;
    let address = app.base.trim_start_matches("http://");
    // Each parameter is small on the wire and larger in memory.
    let head = format!(
        "POST {path}?{} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n",
        "a&".repeat(30_000)
    );
    let mut answers = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        answers.push(Box::pin(async move {
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.map(|_| answer)
        }));
    }
    let (first, _, waiting) = in_time("a refusal", select_all(answers)).await;
    assert_eq!(String::from_utf8(first.unwrap()).unwrap(), "HTTP/1.1 503");
    drop(waiting);
    assert_eq!(post(&app, &path, "{}").await.status, 200);
}
