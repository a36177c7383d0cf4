//! `/metrics`, for Prometheus: `Authorization: Bearer` with `metrics.token` from anywhere, or an address
//! of `metrics.allow` without; else 401. Never limited by rate.
//!
//! API keys are no credentials here: whoever watches the server need not be able to use it.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem::{Request, Response, handler};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use crate::http::request::client;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where the text comes from. `crate::app` joins the two.
#[async_trait]
pub trait Exposition: Send + Sync {
    /// All figures as they are now, in OpenMetrics or in the older text format. `Err` has a sentence.
    async fn text(&self, openmetrics: bool) -> Result<String, String>;
}

/// Who may read.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Opens from anywhere.
    pub token: Option<String>,
    /// Addresses that need no token.
    pub allow: Vec<IpNet>,
}

impl Access {
    fn permits(&self, headers: &HeaderMap, address: Option<IpAddr>) -> bool {
        // A token that is presented decides, right or wrong; without one configured there is none to present.
        if let (Some(token), Some(given)) = (&self.token, headers.get(header::AUTHORIZATION)) {
            let given = given.to_str().ok().and_then(bearer).unwrap_or_default();
            return given.as_bytes().ct_eq(token.as_bytes()).into();
        }
        address.is_some_and(|address| self.allow.iter().any(|net| net.contains(&address)))
    }
}

/// The token of an `Authorization` header; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What the route needs.
#[derive(Clone)]
pub struct Metrics {
    pub access: Access,
    pub source: Arc<dyn Exposition>,
}

/// The figures, or 401.
#[handler]
pub(crate) async fn metrics(request: &Request, Data(metrics): Data<&Metrics>) -> poem::Result<Response> {
    let Metrics { access, source } = metrics;
    if !access.permits(request.headers(), client::address(request)) {
        return Err(Problem::unauthorized().into());
    }
    let accepts = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let openmetrics = accepts.contains("application/openmetrics-text");
    match source.text(openmetrics).await {
        Ok(text) => {
            let kind = if openmetrics { OPENMETRICS } else { TEXT };
            Ok(Response::builder()
                .status(StatusCode::OK)
                .content_type(kind)
                .header(header::CACHE_CONTROL, "no-store")
                .body(text))
        }
        Err(reason) => {
            tracing::warn!(reason, "the metrics could not be read");
            Err(Problem::internal().into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    #[test]
    fn a_token_opens_from_anywhere_and_an_address_of_the_list_without_one() {
        let access = |token: Option<&str>| Access {
            token: token.map(str::to_owned),
            allow: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        };
        let (open, closed) = (access(None), access(Some("t0ken")));
        let permits = |access: &Access, header: Option<&str>, address: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_str(header).unwrap());
            }
            access.permits(&headers, address.map(|a| a.parse().unwrap()))
        };
        for access in [&open, &closed] {
            assert!(permits(access, None, Some("10.1.2.3")) && permits(access, None, Some("::1")));
            assert!(!permits(access, None, Some("11.1.2.3")) && !permits(access, None, None));
        }
        for good in ["Bearer t0ken", "bearer  t0ken"] {
            assert!(permits(&closed, Some(good), Some("11.1.2.3")) && permits(&closed, Some(good), None));
            assert!(!permits(&open, Some(good), Some("11.1.2.3")), "no token is configured");
        }
        for bad in ["Bearer t0ke", "Bearer t0ken2", "Bearer ", "Bearer", "t0ken", "Basic t0ken", ""] {
            assert!(!permits(&closed, Some(bad), Some("10.1.2.3")), "{bad}");
            assert!(permits(&open, Some(bad), Some("10.1.2.3")), "{bad}");
        }
    }
}
