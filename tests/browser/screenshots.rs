//! The pictures of the documentation: a server after a day of made-up traffic, photographed in light and
//! dark. Run by `docs/screenshots.sh`, never by the tests.

use std::path::{Path, PathBuf};

use postrider::clock::Clock as _;
use postrider::domain::{Role, Span};
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::Stage;
use crate::support::receiver::Received;
use crate::support::{Reply, in_time};

/// How long the traffic lasts, and how often something happens.
const STEPS: i64 = 96;
const STEP_MS: i64 = 15 * 60_000;

/// What happens, in turn.
const EVENTS: [(&str, &str); 9] = [
    (
        "license.assigned",
        r#"{"license":"L-1001","seat":{"email":"ada@example.com"},"expires_at":"2027-01-31"}"#,
    ),
    ("license.activated", r#"{"license":"L-1001","machine":"laptop-7"}"#),
    ("invoice.paid", r#"{"invoice":"INV-2042","amount_cents":129900,"currency":"EUR"}"#),
    ("customer.created", r#"{"customer":"C-318","name":"Analytical Engines Ltd"}"#),
    ("license.assigned", r#"{"license":"L-1002","seat":{"email":"grace@example.com"}}"#),
    ("product.updated", r#"{"product":"P-7","version":"2.4.0"}"#),
    ("invoice.paid", r#"{"invoice":"INV-2043","amount_cents":4900,"currency":"USD"}"#),
    ("license.revoked", r#"{"license":"L-0933","reason":"refund"}"#),
    ("customer.created", r#"{"customer":"C-319","name":"Babbage & Daughters"}"#),
];

const TRACE: &str = r#"{"error":"TypeError","message":"Cannot read properties of undefined (reading 'email')","at":"assign (/srv/portal/seats.js:41:13)"}"#;

/// What the receivers answer at this step: the portal fails for an hour, the ledger stumbles now and then.
fn answer(step: i64, request: &Received) -> Reply {
    let event_type = request.header("x-webhook-event").unwrap_or_default();
    let attempt = request.header("x-webhook-attempt").unwrap_or_default();
    let reply = |status| Reply::status(status).header("content-type", "application/json");
    match request.path.as_str() {
        "/hooks/licences" if (60..65).contains(&step) || (step > 93 && event_type == "license.assigned") => {
            reply(500).body(TRACE)
        }
        "/ledger/events" if step % 7 == 3 && attempt == "1" => reply(503).body(r#"{"error":"busy"}"#),
        "/v2/inbound" if step % 11 == 5 || step > 80 => reply(404).body(r#"{"error":"no such customer"}"#),
        _ => reply(200).body(r#"{"received":true}"#),
    }
}

async fn a_day_passes(stage: &Stage) {
    let app = &stage.app;
    let retries = json!(["2m", "8m", "20m"]);
    for (name, path, events) in [
        ("Licence portal", "/hooks/licences", json!(["license.*"])),
        ("Ledger", "/ledger/events", json!(["invoice.*", "customer.*"])),
        ("CRM sync", "/v2/inbound", json!(["customer.created"])),
        ("Data warehouse", "/ingest/webhooks", json!(["*"])),
    ] {
        let fields = json!({ "name": name, "events": events, "retry_schedule": retries });
        app.webhook(&stage.receiver.url(path), fields).await;
    }
    for step in 0..STEPS {
        stage.receiver.reply_with(move |request| answer(step, request));
        // More by day than by night.
        let busy = 1 + (4 - (step - 58).abs() / 12).max(0);
        for n in 0..busy {
            let (event_type, payload) = EVENTS[usize::try_from(step * 2 + n).expect("small") % EVENTS.len()];
            app.post_event(event_type, serde_json::from_str(payload).expect("JSON")).await;
        }
        // The last step is now: nothing has passed since.
        let passes: &[i64] = if step + 1 < STEPS { &[0, 3, 8, 4] } else { &[0] };
        for minutes in passes {
            app.clock.advance_ms(minutes * 60_000);
            let now = app.clock.now().to_string();
            let waits = |row: &Value| row["status"] == "pending" && row["due_at"].as_str() <= Some(&now);
            let quiet = async { while app.rows().await.iter().any(waits) {} };
            in_time("what is due", quiet).await;
        }
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots")
}

/// One page in light and dark.
async fn photograph(page: &Page, name: &str, path: &str, ready: &str) {
    page.goto(path).await;
    page.settled().await;
    page.sees(ready).await;
    page.js("document.querySelector('aside.panel [aria-label=\"Response body\"]')?.scrollIntoView({ block: 'end' })", vec![]).await;
    for scheme in ["light", "dark"] {
        page.scheme(scheme).await;
        // A chart is drawn anew in the colours of the scheme; two frames later it is on the screen.
        page.js_later(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))",
            vec![],
        )
        .await;
        let file = directory().join(format!("{name}-{scheme}.png"));
        std::fs::write(file, page.screenshot().await).expect("docs/screenshots can be written");
    }
}

#[tokio::test]
#[ignore = "makes the pictures of the documentation; docs/screenshots.sh runs it"]
async fn the_main_pages_are_photographed() {
    std::fs::create_dir_all(directory()).expect("docs/screenshots can be made");
    // The hour of failures would end with a disabled webhook, and the story with it.
    let stage = Stage::with(|config| {
        config.delivery.disable_after_failures = 0;
        config.delivery.timeout = Span::parse("10s").expect("this is a span");
    })
    .await;
    let now = stage.app.clock.now();
    stage.app.clock.set(now.plus_ms(-(STEPS - 1) * STEP_MS));
    a_day_passes(&stage).await;
    let failed = stage
        .app
        .row_when(|row| row["event_type"] == "license.assigned" && row["response_status"] == 500)
        .await;
    let row = failed["id"].as_str().map_or_else(|| failed["id"].to_string(), str::to_owned);
    let webhook = failed["endpoint_id"].as_str().expect("it is text").to_owned();
    let page = stage.signed_in(Role::Owner, "").await;
    page.cdp("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
    let log = "webhook-deliveries?status=failed&status=exhausted";
    photograph(&page, "overview", "", "Success rate").await;
    photograph(&page, "deliveries", "webhook-deliveries", "license.assigned").await;
    photograph(&page, "failure", &format!("{log}&open={row}"), "seats.js").await;
    photograph(&page, "webhooks", "webhooks", "Licence portal").await;
    photograph(&page, "webhook", &format!("webhooks/{webhook}"), "Licence portal").await;
    page.width(390).await;
    photograph(&page, "narrow", "webhook-deliveries", "license.assigned").await;
    page.close().await;
}
