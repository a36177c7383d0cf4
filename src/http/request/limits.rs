//! Rate limits as headers: what the shell says of them on every answer they apply to.
//!
//! Counting happens deep inside, where it is known who asks ([`crate::http::request::auth`]) and how much;
//! an answer may be an error that knows nothing of limits. So the shell gives each request a [`Slot`], and
//! whatever was last noted in it goes on the answer.

use std::sync::{Arc, Mutex};

use poem::Request;
use poem::http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::Actor;
use crate::service::people::buckets::{Quota, RateVerdict};

use crate::http::problem::Problem;
use crate::http::request::client;
use crate::http::state::State;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Where a request's quota is noted.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<Mutex<Option<Quota>>>);

impl Slot {
    fn note(&self, quota: Quota) {
        *self.0.lock().expect("no panic happens while this is held") = Some(quota);
    }

    /// Adds the three headers, if a limit applied.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Some(quota) = *self.0.lock().expect("no panic happens while this is held") else { return };
        headers.insert(LIMIT, HeaderValue::from(quota.limit));
        headers.insert(REMAINING, HeaderValue::from(quota.remaining));
        headers.insert(RESET, HeaderValue::from(quota.reset_secs));
    }
}

/// Counts a request of a credential, which has this name.
pub(crate) fn count_request(request: &Request, state: &State, credential: &str) -> Result<(), Problem> {
    settle(request, state.services.limits.request(&credential), true)
}

/// Looks whether a credential may post events, before the body is read.
pub(crate) fn may_post(request: &Request, state: &State, actor: &Actor) -> Result<(), Problem> {
    settle(request, state.services.limits.may_post(actor), true)
}

/// Counts posted events.
pub fn count_events(request: &Request, state: &State, actor: &Actor, n: usize) -> Result<(), Problem> {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    settle(request, state.services.limits.events(actor, n), true)
}

/// Counts a request without a valid credential. What is left of an address's limit is told only when
/// nothing is: others may share the address.
pub(crate) fn count_stranger(request: &Request, state: &State) -> Result<(), Problem> {
    let verdict = client::address(request).and_then(|address| state.services.limits.stranger(address));
    settle(request, verdict, false)
}

fn settle(request: &Request, verdict: Option<RateVerdict>, always_told: bool) -> Result<(), Problem> {
    let Some(verdict) = verdict else { return Ok(()) };
    if let Some(slot) = request.data::<Slot>().filter(|_| always_told || verdict.wait_secs.is_some()) {
        slot.note(verdict.quota);
    }
    Ok(verdict.check()?)
}
