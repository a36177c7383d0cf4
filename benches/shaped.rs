//! What integrations cost: `cargo bench --bench shaped`.
//!
//! One webhook with a shaped request next to a plain one, each alone on a server of its own, in turn, in one run; and
//! the CPU time of a filter for an event of 1 KiB. Exit code 1 if a goal is missed: a shaped webhook reaches at least
//! 0.8 of the deliveries of a plain one, and a filter takes at most 5 µs.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use postrider::app::{Server, World};
use postrider::config::Config;
use postrider::domain::access::app::DEFAULT_APP;
use postrider::domain::delivery_filter::DeliveryFilter;
use postrider::domain::event::NewEvent;
use postrider::domain::shaping::{ParsedSubject, Subject};
use postrider::domain::{EventType, Timestamp};
use postrider::service::endpoints::endpoint_input;
use postrider::service::people::apps;
use postrider::service::{By, Caller};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

const EVENTS: u64 = 20_000;
const CLIENTS: u64 = 64;
const ROUNDS: usize = 3;
const RATIO_MIN: f64 = 0.8;
const FILTER_MAX_US: f64 = 5.0;

/// A payload of 1 KiB, as a service sends it.
fn payload(number: u64) -> Bytes {
    let head = format!(
        r#"{{"number":{number},"action":"published","release":{{"name":"1.4.0","prerelease":false,"body":"line 1\nline 2"}},"repository":{{"full_name":"ada/storefront"}},"labels":["a","b","c"],"rest":""#
    );
    format!("{head}{}\"}}", "x".repeat(1_022 - head.len())).into()
}

/// A message like that of a chat recipe.
fn shape() -> Value {
    json!({
        "sign": false,
        "query": { "wait": "true" },
        "body": {
            "content": "",
            "allowed_mentions": { "parse": [] },
            "embeds": [{
                "title": "{{ summary.title|truncate(250) }}",
                "url": "{{ summary.link }}",
                "description": "{{ payload.release.name }} of {{ payload.repository.full_name }}\n{{ payload.release.body|truncate(3900) }}",
                "color": "{{ summary.level|color }}",
                "timestamp": "{{ event.created_at }}",
                "footer": { "text": "{{ event.source or event.type }}" },
            }],
        },
    })
}

/// A receiver that counts.
async fn receiver() -> (SocketAddr, watch::Receiver<u64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (sender, count) = watch::channel(0);
    let sender = Arc::new(sender);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).ok();
            let sender = sender.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    request.into_body().collect().await.ok();
                    sender.send_modify(|n| *n += 1);
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                }
            });
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                http.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    (address, count)
}

/// Deliveries a second of one webhook, from the first post until all have arrived.
async fn deliveries(fields: Value) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::default();
    config.listen = ([127, 0, 0, 1], 0).into();
    config.data_dir = dir.path().join("data");
    config.network.allow = vec!["127.0.0.0/8".parse().expect("a network")];
    let server = Server::start(&config, World::real()).await.expect("the server starts");
    server.ready().await;
    let app = apps::find(&*server.store(), DEFAULT_APP).await.expect("there is one app");
    let caller = Arc::new(Caller { by: By::command_line(), app_id: app.id });
    let services = server.services().clone();

    let (address, mut count) = receiver().await;
    let mut all = json!({ "url": format!("http://{address}/hook"), "events": ["*"] });
    for (name, value) in fields.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    let rules = services.endpoints.input_rules();
    let checked = endpoint_input::read_object(&all, rules).expect("a webhook");
    services.endpoints.create(&caller, checked).await.expect("a webhook");

    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let (services, caller) = (services.clone(), caller.clone());
        tokio::spawn(async move {
            for number in (client..EVENTS).step_by(CLIENTS as usize) {
                let event = NewEvent {
                    event_type: EventType::parse("release.published").expect("a type"),
                    payload: payload(number),
                    resource_id: None,
                    idempotency_key: None,
                };
                services.events.post(&caller, event).await.expect("it is accepted");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("it does not panic");
    }
    count.wait_for(|count| *count >= EVENTS).await.expect("the receiver runs");
    let took = begun.elapsed();
    server.stop().await;
    EVENTS as f64 / took.as_secs_f64()
}

/// CPU time of filters for an event of 1 KiB, with parsing its payload, in µs: the slowest of them.
fn filter_us() -> f64 {
    const TIMES: u32 = 50_000;
    let event_type = EventType::parse("release.published").expect("a type");
    let payload = payload(7);
    let filters = [
        "payload.action == 'published' and not payload.release.prerelease",
        "payload.repository.full_name is match('^ada/[a-z]+$') or payload.number in [1, 2, 3]",
        "'b' in payload.labels and event.type == 'release.published'",
        "summary.level in ['warning', 'error']",
    ];
    let mut slowest = 0.0_f64;
    for text in filters {
        let filter = DeliveryFilter::new(text.to_owned());
        let begun = Instant::now();
        for _ in 0..TIMES {
            let subject = Subject {
                id: None,
                event_type: &event_type,
                resource_id: None,
                source: None,
                summary: None,
                created_at: Timestamp::from_millis(1_790_000_000_000),
                payload: &payload,
            };
            let verdict = filter.judge(&ParsedSubject::new(std::hint::black_box(subject)), "hook");
            assert!(std::hint::black_box(verdict).error.is_none(), "{text}");
        }
        let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES);
        println!("filter, event of 1 KiB: {each:.2} µs  {text}");
        slowest = slowest.max(each);
    }
    slowest
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() -> ExitCode {
    let slowest = filter_us();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut plain, mut shaped) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        plain.push(runtime.block_on(deliveries(json!({}))));
        shaped.push(runtime.block_on(deliveries(json!({ "request": shape() }))));
        let (plain, shaped) = (plain[round - 1], shaped[round - 1]);
        println!("round {round}: plain {plain:.0}/s, shaped {shaped:.0}/s");
    }
    let ratio = median(shaped) / median(plain);
    println!(
        "shaped: {ratio:.2} of plain (at least {RATIO_MIN}); filter: {slowest:.2} µs (at most {FILTER_MAX_US})"
    );
    if ratio >= RATIO_MIN && slowest <= FILTER_MAX_US { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
