//! One attempt through real sockets.
//!
//! Where a timeout is itself under test it is real and short, since sockets follow no fake clock; all
//! other timeouts are so long that they can only pass when something hangs.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use postrider::delivery::{Lookup, Sender, SenderConfig};
use postrider::domain::attempts::attempt::Failure;
use postrider::domain::endpoint::{EndpointHeader, HeaderValue, RetiredSecret};
use postrider::domain::network::NetworkPolicy;
use postrider::domain::{
    AppId, AttemptId, Budget, Endpoint, ErrorKind, EventId, EventType, Outcome, SigningSecret, Span,
    Timestamp, Trigger,
};
use postrider::host::clock::FakeClock;
use postrider::host::vault::Vault;
use postrider::store::LoadedAttempt;

use crate::support::{endpoints, in_time, programs};

mod begin;
mod child;
mod failures;
mod lenient;
mod local;
mod network;
mod requests;
mod responses;
mod tls;

/// A sender with everything it needs, and a way to make jobs for it.
struct Bench {
    clock: Arc<FakeClock>,
    vault: Arc<Vault>,
    secret: SigningSecret,
    sender: Sender,
}

/// What the tests change about a sender.
struct Setup {
    timeout: &'static str,
    connect_timeout: &'static str,
    response_body_limit: usize,
    signing_headers: Vec<String>,
    allow: &'static [&'static str],
    lookup: Option<Arc<dyn Lookup>>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            timeout: "20s",
            connect_timeout: "20s",
            response_body_limit: 16 * 1_024,
            signing_headers: vec!["X-Webhook-Signature".to_owned()],
            allow: &["127.0.0.0/8"],
            lookup: None,
        }
    }
}

impl Setup {
    fn bench(self) -> Bench {
        let clock = Arc::new(FakeClock::new(Timestamp::parse("2026-03-01T12:00:00.750Z").unwrap()));
        let vault = Arc::new(Vault::new(b"a key for tests, not for anything else"));
        let config = SenderConfig {
            timeout: Span::parse(self.timeout).unwrap(),
            connect_timeout: Span::parse(self.connect_timeout).unwrap(),
            response_body_limit: self.response_body_limit,
            signing_headers: self.signing_headers,
            policy: NetworkPolicy::new(self.allow.iter().map(|net| net.parse().unwrap()).collect()),
        };
        let sender = match self.lookup {
            Some(lookup) => Sender::with_lookup(config, clock.clone(), vault.clone(), lookup),
            None => Sender::new(config, clock.clone(), vault.clone()),
        };
        let secret = SigningSecret::from_key(&[42; 32]);
        Bench { clock, vault, secret, sender: sender.unwrap() }
    }
}

impl Bench {
    /// A sender that may reach loopback addresses and has long timeouts.
    fn new() -> Bench {
        Setup::default().bench()
    }

    /// A first attempt at this URL.
    fn job(&self, url: &str) -> LoadedAttempt {
        self.job_with(url, |_, _| {})
    }

    /// The same after changes to its endpoint.
    fn job_with(&self, url: &str, change: impl FnOnce(&mut Endpoint, &Vault)) -> LoadedAttempt {
        let now = Timestamp::from_millis(0);
        let mut endpoint = endpoints::endpoint(AppId::new(now), endpoints::settings(url, &["*"]), now);
        endpoint.secret = self.vault.seal_signing_secret(endpoint.id, &self.secret);
        change(&mut endpoint, &self.vault);
        LoadedAttempt {
            id: AttemptId(7),
            attempt: 3,
            trigger: Trigger::Event,
            budget: Budget::Single,
            delivery_id: AttemptId(7),
            event_id: EventId::new(now),
            event_type: EventType::parse("license.assigned").unwrap(),
            created_at: postrider::host::clock::Clock::now(&*self.clock),
            resource_id: None,
            payload: Bytes::from_static(PAYLOAD),
            endpoint: Arc::new(endpoint),
            from: None,
        }
    }

    /// Sends to this URL.
    async fn send_to(&self, url: &str) -> Outcome {
        self.send(&self.job(url)).await
    }

    async fn send(&self, job: &LoadedAttempt) -> Outcome {
        in_time("the end of an attempt", self.sender.send(job)).await
    }
}

/// Spaces and a last line feed show that the bytes are not parsed and written again.
const PAYLOAD: &[u8] = b"{ \"licence\" : \"Zo\xc3\xab\",\"n\": 1.0 }\n";

/// A lookup that knows one answer for every name.
fn always(addrs: &'static [&'static str]) -> Option<Arc<dyn Lookup>> {
    let answer =
        move |_: &str| -> io::Result<Vec<IpAddr>> { Ok(addrs.iter().map(|a| a.parse().unwrap()).collect()) };
    Some(Arc::new(answer))
}

#[track_caller]
fn failure(outcome: &Outcome) -> &Failure {
    outcome.failure.as_ref().unwrap_or_else(|| panic!("a failure is expected: {outcome:?}"))
}

/// Checks kind and part of the message of a failure.
#[track_caller]
fn assert_failed(outcome: &Outcome, kind: ErrorKind, part: &str) {
    let failure = failure(outcome);
    assert_eq!(failure.kind, kind, "{failure:?}");
    assert!(failure.message.contains(part), "{:?} lacks {part:?}", failure.message);
}

#[track_caller]
fn assert_delivered(outcome: &Outcome) {
    assert_eq!(outcome.failure, None);
}

fn own_header(name: &str, value: &str) -> EndpointHeader {
    EndpointHeader { name: name.to_owned(), value: HeaderValue::Plain(value.to_owned()) }
}

fn retired(endpoint: &Endpoint, vault: &Vault, key: u8, valid_until: &str) -> (SigningSecret, RetiredSecret) {
    let secret = SigningSecret::from_key(&[key; 32]);
    let sealed = vault.seal_signing_secret(endpoint.id, &secret);
    (secret, RetiredSecret { secret: sealed, valid_until: Timestamp::parse(valid_until).unwrap() })
}
