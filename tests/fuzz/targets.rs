//! What is fuzzed: functions that take any bytes and panic when a rule is broken. The fuzzers of
//! fuzz_targets/ call them, and tests/it/security/corpus.rs feeds them what was kept.

use std::net::IpAddr;

use poem::Request;
use postrider::config::{Config, Sources};
use postrider::domain::EventType;
use postrider::domain::attempts::retry_after;
use postrider::domain::network::{self, NetworkPolicy};
use postrider::domain::pattern::EventPattern;
use postrider::domain::{Timestamp, endpoint};
use postrider::http::request::paging::{CursorKey, PARAMS, Paging};
use postrider::http::request::query::Query;

#[path = "integrations.rs"]
mod integrations;
pub(crate) use integrations::{bodies, language, verifiers};

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// A webhook's URL: what is taken is plain, and no private address of the standard library's passes.
pub(crate) fn url(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(url) = endpoint::parse_url(text) else { return };
    assert!(matches!(url.scheme(), "http" | "https"), "{url}");
    assert!(text.chars().count() <= 2_048, "{url}");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
    assert!(!url.as_str().chars().any(char::is_control), "{url}");
    let Some(address) = network::literal(&url) else { return };
    let is_private = match address {
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_unspecified()
        }
        IpAddr::V6(v6) => !(0x2000..0x4000).contains(&v6.segments()[0]),
    };
    let passes = NetworkPolicy::new(Vec::new()).check_url_literal(&url).is_ok();
    assert!(!(is_private && passes), "{text:?} is {address}");
}

/// A pattern and, behind a line break, an event type.
pub(crate) fn pattern(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (wanted, found) = text.split_once('\n').unwrap_or((text, text));
    let (Ok(pattern), found) = (EventPattern::parse(wanted), EventType::parse(found)) else { return };
    assert_eq!(EventPattern::parse(&pattern.to_string()).as_ref(), Ok(&pattern), "it reads back");
    let Ok(found) = found else { return };
    let is_system = found.to_string().starts_with("webhook_endpoint.");
    let by_hand = match wanted.strip_suffix(".*") {
        _ if wanted == "*" => !is_system,
        Some(prefix) => found.to_string().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        None => found.to_string() == wanted,
    };
    assert_eq!(pattern.matches(&found), by_hand, "{wanted} {found}");
}

/// The query of a list: one that is read is one that was made here, and never for another list.
pub(crate) fn cursor(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(uri) = format!("/v1/events?{text}").parse() else { return };
    let request = Request::builder().uri(uri).finish();
    let read = |scope: &str| {
        let mut query = Query::of(&request, &PARAMS);
        let key = CursorKey::new([7; 32]);
        let read = Paging::read::<i64>(&mut query, &key, "/v1/events".to_owned(), scope);
        query.finish().is_ok() && read.is_some() && query_has_cursor(&request)
    };
    assert!(!(read("a") && read("b")), "{text}");
}

fn query_has_cursor(request: &Request) -> bool {
    Query::lenient(request).text("cursor").is_some()
}

/// `Retry-After`: later, and never by more than a day.
pub(crate) fn retry_after(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for now in [0, 1_700_000_000_000, 253_402_300_799_000 - retry_after::MAX_MS] {
        let now = Timestamp::from_millis(now);
        if let Some(until) = retry_after::parse(text, now) {
            let wait = until.as_millis() - now.as_millis();
            assert!((1..=retry_after::MAX_MS).contains(&wait), "{text:?}: {wait}");
        }
    }
}

/// A configuration in the environment, a variable on each line: taken, or every problem told in a line.
pub(crate) fn config(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let variable = |line: &str| {
        let (name, value) = line.split_once('=')?;
        // Variables that name files would be read.
        let is_file = name.ends_with("_FILE") || name == "POSTRIDER_CONFIG" || name.contains('\0');
        (!is_file).then(|| (name.into(), value.into()))
    };
    let environment = text.lines().filter_map(variable).collect();
    match Config::load(&Sources { file: None, environment, flags: Vec::new() }) {
        Ok(config) => {
            assert!(config.delivery.concurrency >= 1 && (0.0..=1.0).contains(&config.delivery.jitter));
            assert!(!config.dump().is_empty());
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            assert_eq!(problems.to_string().lines().count(), problems.0.len(), "a line for each");
        }
    }
}
