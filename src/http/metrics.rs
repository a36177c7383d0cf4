//! `/metrics`, for Prometheus: `Authorization: Bearer` with `metrics.token` from anywhere, or an address of
//! `metrics.allow` without; else 401. Never limited by rate. A request that has come through a proxy which
//! is not in `http.trusted_proxies` has no address to go by.
//!
//! API keys are no credentials here: a program that monitors the server need not be able to use it.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{Request, Response, handler};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use crate::http::request::client;
use crate::http::request::headers::single;
use crate::http::transport::connection::UntrustedForwarding;

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
    /// `authorization` is the header's value. `address` is `None` where it cannot be believed.
    fn permits(&self, authorization: Option<&str>, address: Option<IpAddr>) -> bool {
        // A token that is presented decides, right or wrong; without one configured there is none to present.
        if let (Some(token), Some(given)) = (&self.token, authorization) {
            let given = bearer(given).unwrap_or_default();
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
    let authorization = single(request.headers(), header::AUTHORIZATION.as_str())?;
    // A proxy that nobody has named stands between: the address is its own, and says nothing about who asks.
    let is_proxied = request.data::<UntrustedForwarding>().is_some();
    let address = client::address(request).filter(|_| !is_proxied);
    if !access.permits(authorization, address) {
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

    #[test]
    fn a_token_opens_from_anywhere_and_an_address_of_the_list_without_one() {
        let access = |token: Option<&str>| Access {
            token: token.map(str::to_owned),
            allow: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        };
        let (open, closed) = (access(None), access(Some("t0ken")));
        let permits = |access: &Access, header: Option<&str>, address: Option<&str>| {
            access.permits(header, address.map(|a| a.parse().unwrap()))
        };
        for access in [&open, &closed] {
            assert!(permits(access, None, Some("10.1.2.3")) && permits(access, None, Some("::1")));
            assert!(!permits(access, None, Some("11.1.2.3")) && !permits(access, None, None));
        }
        for right in ["Bearer t0ken", "bearer  t0ken"] {
            assert!(permits(&closed, Some(right), Some("11.1.2.3")) && permits(&closed, Some(right), None));
            assert!(!permits(&open, Some(right), Some("11.1.2.3")), "no token is configured");
        }
        for bad in ["Bearer t0ke", "Bearer t0ken2", "Bearer ", "Bearer", "t0ken", "Basic t0ken", ""] {
            assert!(!permits(&closed, Some(bad), Some("10.1.2.3")), "{bad}");
            assert!(permits(&open, Some(bad), Some("10.1.2.3")), "{bad}");
        }
    }
}
