//! Bodies and headers that a stranger writes are shown without making the page slow, whatever is in them.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::Stage;
use crate::support::Reply;

/// Runs JavaScript with a module of the dashboard as `m`, and gives its result and how many milliseconds it took.
async fn timed(page: &Page, module: &str, expression: &str, args: Value) -> (Value, f64) {
    let script = format!(
        "const [module, args, done] = arguments;
        import(document.querySelector('script[src$=\"main.js\"]').src.replace('main.js', module)).then((m) => {{
          const begin = performance.now();
          const result = {expression};
          done([result, performance.now() - begin]);
        }});"
    );
    let found = page.js_later(&script, vec![json!(module), args]).await;
    (found[0].clone(), found[1].as_f64().expect("a time is a number"))
}

#[tokio::test]
async fn a_deeply_nested_response_does_not_freeze_the_page() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    let nested = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    stage.receiver.reply(Reply::status(500).body(nested.clone()));
    let row = stage.ended_event("order.paid", json!({ "order": 1 })).await;
    let page = stage.signed_in(Role::Viewer, &format!("webhook-deliveries/{}", row["id"])).await;
    page.sees_in("[aria-label='Response body']", "[").await;
    page.press("Show all").await;
    page.until("all of it", "!named('Show all')").await;
    let same = "return document.querySelector('[aria-label=\"Response body\"]').innerText.replace(/\\s/g, '') === arguments[0]";
    assert_eq!(page.js(same, vec![json!(nested)]).await, true, "nothing of it is left out");
    // How long the page did nothing else, at most: the browser notes what takes longer than 50 ms.
    let longest = "const done = arguments[0];
        new PerformanceObserver((all) => done(Math.max(...all.getEntries().map((e) => e.duration)))).observe({ type: 'longtask', buffered: true });
        setTimeout(() => done(0), 1000);";
    let ms = page.js_later(longest, vec![]).await;
    assert!(ms.as_f64().expect("a time is a number") < 5_000.0, "the page was frozen for {ms} ms");
    page.close().await;
}

#[tokio::test]
async fn indenting_takes_time_in_proportion_to_the_length() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    page.goto("sign-in").await;
    let pretty =
        async |text: String| timed(&page, "components/json-text.js", "m.prettyOf(args)", json!(text)).await;
    for text in [
        format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)),
        format!("{}1{}", r#"{"a":"#.repeat(80_000), "}".repeat(80_000)),
        format!("[{}1]", "1,".repeat(240_000)),
        format!(r#"["{}"]"#, r"\\".repeat(240_000)),
        format!("[{}]", " ".repeat(480_000)),
        format!("[{}", "\"".repeat(480_000)),
    ] {
        let (_, ms) = pretty(text.clone()).await;
        assert!(ms < 3_000.0, "{ms} ms for {:.40}", text);
    }
    let (text, _) = pretty(r#"{"a":[],"b":{"c":12345678901234567890,"c":"x\"y: [,"}}"#.to_owned()).await;
    assert_eq!(
        text,
        "{\n  \"a\": [],\n  \"b\": {\n    \"c\": 12345678901234567890,\n    \"c\": \"x\\\"y: [,\"\n  }\n}"
    );
    assert_eq!(pretty("<h1>".to_owned()).await.0, Value::Null);

    let event = |payload: String| {
        format!(
            r#"{{"data":{{"type":"event","attributes":{{"event_type":"payload","payload":{payload}}}}}}}"#
        )
    };
    for payload in [
        format!(r#""{}""#, "x".repeat(4_000_000)),
        format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000)),
        r#"{"payload":"}"}"#.to_owned(),
    ] {
        let same = "m.payloadOf(args[0]) === args[1]";
        let args = json!([event(payload.clone()), payload]);
        let (same, ms) = timed(&page, "pages/events/raw.js", same, args).await;
        assert!(same == true && ms < 3_000.0, "{same} after {ms} ms for {payload:.40}");
    }
    page.close().await;
}

#[tokio::test]
async fn pasted_headers_are_read_in_proportion_to_their_length_and_by_any_name() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    page.goto("sign-in").await;
    let read = async |text: String| {
        timed(&page, "pages/webhooks/check.js", "m.readHeaders(args)", json!(text)).await
    };
    for text in [
        format!("a: x{}x", " ".repeat(150_000)),
        format!("{}: x", "'".repeat(150_000)),
        "a: x\n".repeat(40_000),
        "x".repeat(150_000),
    ] {
        let (_, ms) = read(text.clone()).await;
        assert!(ms < 3_000.0, "{ms} ms for {text:.20}");
    }
    let text = "POST /hook HTTP/1.1\n> Constructor: 1\n< webhook-id: \"evt_1\",\n'Webhook-Signature': 'v1,a='\n\
                webhook-signature: v1,b=\nno header\n";
    let (headers, _) = read(text.to_owned()).await;
    let expected =
        json!({ "constructor": "1", "webhook-id": "evt_1", "webhook-signature": ["v1,a=", "v1,b="] });
    assert_eq!(headers, expected);
    page.close().await;
}
