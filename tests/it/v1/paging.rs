//! Pages and cursors of the lists (section 4).

use serde_json::{Value, json};

use super::{URL, assert_invalid, details};
use crate::support::TestApp;

const LISTS: [&str; 3] = ["/v1/webhooks", "/v1/events", "/v1/webhooks/deliveries"];

/// An app with so many webhooks, events and rows of the log.
async fn filled(n: usize) -> TestApp {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    app.webhook(URL, json!({ "events": ["a.*"], "status": "paused" })).await;
    for _ in 1..n {
        app.webhook(URL, json!({ "events": ["never"] })).await;
    }
    for i in 0..n {
        app.post_event(&format!("a.n{i}"), json!(i)).await;
    }
    app
}

fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().expect("data is a list").iter().map(|row| row["id"].to_string()).collect()
}

#[tokio::test]
async fn a_list_says_where_it_is_and_where_to_go_on() {
    let app = filled(5).await;
    for list in LISTS {
        let first = app.get(&format!("{list}?per_page=2")).await.expect(200);
        assert_eq!(first["meta"]["page"], 1);
        assert_eq!(first["meta"]["per_page"], 2);
        assert_eq!(first["meta"]["total"], 5);
        assert_eq!(first["meta"].get("total_capped"), None);
        assert_eq!(
            first["meta"]["datetime"],
            json!({ "format": "RFC3339", "timezone": "UTC", "suffix": "Z" })
        );
        assert_eq!(first["links"]["self"], format!("{list}?per_page=2"));
        assert_eq!(first["links"]["first"], format!("{list}?per_page=2"));
        assert_eq!(first["links"]["prev"], Value::Null);
        let second = app.get(&format!("{list}?per_page=2&page=2")).await.expect(200);
        assert_eq!(second["links"]["prev"], format!("{list}?per_page=2&page=1"));
        let last = app.get(&format!("{list}?per_page=2&page=3")).await.expect(200);
        assert_eq!((last["links"]["next"].clone(), ids(&last).len()), (Value::Null, 1));
        let beyond = app.get(&format!("{list}?per_page=2&page=4")).await.expect(200);
        assert_eq!((beyond["links"]["next"].clone(), ids(&beyond).len()), (Value::Null, 0));

        let by_cursor = app.get(first["links"]["next"].as_str().unwrap()).await.expect(200);
        assert_eq!(ids(&by_cursor), ids(&second));
        assert_eq!(by_cursor["meta"]["page"], 2);
        let whole = app.get(list).await.expect(200);
        assert_eq!(
            (whole["meta"]["per_page"].clone(), whole["links"]["next"].clone()),
            (json!(50), Value::Null)
        );
        let mut descending = ids(&whole);
        descending.sort_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
        if list != "/v1/events" {
            assert_eq!(ids(&whole), descending, "{list}: newest first is descending id");
        }
    }
}

#[tokio::test]
async fn walking_repeats_and_omits_nothing_while_rows_are_added() {
    let app = filled(7).await;
    for list in LISTS {
        let before = ids(&app.get(list).await.expect(200));
        let mut walked = Vec::new();
        let mut next = Value::from(format!("{list}?per_page=2"));
        while let Some(path) = next.as_str() {
            let page = app.get(path).await.expect(200);
            walked.extend(ids(&page));
            next = page["links"]["next"].clone();
            app.webhook(URL, json!({ "events": ["never"] })).await;
            app.post_event("a.later", json!(1)).await;
        }
        assert_eq!(walked, before, "{list}");
    }
}

#[tokio::test]
async fn pages_have_limits_and_the_message_says_what_to_do() {
    let app = filled(1).await;
    for list in LISTS {
        for bad in ["0", "201", "-1", "1.5", "x", "", "99999999999999999999", "+5", "%205"] {
            assert_invalid(&app.get(&format!("{list}?per_page={bad}")).await, vec!["per_page"]);
        }
        for bad in ["0", "-1", "x", "", "99999999999999999999"] {
            assert_invalid(&app.get(&format!("{list}?page={bad}")).await, vec!["page"]);
        }
        for fine in ["page=200", "page=50&per_page=200", "page=10000&per_page=1", "per_page=200"] {
            app.get(&format!("{list}?{fine}")).await.expect(200);
        }
        for far in ["page=201", "page=51&per_page=200", "page=10001&per_page=1", "page=9223372036854775807"] {
            let answer = app.get(&format!("{list}?{far}")).await;
            assert_invalid(&answer, vec!["page"]);
            assert!(details(&answer)[0].contains("links.next"), "{}", answer.text);
        }
        assert_invalid(&app.get(&format!("{list}?per_page=5&per_page=6")).await, vec!["per_page"]);
        let several = app.get(&format!("{list}?perpage=5&page=0&per_page=0")).await;
        assert_invalid(&several, vec!["perpage", "page", "per_page"]);
        assert!(several.text.contains("did you mean per_page?"));
    }
}

#[tokio::test]
async fn a_foreign_or_damaged_cursor_is_refused() {
    let app = filled(3).await;
    let next = async |path: &str| {
        let link = app.get(path).await.expect(200)["links"]["next"].as_str().unwrap().to_owned();
        link.split("cursor=").nth(1).unwrap().to_owned()
    };
    let log = next("/v1/webhooks/deliveries?per_page=1").await;
    let events = next("/v1/events?per_page=1").await;
    let sorted = next("/v1/webhooks/deliveries?per_page=1&sort=status").await;
    let filtered = next("/v1/webhooks/deliveries?per_page=1&status=pending").await;
    for (list, cursor) in [
        ("/v1/webhooks", &log),
        ("/v1/events", &log),
        ("/v1/webhooks/deliveries", &events),
        ("/v1/webhooks/deliveries", &sorted),
        ("/v1/webhooks/deliveries", &filtered),
        ("/v1/webhooks/deliveries", &log[1..].to_owned()),
        ("/v1/webhooks/deliveries", &log[..log.len() - 1].to_owned()),
        ("/v1/webhooks/deliveries", &format!("{log}A")),
        ("/v1/webhooks/deliveries", &"A".repeat(5_000)),
        ("/v1/webhooks/deliveries", &"%FF".to_owned()),
        ("/v1/webhooks/deliveries", &String::new()),
    ] {
        assert_invalid(&app.get(&format!("{list}?per_page=1&cursor={cursor}")).await, vec!["cursor"]);
    }
    assert_invalid(&app.get(&format!("/v1/events?per_page=1&page=2&cursor={events}")).await, vec!["page"]);
    app.get(&format!("/v1/events?per_page=2&cursor={events}")).await.expect(200);
    assert_invalid(&app.get("/v1/events?cursor=x&since=y").await, vec!["cursor", "since"]);

    app.app("other").await;
    let theirs = app.key("admin", Some("other")).await;
    let request =
        app.request_as(&theirs, reqwest::Method::GET, &format!("/v1/events?per_page=1&cursor={events}"));
    assert_invalid(&crate::support::app::send(request).await, vec!["cursor"]);
}

#[tokio::test]
async fn links_carry_the_base_path_and_keep_filters() {
    let app = TestApp::with(|c| {
        c.public_url = postrider::config::PublicUrl::parse("https://example.com/hooks");
    })
    .await;
    for i in 0..3 {
        app.post_event("a.b", json!(i)).await;
    }
    for path in ["/v1/events", "/hooks/v1/events"] {
        let list = app.get(&format!("{path}?event_type=a.*&per_page=1&page=2")).await.expect(200);
        let links = &list["links"];
        assert_eq!(links["self"], "/hooks/v1/events?event_type=a.*&per_page=1&page=2");
        assert_eq!(links["first"], "/hooks/v1/events?event_type=a.*&per_page=1");
        assert_eq!(links["prev"], "/hooks/v1/events?event_type=a.*&per_page=1&page=1");
        let next = app.get(links["next"].as_str().unwrap()).await.expect(200);
        assert_eq!(ids(&next).len(), 1);
    }
}

#[tokio::test]
async fn a_cursor_outlives_a_restart_and_is_of_no_use_on_another_server() {
    let app = filled(5).await;
    let next = async |app: &TestApp| {
        let first = app.get("/v1/webhooks/deliveries?per_page=2").await.expect(200);
        first["links"]["next"].as_str().unwrap().to_owned()
    };
    let link = next(&app).await;
    let there = ids(&app.get(&link).await.expect(200));
    let other = filled(5).await;
    assert_ne!(next(&other).await, link, "another server has another key");
    assert_invalid(&other.get(&link).await, vec!["cursor"]);
    let app = app.restart().await;
    assert_eq!(ids(&app.get(&link).await.expect(200)), there);
}
