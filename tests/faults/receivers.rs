//! Receivers of the worst kinds: each fails as what it is, none costs memory, and none costs its neighbours
//! time.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::program::{Program, Running};
use crate::shim::Shim;
use crate::sink::Sink;
use crate::support::certificates::{self, Authority};
use crate::support::{Hostile, Receiver, Then, in_time};
use crate::{form, say};

/// What may be kept of an answer.
const KEPT: usize = 16 << 10;
const MEMORY_KIB: u64 = 150 << 10;

/// A bad receiver: what it is, where, and how its deliveries end; `None` = delivered.
struct Bad {
    what: &'static str,
    url: String,
    kind: Option<&'static str>,
}

/// All kinds, and what has to live as long as they.
struct Zoo {
    all: Vec<Bad>,
    _hostile: Vec<Hostile>,
    _receivers: Vec<Receiver>,
    dripping: tokio::task::JoinHandle<()>,
}

impl Drop for Zoo {
    fn drop(&mut self) {
        self.dripping.abort();
    }
}

/// Answers a byte a second.
async fn drip(listener: TcpListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            // An answer before the request would be no answer.
            stream.read_exact(&mut [0]).await.ok();
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
}

/// A zoo with a thread of its own, so that its floods hold up nobody else in the test's process.
struct Caged {
    /// What each is, and where.
    all: Vec<(&'static str, String)>,
    open: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Drop for Caged {
    fn drop(&mut self) {
        drop(self.open.take());
    }
}

async fn caged(trusted: Authority) -> Caged {
    let (tell, told) = tokio::sync::oneshot::channel();
    let (open, close) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let zoo = Zoo::open(&trusted).await;
            tell.send(zoo.all.iter().map(|bad| (bad.what, bad.url.clone())).collect::<Vec<_>>()).ok();
            close.await.ok();
        });
    });
    Caged { all: told.await.unwrap(), open: Some(open) }
}

impl Zoo {
    async fn open(trusted: &Authority) -> Zoo {
        let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slow_url = format!("http://{}/", slow.local_addr().unwrap());
        let bomb = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000000000\r\n\r\n\x1f";
        let huge = "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart";
        let hostile = [
            ("never answers", Hostile::silent().await, Some("timeout")),
            ("endless headers", Hostile::endless("HTTP/1.1 200 OK\r\n", b"x: y\r\n").await, Some("protocol")),
            ("endless 1xx", Hostile::endless("", b"HTTP/1.1 100 Continue\r\n\r\n").await, Some("protocol")),
            ("a body of 10 GB", Hostile::endless(huge, b"x").await, None),
            ("a compressed bomb", Hostile::endless(bomb, b"\0").await, None),
            ("a reset in the middle", Hostile::answers(cut, Then::Reset).await, Some("protocol")),
            ("an end in the middle", Hostile::answers(cut, Then::Close).await, Some("protocol")),
            ("no HTTP", Hostile::answers("SSH-2.0-OpenSSH_9.6\r\n", Then::Stall).await, Some("protocol")),
        ];
        let mut all: Vec<Bad> =
            hostile.iter().map(|(what, at, kind)| Bad { what, url: at.url("/"), kind: *kind }).collect();
        let mut hostile: Vec<_> = hostile.into_iter().map(|(_, hostile, _)| hostile).collect();
        let stalling = Hostile::silent().await;
        all.push(Bad { what: "TLS that stalls", url: stalling.https_url("/"), kind: Some("timeout") });
        hostile.push(stalling);
        all.push(Bad { what: "a byte a second", url: slow_url, kind: Some("timeout") });
        let wrong = Receiver::start_tls(certificates::self_signed_server(&["127.0.0.1"])).await;
        all.push(Bad { what: "a wrong certificate", url: wrong.url("/"), kind: Some("tls") });
        let other = Receiver::start_tls(trusted.server(&["hooks.example"])).await;
        all.push(Bad { what: "a certificate of another host", url: other.url("/"), kind: Some("tls") });
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        all.push(Bad { what: "nobody there", url: format!("http://{nobody}/"), kind: Some("connect") });
        let name = |host: &str| format!("http://{host}.test/");
        all.push(Bad { what: "a name of nothing", url: name("a.nothing"), kind: Some("dns") });
        // The resolver is silent for this name alone: another name works all the time.
        all.push(Bad { what: "a name that hangs", url: name("a.slow"), kind: Some("timeout") });
        let dripping = tokio::spawn(drip(slow));
        Zoo { all, _hostile: hostile, _receivers: vec![wrong, other], dripping }
    }
}

/// A program that trusts this authority, with a resolver that knows names of nothing and hangs at others.
fn program(trusted: &Authority) -> Program {
    let mut program = Program::new();
    let shim = Shim::new(&program.disk, program.dir(), None);
    let is_resolver = |name: &str| name == "LD_PRELOAD";
    shim.env.iter().filter(|(name, _)| is_resolver(name)).for_each(|(name, value)| program.set(name, value));
    let file = program.dir().join("ca.pem");
    std::fs::write(&file, trusted.pem()).unwrap();
    program.set("SSL_CERT_FILE", file.to_str().unwrap());
    program.set("POSTRIDER_DELIVERY__TIMEOUT", "2s");
    program.set("POSTRIDER_DELIVERY__CONNECT_TIMEOUT", "1s");
    // The worst case for their neighbours: they get everything, and are never on hold.
    program.set("POSTRIDER_DELIVERY__DISABLE_AFTER_FAILURES", "0");
    program.set("POSTRIDER_DELIVERY__CIRCUIT_FAILURES", "0");
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_receiver_gets_the_right_error_kind_and_costs_no_memory() {
    let trusted = Authority::new();
    let (zoo, program) = (Zoo::open(&trusted).await, program(&trusted));
    let token = program.key().await;
    let (running, _) = program.serve(&token).await;
    let before = running.peak_kib();
    let mut ids = Vec::new();
    for bad in &zoo.all {
        ids.push(running.webhook(&bad.url, "bad.event", json!({ "retry_schedule": [] })).await);
    }
    let proof = Sink::start().await;
    running.webhook(&proof.url("/").replace("127.0.0.1", WORKS), "good.event", json!({})).await;
    let rounds = form(1, 20);
    for n in 0..rounds {
        let good = json!({ "event_type": "good.event", "payload": { "n": format!("good-{n}") } });
        assert_eq!(running.post("/v1/events", good).await.0, 202);
        running.drained().await;
        let body = json!({ "event_type": "bad.event", "payload": { "n": n } });
        assert_eq!(running.post("/v1/events", body).await.0, 202);
        running.drained().await;
    }
    for (bad, id) in zoo.all.iter().zip(&ids) {
        let (_, list) = running.get(&format!("/v1/webhooks/{id}/deliveries?per_page=200")).await;
        let list: Value = serde_json::from_str(&list).unwrap();
        let rows = list["data"].as_array().unwrap();
        assert_eq!(rows.len(), rounds);
        for row in rows {
            assert_eq!(row["attributes"]["error_kind"].as_str(), bad.kind, "{}: {row:#}", bad.what);
            let (_, row) = running.get(&format!("/v1/webhooks/deliveries/{}", row["id"])).await;
            let row: Value = serde_json::from_str(&row).unwrap();
            let body = row["data"]["attributes"]["response"]["body"].as_str().unwrap_or_default();
            assert!(body.chars().count() <= KEPT, "{}: {} kept", bad.what, body.len());
        }
    }
    let peak = running.peak_kib();
    running.stop().await;
    say(
        "bad receivers",
        format!(
            "{} kinds, {rounds} each, all told apart; peak memory {:.1} MiB, before {:.1} MiB",
            zoo.all.len(),
            peak as f64 / 1024.0,
            before as f64 / 1024.0
        ),
    );
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

/// Posts events to all healthy webhooks at a steady pace, and gives how long each took to arrive.
async fn steady(running: &Running, sink: &Sink, prefix: &str, count: usize) -> Vec<Duration> {
    let mut pace = tokio::time::interval(PACE);
    let mut posted = Vec::new();
    for n in 0..count {
        pace.tick().await;
        let name = format!("{prefix}-{n}");
        let body = json!({ "event_type": format!("healthy.kind{}", n % HEALTHY), "payload": { "n": name } });
        posted.push((name, Instant::now()));
        assert_eq!(running.post("/v1/events", body).await.0, 202);
    }
    let names: Vec<_> = posted.iter().map(|(name, _)| name.clone()).collect();
    let missing = sink.all_of(names.iter(), Duration::from_secs(30)).await;
    if let Some(first) = missing.first() {
        let n = names.iter().position(|name| name == first).unwrap_or_default();
        let of = |status| {
            format!("/v1/webhooks/deliveries?event_type=healthy.kind{}&status={status}", n % HEALTHY)
        };
        let (failed, pending) = (running.get(&of("failed")).await.1, running.get(&of("pending")).await.1);
        panic!(
            "{} of {count} to the healthy did not arrive, {first:?} first\n{failed}\n{pending}",
            missing.len()
        );
    }
    posted.into_iter().map(|(name, at)| sink.of(&name).unwrap().first - at).collect()
}

/// Between two events.
const PACE: Duration = Duration::from_millis(10);
/// The same for the others, who are other clients: they do not keep step.
const OTHER_PACE: Duration = Duration::from_micros(9_700);
/// The most when 200 requests begin in the same moment; more than their work, far less than a timeout.
const AT_ONCE: Duration = Duration::from_millis(750);
/// The same for a debug build on a busy machine, to which 600 requests are work; without protection it is 5
/// s.
const AT_ONCE_SHORT: Duration = Duration::from_secs(3);
/// By then how the resting endpoints answered is no longer known from their lanes: they are forgotten every 5
/// s.
const REST: Duration = Duration::from_secs(6);
const HEALTHY: usize = 20;
const UNHEALTHY: usize = 200;
const KINDS: usize = 15;
/// A name of this machine. That it works proves that a resolver which is silent for another name is no trouble of
/// this machine.
const WORKS: &str = "ok.works.test";

fn p99(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits[waits.len() * 99 / 100]
}

/// How long the healthy wait alone, beside others that get as many events, and beside others that get an
/// event all at once; measured in turn, so that a busy machine is busy for all of them alike.
struct Beside {
    running: Running,
    sink: Sink,
    others: usize,
    alone: Vec<Duration>,
    beside: Vec<Duration>,
    at_once: Vec<Duration>,
}

impl Beside {
    /// A server with the healthy webhooks and these.
    async fn start(program: &Program, token: &str, others: impl Iterator<Item = &String>) -> Beside {
        let (sink, (running, _)) = (Sink::start().await, program.serve(token).await);
        // By a name, because real receivers have one: looking names up must not be held up.
        let healthy = sink.url("/").replace("127.0.0.1", WORKS);
        for n in 0..HEALTHY {
            running.webhook(&healthy, &format!("healthy.kind{n}"), json!({})).await;
        }
        let mut count = 0;
        for url in others {
            let events = json!({ "retry_schedule": [], "events": [format!("bad.kind{count}"), "bad.all"] });
            running.webhook(url, "bad.all", events).await;
            count += 1;
        }
        steady(&running, &sink, "warm", 100).await;
        Beside { running, sink, others: count, alone: vec![], beside: vec![], at_once: vec![] }
    }

    async fn bad(&self, event_type: &str) {
        let body = json!({ "event_type": event_type, "payload": { "n": "bad" } });
        assert_eq!(self.running.post("/v1/events", body).await.0, 202);
    }

    /// An event to each of the others in turn, as many as the healthy get.
    async fn bad_in_turn(&self, count: usize) {
        let mut pace = tokio::time::interval(OTHER_PACE);
        for n in 0..count {
            pace.tick().await;
            self.bad(&format!("bad.kind{}", n % self.others)).await;
        }
    }

    async fn round(&mut self, round: usize, count: usize) {
        self.running.drained().await;
        let name = format!("alone{round}");
        self.alone.extend(steady(&self.running, &self.sink, &name, count).await);
        let name = format!("beside{round}");
        let healthy = steady(&self.running, &self.sink, &name, count);
        let (waits, ()) = tokio::join!(healthy, self.bad_in_turn(count));
        self.beside.extend(waits);
        self.running.drained().await;
        tokio::time::sleep(REST).await;
        for _ in 0..3 {
            self.bad("bad.all").await;
        }
        let name = format!("at once{round}");
        self.at_once.extend(steady(&self.running, &self.sink, &name, count / 2).await);
        self.running.drained().await;
    }

    /// Stops the server. Gives the p99 of each, and the most memory in KiB.
    async fn end(self) -> ([Duration; 3], u64) {
        let peak = self.running.peak_kib();
        in_time("the stop", self.running.stop()).await;
        ([p99(self.alone), p99(self.beside), p99(self.at_once)], peak)
    }
}

/// Which of the bad ones cost what: no limit, but where to look when the test below fails.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a table for finding a cause"]
async fn two_hundred_bad_receivers_of_each_kind_in_turn() {
    let trusted = Authority::new();
    let mut programs = std::iter::from_fn(|| Some(program(&trusted))).take(1 + KINDS).collect::<Vec<_>>();
    let zoo = caged(trusted).await;
    assert_eq!(zoo.all.len(), KINDS);
    // What as many events cost when nothing is wrong.
    let fine = Sink::start().await;
    let measure = ("all is well", fine.url("/"));
    let wanted = std::env::var("POSTRIDER_FAULTS_KIND").unwrap_or_default();
    let kinds = std::iter::once(&measure).chain(&zoo.all);
    for (what, url) in kinds.filter(|(what, _)| what.contains(&wanted)) {
        let program = programs.pop().expect("there is one for each");
        let token = program.key().await;
        let mut test = Beside::start(&program, &token, std::iter::repeat_n(url, UNHEALTHY)).await;
        let before = test.running.cpu();
        for round in 0..form(1, 2) {
            test.round(round, 300).await;
        }
        let cpu = test.running.cpu() - before;
        let ([alone, beside, at_once], peak) = test.end().await;
        say(
            what,
            format!(
                "p99 {alone:.1?} alone, {beside:.1?} beside, {at_once:.1?} at once; {cpu:.1?} of CPU, {} MiB",
                peak >> 10
            ),
        );
    }
}

/// What a busy machine may add, where it is about seconds.
fn loose(alone: Duration) -> Duration {
    alone * 4 + Duration::from_millis(250)
}

/// What is promised.
fn strict(alone: Duration) -> Duration {
    alone.mul_f64(1.5)
}

/// Rounds with 20 healthy webhooks beside 200 of these kinds, held to the limits.
async fn twenty_healthy_beside_two_hundred(
    what: &str,
    program: &Program,
    trusted: Authority,
    wanted: impl Fn(&str) -> bool,
    (rounds, count): (usize, usize),
    (beside_limit, at_once_limit): (impl Fn(Duration) -> Duration, Duration),
) {
    let zoo = caged(trusted).await;
    let token = program.key().await;
    let bad = zoo.all.iter().filter(|(what, _)| wanted(what)).map(|(_, url)| url).cycle().take(UNHEALTHY);
    let mut test = Beside::start(program, &token, bad).await;
    for round in 0..rounds {
        test.round(round, count).await;
    }
    let ([alone, beside, at_once], peak) = test.end().await;
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    say(
        what,
        format!(
            "healthy p99 {alone:.1?} alone, {beside:.1?} beside them ({ratio:.2} times), {at_once:.1?} when all of them \
             get events at once; peak memory {:.1} MiB",
            peak as f64 / 1024.0
        ),
    );
    assert!(beside <= beside_limit(alone), "beside them {beside:?}, alone {alone:?}");
    assert!(at_once <= at_once_limit, "when they get events at once {at_once:?}, alone {alone:?}");
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_bad_receivers_do_not_slow_twenty_healthy_ones() {
    let trusted = Authority::new();
    let program = program(&trusted);
    let (what, rounds) = ("200 bad beside 20 healthy", form((1, 200), (5, 600)));
    let limits: (fn(_) -> _, _) = form((loose, AT_ONCE_SHORT), (strict, AT_ONCE));
    twenty_healthy_beside_two_hundred(what, &program, trusted, |_| true, rounds, limits).await;
}

/// Of all kinds those that hold a slot for as long as a request may take; and there are fewer slots than of
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_receivers_that_hang_do_not_slow_twenty_healthy_ones() {
    let trusted = Authority::new();
    let mut program = program(&trusted);
    program.set("POSTRIDER_DELIVERY__CONCURRENCY", "128");
    let hangs = |what: &str| {
        ["never answers", "TLS that stalls", "a byte a second", "a name that hangs"].contains(&what)
    };
    let (what, rounds) = ("200 that hang beside 20 healthy", form((1, 300), (3, 600)));
    // A delivery behind one of them would wait for 2 s.
    twenty_healthy_beside_two_hundred(what, &program, trusted, hangs, rounds, (loose, AT_ONCE)).await;
}
