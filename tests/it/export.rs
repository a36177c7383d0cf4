//! Exports of the delivery log (section 12 of the contract), over HTTP and opened again with readers
//! that know nothing of the writers.

use std::io::Cursor;

use calamine::{Data, Reader as _, Xlsx};
use postrider::domain::attempts::attempt::{Failure, Response};
use postrider::domain::{ErrorKind, EventId, EventType, Headers, Outcome, Timestamp};
use postrider::store::TestDelivery;
use serde_json::{Value, json};

use crate::support::app::start_time;
use crate::support::{TestApp, in_time};

const COLUMNS: [&str; 19] = [
    "id",
    "created_at",
    "endpoint_id",
    "endpoint_name",
    "endpoint_url",
    "event_id",
    "event_type",
    "validation_id",
    "delivery_id",
    "attempt",
    "attempted_at",
    "status",
    "trigger",
    "response_status",
    "response_time_ms",
    "error_kind",
    "error_message",
    "next_retry_at",
    "response_body",
];

/// An answer with a status, a body and a response time.
pub(crate) fn answered(at: Timestamp, status: u16, body: &str, ms: u32) -> Outcome {
    let failure = Failure { kind: ErrorKind::HttpStatus, message: format!("Answered with {status}.") };
    Outcome {
        attempted_at: Some(at),
        finished_at: at.plus_ms(ms.into()),
        response_time_ms: Some(ms),
        request: None,
        response: Some(Response {
            status,
            headers: Headers::default(),
            body: body.into(),
            body_truncated: false,
        }),
        failure: (status >= 300).then_some(failure),
        not_before: None,
        route: None,
        is_final: false,
    }
}

/// Logs finished attempts of a webhook; `outcome` makes each.
pub(crate) async fn log(app: &TestApp, hook: &str, n: u32, outcome: impl Fn(u32) -> Outcome) {
    let store = app.server().store();
    let app_id = store.app_find("default").await.unwrap().unwrap().id;
    let tests = (0..n).map(|i| {
        let created_at = start_time().plus_ms(i64::from(i) - 1_000_000);
        let test = TestDelivery {
            endpoint_id: hook.parse().unwrap(),
            event_id: EventId::at(created_at),
            event_type: EventType::parse(["license.assigned", "-x.y"][i as usize % 2]).unwrap(),
            payload: "{}".into(),
            created_at,
            outcome: outcome(i),
        };
        store.test_record(app_id, test)
    });
    for done in futures_util::future::join_all(tests).await {
        done.unwrap();
    }
}

/// A server with a webhook and a log of several pages; response times repeat, some are missing.
async fn filled(n: u32) -> (TestApp, String) {
    let app = TestApp::start().await;
    let hook = app.webhook("https://example.com/hook", json!({ "name": "=cmd|' /C calc'!A0" })).await.id;
    log(&app, &hook, n, |i| {
        let bodies = ["{\"ok\":true}", "=1+1", "a,\"b\"\r\nc", "007", "\t=x", "☃ é", "", "-5"];
        let mut outcome =
            answered(start_time(), [200, 500, 404][i as usize % 3], bodies[i as usize % 8], i % 7);
        if i % 5 == 0 {
            outcome.response = None;
            outcome.response_time_ms = None;
            outcome.failure = Some(Failure { kind: ErrorKind::Timeout, message: "+too slow".to_owned() });
        }
        outcome
    })
    .await;
    (app, hook)
}

/// All rows of a list, page by page.
async fn walked(app: &TestApp, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let list = app.get(&path).await.expect(200);
        for row in list["data"].as_array().unwrap() {
            let mut flat = row["attributes"].clone();
            flat["id"] = row["id"].clone();
            rows.push(flat);
        }
        next = list["links"]["next"].as_str().map(str::to_owned);
    }
    rows
}

fn jsonl(text: &str) -> Vec<Value> {
    text.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the list says, in the columns of an export.
fn in_columns(row: &Value) -> Vec<Value> {
    COLUMNS.iter().map(|name| row[name].clone()).collect()
}

fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// A value of the list as CSV has it.
fn as_csv(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // A tab may begin a cell, so a formula behind it is neutralized, too.
        Value::String(text) if text.starts_with(['=', '+', '-', '\t']) => {
            format!("'{}", text.replace("\t=", "\t'="))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn csv_has_every_row_of_the_list_and_neutralises_formulas() {
    let (app, hook) = filled(1_203).await;
    let answer = app.get("/v1/webhooks/deliveries/export?format=csv").await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        answer.header("content-disposition"),
        Some("attachment; filename=\"webhook-deliveries-all-2026-03-01.csv\"")
    );
    let rows = csv_rows(&answer.text);
    assert_eq!(rows[0], COLUMNS);
    let list = walked(&app, "/v1/webhooks/deliveries?per_page=200").await;
    assert_eq!((rows.len(), list.len()), (1_204, 1_203));
    for (row, listed) in rows[1..].iter().zip(&list) {
        assert_eq!(*row, in_columns(listed).iter().map(as_csv).collect::<Vec<_>>());
    }
    assert!(rows.iter().any(|row| row[18] == "'=1+1") && rows.iter().any(|row| row[6] == "'-x.y"));
    assert_eq!(rows[1][3], "'=cmd|' /C calc'!A0");

    let one = app.get(&format!("/v1/webhooks/{hook}/deliveries/export?format=csv")).await;
    let name = format!("attachment; filename=\"webhook-deliveries-{hook}-2026-03-01.csv\"");
    assert_eq!(one.header("content-disposition"), Some(name.as_str()));
    assert_eq!(one.text, answer.text);
}

#[tokio::test]
async fn jsonl_has_every_row_of_the_list_in_any_order_and_filter() {
    let (app, _) = filled(1_203).await;
    for query in [
        "",
        "sort=created_at",
        "sort=-response_time_ms",
        "sort=response_status&status=exhausted",
        "sort=status",
        "status=delivered&status=exhausted&event_type=license.*",
        "response_status=5xx&q=LICENSE",
        "error_kind=timeout&since=2026-03-01T11:43:20.100Z&until=2026-03-01T14:00:00%2B02:00",
    ] {
        let answer = app.get(&format!("/v1/webhooks/deliveries/export?format=jsonl&{query}")).await;
        assert_eq!(answer.header("content-type"), Some("application/x-ndjson"), "{}", answer.text);
        let rows = jsonl(&answer.text);
        let list = walked(&app, &format!("/v1/webhooks/deliveries?per_page=200&{query}")).await;
        assert!(rows.len() > 100, "{query}");
        assert_eq!(rows.len(), list.len(), "{query}");
        for (row, listed) in rows.iter().zip(&list) {
            assert_eq!(in_columns(row), in_columns(listed), "{query}");
            assert_eq!(row.as_object().unwrap().len(), COLUMNS.len());
        }
    }
}

/// A workbook's sheet, and the file's parts as text.
fn sheet(bytes: Vec<u8>) -> calamine::Range<Data> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).unwrap();
    let name = book.sheet_names()[0].clone();
    book.worksheet_range(&name).unwrap()
}

async fn bytes_of(app: &TestApp, path: &str) -> Vec<u8> {
    let answer = app.request(reqwest::Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let wanted = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    assert_eq!(answer.headers()["content-type"], wanted);
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn xlsx_has_typed_cells_of_every_row() {
    let (app, _) = filled(620).await;
    let sheet = sheet(bytes_of(&app, "/v1/webhooks/deliveries/export?format=xlsx").await);
    let list = walked(&app, "/v1/webhooks/deliveries?per_page=200").await;
    let rows: Vec<&[Data]> = sheet.rows().collect();
    assert_eq!(rows.len(), 621);
    assert_eq!(rows[0], COLUMNS.map(|name| Data::String(name.to_owned())));
    for (row, listed) in rows[1..].iter().zip(&list) {
        for ((cell, name), value) in row.iter().zip(COLUMNS).zip(in_columns(listed)) {
            match (cell, &value) {
                (Data::Empty, Value::Null) => {}
                (Data::Empty, Value::String(text)) if text.is_empty() => {}
                (Data::Float(n), Value::Number(listed)) => assert_eq!(Some(*n), listed.as_f64()),
                (Data::DateTime(date), Value::String(text)) if name.ends_with("_at") => {
                    let days = date.as_f64() - 25_569.0;
                    let shown = Timestamp::from_millis((days * 86_400_000.0).round() as i64).to_string();
                    assert_eq!(shown, *text);
                }
                // A line break is a line feed in a workbook.
                (Data::String(text), Value::String(listed)) => {
                    assert_eq!(*text, listed.replace("\r\n", "\n"))
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_header_row_of_a_workbook_is_frozen_and_filtered() {
    let (app, _) = filled(3).await;
    let bytes = bytes_of(&app, "/v1/webhooks/deliveries/export?format=xlsx").await;
    let book = umya_spreadsheet::reader::xlsx::read_reader(Cursor::new(bytes), true).unwrap();
    let sheet = book.sheet(0).unwrap();
    assert_eq!(sheet.auto_filter().unwrap().range().range(), "A1:S4");
    let pane = sheet.sheets_views().sheet_view_list()[0].pane().unwrap();
    assert_eq!((pane.vertical_split(), pane.horizontal_split()), (1.0, 0.0));
    assert!(matches!(pane.state(), umya_spreadsheet::PaneStateValues::Frozen));
    assert_eq!(sheet.style("B2").number_format().unwrap().format_code(), "yyyy-mm-dd hh:mm:ss.000");
}

#[tokio::test]
async fn nothing_that_matches_makes_a_file_without_rows() {
    let (app, _) = filled(3).await;
    let path = |format: &str| format!("/v1/webhooks/deliveries/export?status=cancelled&format={format}");
    assert_eq!(app.get(&path("csv")).await.text, format!("{}\n", COLUMNS.join(",")));
    let empty = app.get(&path("jsonl")).await;
    assert_eq!((empty.status, empty.text.as_str()), (200, ""));
    assert_eq!(sheet(bytes_of(&app, &path("xlsx")).await).height(), 1);
}

#[tokio::test]
async fn a_workbook_has_a_limit_and_the_other_formats_have_none() {
    let app = TestApp::with(|config| config.export.xlsx_max_rows = 5).await;
    let hook = app.webhook("https://example.com/", json!({})).await.id;
    log(&app, &hook, 6, |i| answered(start_time(), if i == 0 { 500 } else { 200 }, "x", 1)).await;
    let refused = app.get("/v1/webhooks/deliveries/export?format=xlsx").await;
    let problems = refused.problems(422);
    assert_eq!(problems, [("validation_failed".to_owned(), Some("format".to_owned()))]);
    let detail = refused.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("narrow the filter") && detail.contains("csv"), "{detail}");
    let path = "/v1/webhooks/deliveries/export?format=xlsx&status=delivered";
    assert_eq!(sheet(bytes_of(&app, path).await).height(), 6);
    assert_eq!(csv_rows(&app.get("/v1/webhooks/deliveries/export?format=csv").await.text).len(), 7);
}

#[tokio::test]
async fn what_cannot_be_exported_is_told() {
    let app = TestApp::start().await;
    let parameter = |name: &str| [("validation_failed".to_owned(), Some(name.to_owned()))];
    let all = "/v1/webhooks/deliveries/export";
    assert_eq!(app.get(all).await.problems(422), parameter("format"));
    assert_eq!(app.get(&format!("{all}?format=pdf")).await.problems(422), parameter("format"));
    assert_eq!(app.get(&format!("{all}?format=csv&page=2")).await.problems(422), parameter("page"));
    assert_eq!(app.get(&format!("{all}?format=csv&status=x")).await.problems(422), parameter("status"));
    assert_eq!(app.get(&format!("{all}?sort=x")).await.problems(422).len(), 2);
    for id in ["f47ac10b-58cc-4372-a567-0e02b2c3d479", "nonsense"] {
        app.get(&format!("/v1/webhooks/{id}/deliveries/export?format=csv")).await.problems(404);
    }
    let token = app.key("events:write", None).await;
    let refused = crate::support::app::send(app.request_as(
        &token,
        reqwest::Method::GET,
        "/v1/webhooks/deliveries/export?format=csv",
    ));
    refused.await.problems(403);
}

#[tokio::test]
async fn an_app_exports_only_its_own_rows() {
    let (app, hook) = filled(3).await;
    app.app("other").await;
    let token = app.key("webhooks:read", Some("other")).await;
    for (path, status) in [
        ("/v1/webhooks/deliveries/export?format=jsonl".to_owned(), 200),
        (format!("/v1/webhooks/deliveries/export?format=jsonl&endpoint_id={hook}"), 200),
        (format!("/v1/webhooks/{hook}/deliveries/export?format=jsonl"), 404),
    ] {
        let answer = crate::support::app::send(app.request_as(&token, reqwest::Method::GET, &path)).await;
        assert_eq!(answer.status, status);
        assert!(status == 404 || answer.text.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_export() {
    let app = TestApp::start().await;
    let hook = app.webhook("https://example.com/", json!({})).await.id;
    // More than sockets hold, so that the export waits for its reader.
    log(&app, &hook, 8_000, |_| answered(start_time(), 200, &"𝄞".repeat(500), 1)).await;
    let mut running = app.server().services().exports.running();
    let request = app.request(reqwest::Method::GET, "/v1/webhooks/deliveries/export?format=csv");
    let mut answer = in_time("the head", request.send()).await.unwrap();

    in_time("the first piece", answer.chunk()).await.unwrap().unwrap();
    assert_eq!(*running.borrow_and_update(), 1);
    drop(answer);
    in_time("the end of the export", running.wait_for(|n| *n == 0)).await.unwrap();
}

#[tokio::test]
async fn workbooks_are_made_one_after_the_other_and_all_are_made() {
    let (app, _) = filled(600).await;
    let path = "/v1/webhooks/deliveries/export?format=xlsx";
    let files = futures_util::future::join_all((0..4).map(|_| bytes_of(&app, path))).await;
    for file in files {
        assert_eq!(sheet(file).height(), 601);
    }
    assert_eq!(*app.server().services().exports.running().borrow(), 0);
}
