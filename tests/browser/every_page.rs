//! Every page in light and dark, narrow and wide: no console errors, no policy violations, no horizontal scrolling, no
//! serious accessibility findings.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::Stage;
use crate::support::Reply;

const AXE: &str = include_str!("vendor/axe/axe.min.js");

/// Serious and critical findings of some rules, or of all: the rule, what it says, and where.
const LOOK: &str = "const [rules, done] = arguments;
    const runOnly = rules ? { runOnly: { type: 'rule', values: rules } } : {};
    axe.run(document, { resultTypes: ['violations'], preload: false, ...runOnly }).then(({ violations }) => done(violations
      .filter((v) => v.impact === 'serious' || v.impact === 'critical')
      .map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 4).map((n) => `${n.html.slice(0, 200)} (${n.any[0]?.message ?? ''})`).join(' | ')}`)), (e) => done([String(e)]))";

/// How far the page reaches beside the window, and what does.
const BESIDE: &str = "const width = document.documentElement.clientWidth;
    return document.documentElement.scrollWidth <= width ? [] : [`${document.documentElement.scrollWidth} of ${width}`,
      ...[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > width + 1).slice(0, 5).map((e) => e.outerHTML.slice(0, 150))]";

/// Ids of what a furnished stage has.
struct Furnished {
    /// A webhook, an event and a row of the log.
    hook: String,
    event: String,
    row: String,
    /// A source, and a webhook that filters and shapes.
    source: String,
    chat: String,
}

/// A log with something of every kind.
async fn furnish(stage: &Stage) -> Furnished {
    let app = &stage.app;
    stage.receiver.reply_with(|request| match request.header("x-webhook-event") {
        Some("license.revoked") => Reply::status(500).body(r#"{"error":"no such seat","trace":["a","b"]}"#),
        Some("product.updated") => Reply::status(404).body("<h1>Not Found</h1>"),
        _ => Reply::ok().header("x-trace", "77").body(r#"{"ok":true}"#),
    });
    let shop =
        stage.webhook("Shop", "/hooks/shop/with/a/path/that/is/long/enough/to/be/cut/in/the/middle").await;
    let waits = json!({ "name": "", "events": ["product.*"], "retry_schedule": ["2m", "8m", "20m"] });
    app.webhook(&stage.receiver.url("/retries"), waits).await;
    let paused = app.webhook(&stage.receiver.url("/paused"), json!({ "name": "Paused one" })).await;
    let pause = json!({ "status": "paused" });
    app.with_json(reqwest::Method::PATCH, &format!("/v1/webhooks/{}", paused.id), pause).await.expect(200);
    let off = app.webhook(&stage.receiver.url("/off"), json!({ "name": "Switched off" })).await;
    let off_now = json!({ "status": "disabled" });
    app.with_json(reqwest::Method::PATCH, &format!("/v1/webhooks/{}", off.id), off_now).await.expect(200);
    let payload =
        json!({ "license": "L-1001", "seat": { "email": "ada@example.com", "since": 1_764_000_000 } });
    for event_type in ["license.assigned", "product.updated", "license.activated", "license.revoked"] {
        app.post_event(event_type, payload.clone()).await;
    }
    app.rows_when(|rows| {
        rows.iter().filter(|r| r["endpoint_id"] == shop.as_str() && r["status"] != "pending").count() == 4
    })
    .await;
    let failed =
        app.row_when(|row| row["status"] == "exhausted" && row["event_type"] == "license.revoked").await;
    app.app("Second shop").await;
    for (name, scopes) in [("Backend", "events:write"), ("Auditor", "webhooks:read")] {
        let key = json!({ "name": name, "scopes": [scopes] });
        app.post("/admin/api/keys", key).await.expect(201);
    }
    let target = json!({ "form": "slack", "url": stage.receiver.url("/services/x"), "name": "Channel" });
    app.post("/admin/api/alerts", target).await.expect(201);
    stage.user(Role::Viewer).await;
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let (source, chat) = connect(stage).await;
    Furnished { hook: shop, event: text(&failed["event_id"]), row: text(&failed["id"]), source, chat }
}

/// A source with requests of several outcomes, and a webhook that filters and shapes: their ids.
async fn connect(stage: &Stage) -> (String, String) {
    let app = &stage.app;
    let source = json!({ "preset": { "name": "uptime_kuma", "inputs": { "token": "long and random" } } });
    let source = app.post("/v1/sources", source).await.expect(201);
    let url = source["data"]["attributes"]["url"].as_str().unwrap();
    for (token, body) in [("long and random", r#"{"heartbeat":{"status":1},"msg":"up"}"#), ("wrong", "{}")] {
        app.client.post(url).bearer_auth(token).body(body).send().await.expect("the server answers");
    }
    let chat = json!({
        "name": "Chat", "filter": "payload.heartbeat.status == 0 and event.source == 'uptime_kuma'",
        "events": ["uptime_kuma.*"], "secrets": { "path": "secret" },
        "request": { "sign": false, "final": [400], "expect": "response.status == 200",
                     "query": { "wait": "true" }, "body": { "text": "{{ summary.title }}" } },
    });
    let chat = app.webhook(&stage.receiver.url("/{{ secrets.path }}"), chat).await;
    (source["data"]["id"].as_str().unwrap().to_owned(), chat.id)
}

/// Looks at what is shown, in light and in dark. In dark only at what colors decide; the rest is the same document.
pub(crate) async fn look(page: &Page, what: &str, found: &mut Vec<String>) {
    page.js(AXE, vec![]).await;
    for (scheme, rules) in [("light", Value::Null), ("dark", json!(["color-contrast", "link-in-text-block"]))]
    {
        page.scheme(scheme).await;
        // Scripts that follow the scheme have run two frames later.
        let frames =
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))";
        page.js_later(frames, vec![]).await;
        let mut all = page.js_later(LOOK, vec![rules]).await.as_array().cloned().unwrap_or_default();
        all.extend(page.js(BESIDE, vec![]).await.as_array().cloned().unwrap_or_default());
        all.extend(page.complaints().await.into_iter().map(Value::String));
        found.extend(all.iter().map(|one| format!("{what}, {scheme}: {one}")));
    }
}

/// The addresses to look at, by the page's path.
fn addresses(furnished: &Furnished) -> Vec<(&'static str, Vec<String>)> {
    let Furnished { hook, event, row, source, chat } = furnished;
    vec![
        ("", vec![String::new(), "?range=7d".to_owned()]),
        (
            "webhook-deliveries",
            vec![
                "webhook-deliveries".to_owned(),
                format!("webhook-deliveries?status=exhausted&status=failed&open={row}"),
                "webhook-deliveries?view=attempts".to_owned(),
                "webhook-deliveries?q=nothing+like+that".to_owned(),
            ],
        ),
        ("webhook-deliveries/:id", vec![format!("webhook-deliveries/{row}")]),
        ("events", vec!["events".to_owned()]),
        ("events/:id", vec![format!("events/{event}")]),
        ("webhooks", vec!["webhooks".to_owned()]),
        ("webhooks/new", vec!["webhooks/new".to_owned(), "webhooks/new?preset=ntfy&events=*".to_owned()]),
        (
            "webhooks/:id",
            vec![
                format!("webhooks/{hook}"),
                format!("webhooks/{hook}?part=verification"),
                format!("webhooks/{chat}"),
                format!("webhooks/{chat}?part=request"),
            ],
        ),
        ("webhooks/:id/edit", vec![format!("webhooks/{hook}/edit"), format!("webhooks/{chat}/edit")]),
        ("integrations", vec!["integrations".to_owned(), "integrations?q=nothing+like+that".to_owned()]),
        ("integrations/sources", vec!["integrations/sources".to_owned()]),
        (
            "integrations/sources/new",
            vec![
                "integrations/sources/new".to_owned(),
                "integrations/sources/new?preset=sonarr".to_owned(),
                "integrations/sources/new?preset=plex".to_owned(),
            ],
        ),
        (
            "integrations/sources/:id",
            ["requests", "setup", "try", "settings"]
                .iter()
                .map(|part| format!("integrations/sources/{source}?part={part}"))
                .chain([format!("integrations/sources/{source}?part=requests&open=2")])
                .collect(),
        ),
        ("integrations/sources/:id/edit", vec![format!("integrations/sources/{source}/edit")]),
        ("keys", vec!["keys".to_owned()]),
        ("users", vec!["users".to_owned()]),
        ("apps", vec!["apps".to_owned()]),
        ("retention", vec!["retention".to_owned()]),
        ("alerts", vec!["alerts".to_owned()]),
        ("logs", vec!["logs".to_owned()]),
        ("about", vec!["about".to_owned()]),
        ("account", vec!["account".to_owned()]),
        ("sign-in", vec![]),
        ("setup/:token", vec!["setup/0123456789abcdef".to_owned()]),
    ]
}

/// A furnished stage, a browser on it, and what was found there.
struct Tour {
    _stage: Stage,
    page: Page,
    addresses: Vec<String>,
    found: Vec<String>,
}

impl Tour {
    async fn begin() -> Tour {
        let stage = Stage::set().await;
        let furnished = furnish(&stage).await;
        let page = stage.signed_in(Role::Owner, "").await;
        let addresses = addresses(&furnished);
        let known = "const done = arguments[0];
        import(document.querySelector('script[src$=\"main.js\"]').src.replace('main.js', 'pages/index.js'))
          .then((m) => done(m.PAGES.map((p) => p.path)))";
        let known = page.js_later(known, vec![]).await;
        assert_eq!(known, json!(addresses.iter().map(|(p, _)| p).collect::<Vec<_>>()), "every page is here");
        let addresses = addresses.into_iter().flat_map(|(_, all)| all).collect();
        Tour { _stage: stage, page, addresses, found: vec![] }
    }

    /// Looks at all pages whose address begins so.
    async fn look_at(&mut self, begin: &str, width: u32) {
        self.page.width(width).await;
        for address in self.addresses.iter().filter(|address| address.starts_with(begin)) {
            self.page.goto(address).await;
            self.page.settled().await;
            look(&self.page, &format!("{address:?} at {width}"), &mut self.found).await;
        }
    }

    async fn end(self) {
        let found = self.found;
        assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
        self.page.close().await;
    }
}

#[tokio::test]
async fn every_page_and_what_opens_above_it_is_clean_in_light_and_dark() {
    let mut tour = Tour::begin().await;
    tour.look_at("", 1280).await;
    // What opens above a page.
    let Tour { page, found, .. } = &mut tour;
    page.goto("webhook-deliveries?status=exhausted").await;
    page.settled().await;
    page.press("Export").await;
    look(page, "the export menu", found).await;
    page.goto("webhook-deliveries?status=exhausted").await;
    page.settled().await;
    page.keys("?").await;
    page.until("the keys", "all('dialog').length === 1").await;
    look(page, "the keyboard's help", found).await;
    page.goto("webhook-deliveries?status=exhausted").await;
    page.click("tbody tr input[type=checkbox]").await;
    look(page, "the selection", found).await;
    page.press("Retry selected").await;
    page.until("the question", "all('dialog').length === 1").await;
    look(page, "the question before a retry", found).await;
    tour.end().await;
}

#[tokio::test]
async fn every_page_is_clean_on_a_narrow_screen_in_light_and_dark() {
    let mut tour = Tour::begin().await;
    tour.look_at("", 390).await;
    tour.page.goto("webhooks").await;
    tour.page.press("Menu").await;
    look(&tour.page, "the menu of a narrow screen", &mut tour.found).await;
    // The smallest phones are for looking at the log.
    tour.look_at("webhook-deliveries", 320).await;
    tour.end().await;
}

#[tokio::test]
async fn empty_pages_and_the_sign_in_page_are_clean() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    let mut found = Vec::new();
    page.goto("").await;
    look(&page, "the door before anybody is there", &mut found).await;
    let email = stage.user(Role::Owner).await;
    for width in [1280, 390] {
        page.width(width).await;
        page.goto("sign-in").await;
        page.settled().await;
        look(&page, &format!("sign-in at {width}"), &mut found).await;
    }
    crate::stage::sign_in(&page, &email).await;
    for address in [
        "",
        "webhook-deliveries",
        "events",
        "webhooks",
        "integrations",
        "integrations/sources",
        "keys",
        "alerts",
        "logs",
        "nothing/here",
    ] {
        page.goto(address).await;
        page.settled().await;
        look(&page, &format!("{address:?} with nothing to show"), &mut found).await;
    }
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    page.close().await;
}
