//! Shaped requests: an endpoint's compiled templates with its opened secrets, and what they make of a delivery.
//!
//! Everything that is kept or shown of a request is its masked twin, and secrets are masked in what comes back.

use std::borrow::Cow;

use hyper::Method;
use hyper::StatusCode;
use url::Url;

use crate::domain::attempts::attempt::{ErrorKind, Failure, Request, Response};
use crate::domain::endpoint::MASK;
use crate::domain::expr::Json;
use crate::domain::shaping::secrets::Masks;
use crate::domain::shaping::summary::SummaryTemplates;
use crate::domain::shaping::{self, Answer, Body, Context, Delivery, Rendered, Shape, Subject, Twins};
use crate::domain::{Endpoint, Headers};
use crate::host::vault::Vault;
use crate::store::LoadedAttempt;

use crate::delivery::sending::destination::{Destination, PrepareError};

/// How much longer masking may make headers and body of a response, in bytes each: a short secret may be everywhere in
/// them. What is over that is masked as a whole, or cut.
const MASKED_GROWTH: usize = 4 * 1_024;

/// An endpoint's request, ready to be rendered.
pub struct Shaped {
    pub shape: Shape,
    /// Names and values.
    secrets: Vec<(String, String)>,
    masks: Masks,
}

/// A rendered request, without headers and body.
pub(crate) struct Target {
    pub method: Method,
    pub destination: Destination,
}

/// What a response means to a shaped endpoint.
#[derive(Default)]
pub struct ResponseVerdict {
    /// Why a 2xx is no success.
    pub failure: Option<Failure>,
    /// How long the receiver wants not to be called, as its body says.
    pub wait_ms: Option<i64>,
    /// Whether nothing is to be tried again.
    pub is_final: bool,
}

impl Shaped {
    /// Compiles an endpoint's request and opens its secrets; nothing for a plain endpoint.
    pub fn of(
        endpoint: &Endpoint,
        vault: &Vault,
        signing_headers: &[String],
    ) -> Result<Option<Box<Shaped>>, PrepareError> {
        let settings = &endpoint.settings;
        let Some(request) = &settings.request else { return Ok(None) };
        let mut secrets = Vec::with_capacity(settings.secrets.len());
        for secret in &settings.secrets {
            let value = vault.open_template(endpoint.id, &secret.name, &secret.sealed)?;
            secrets.push((secret.name.clone(), value));
        }
        let names: Vec<String> = secrets.iter().map(|(name, _)| name.clone()).collect();
        let context =
            Context { url: &settings.url, secrets: &names, signing_headers, encrypted: settings.encrypted };
        let refused = |why: String| PrepareError::Request(why);
        let json = Json::parse(request).map_err(|error| refused(error.to_string()))?;
        let shape = Shape::read(&json, context).map_err(|error| refused(error.to_string()))?;
        let texts = shape.secret_texts(&secrets);
        let masks = Masks::of(secrets.iter().map(|(_, value)| value).chain(&texts).map(String::as_str));
        Ok(Some(Box::new(Shaped { shape, secrets, masks })))
    }

    /// The request of an attempt, and its masked twin.
    pub fn render(&self, loaded: &LoadedAttempt) -> Result<Twins, PrepareError> {
        self.with_delivery(loaded, |delivery| self.shape.render_twins(delivery))
            .map_err(PrepareError::Template)
    }

    fn with_delivery<T>(&self, loaded: &LoadedAttempt, run: impl FnOnce(&Delivery<'_>) -> T) -> T {
        // A test has no row yet; each is about an event of its own.
        let delivery_id = match loaded.delivery_id.0 {
            0 => loaded.event_id.to_string(),
            id => id.to_string(),
        };
        let from = loaded.from.as_deref();
        let summary: Option<SummaryTemplates> =
            from.filter(|_| self.shape.uses("summary")).and_then(|from| from.summary.as_ref()?.parsed().ok());
        let event = Subject {
            id: Some(loaded.event_id),
            event_type: &loaded.event_type,
            resource_id: loaded.resource_id.as_deref(),
            created_at: loaded.created_at,
            source: from.map(|from| from.name.as_str()),
            summary: summary.as_ref(),
            payload: &loaded.payload,
        };
        run(&Delivery {
            id: &delivery_id,
            event,
            endpoint_name: &loaded.endpoint.settings.name,
            secrets: &self.secrets,
        })
    }

    /// What a response means. `is_success`: it is a 2xx that arrived as a whole.
    pub fn judge(&self, loaded: &LoadedAttempt, response: &Response, is_success: bool) -> ResponseVerdict {
        let body = String::from_utf8_lossy(&response.body);
        let mut verdict = ResponseVerdict::default();
        if is_success {
            let headers: Vec<(String, String)> = response
                .headers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let answer = Answer {
                status: response.status,
                body: &body,
                cut: response.body_truncated,
                headers: &headers,
            };
            let wrong = match self.with_delivery(loaded, |delivery| self.shape.is_success(delivery, &answer))
            {
                Ok(true) => None,
                Ok(false) => {
                    Some(format!("HTTP {}, but not the response that expect describes", response.status))
                }
                Err(error) => Some(format!("HTTP {}, but {error}", response.status)),
            };
            verdict.failure = wrong.map(|message| Failure { kind: ErrorKind::Response, message });
        }
        let asks = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        if asks.iter().any(|status| status.as_u16() == response.status) {
            verdict.wait_ms = self.shape.retry_after().and_then(|pointer| pointer.wait_ms(&body));
        }
        verdict.is_final = self.shape.is_final(response.status);
        verdict
    }

    /// Masks secrets that the receiver has sent back.
    pub fn mask_response(&self, response: &mut Response) {
        if self.masks.is_empty() {
            return;
        }
        let mut room = MASKED_GROWTH;
        let masked = response.headers.iter().map(|(name, value)| {
            let masked = self.masks.apply(value);
            let growth = masked.len().saturating_sub(value.len());
            if growth > room {
                return (name, Cow::Borrowed(MASK));
            }
            room -= growth;
            (name, masked)
        });
        let masked: Headers = masked.collect();
        response.headers = masked;
        let text = String::from_utf8_lossy(&response.body);
        let masked = match response.body_truncated {
            true => self.masks.apply_cut(&text).into(),
            false => self.masks.apply(&text),
        };
        if masked != text {
            let most = response.body.len() + MASKED_GROWTH;
            let mut masked = masked.into_owned();
            if masked.len() > most {
                masked.truncate(masked.floor_char_boundary(most));
                response.body_truncated = true;
            }
            response.body = masked.into_bytes();
        }
    }

    /// Masks secrets in a failure's message.
    pub fn mask_failure(&self, failure: &mut Failure) {
        failure.message = self.masks.apply(&failure.message).into_owned();
    }
}

/// Where a rendered request goes.
pub(crate) fn target(rendered: &Rendered) -> Result<Target, PrepareError> {
    let url = crate::domain::endpoint::parse_url(&rendered.url).map_err(PrepareError::Url)?;
    let method = match rendered.method {
        shaping::Method::Post => Method::POST,
        shaping::Method::Put => Method::PUT,
        shaping::Method::Patch => Method::PATCH,
        shaping::Method::Get => Method::GET,
        shaping::Method::Delete => Method::DELETE,
    };
    Ok(Target { method, destination: url.into() })
}

/// The request as the log shows it.
pub(crate) fn record(shown: Rendered, headers: Headers) -> Request {
    let url = Url::parse(&shown.url).map_or(shown.url, Into::into);
    let method = (shown.method != shaping::Method::Post).then(|| shown.method.to_string());
    let body = match shown.body {
        Body::None => Some(Vec::new()),
        Body::Payload => None,
        Body::Made(text) => Some(text.into_bytes()),
    };
    Request { method, url, headers, body }
}
