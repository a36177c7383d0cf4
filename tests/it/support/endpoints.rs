//! Endpoints for tests below the HTTP surfaces, which make theirs by requests.

use postrider::domain::endpoint::EndpointSettings;
use postrider::domain::{AppId, Endpoint, EndpointId, EndpointStatus, EventPattern, Sealed, Timestamp};

/// Settings for what these patterns name, with nothing else that is optional.
pub(crate) fn settings(url: &str, patterns: &[&str]) -> EndpointSettings {
    EndpointSettings {
        url: url.to_owned(),
        name: "Example".to_owned(),
        description: None,
        events: patterns.iter().map(|pattern| EventPattern::parse(pattern).unwrap()).collect(),
        headers: vec![],
        encrypted: false,
        retry_schedule: None,
        timeout: None,
        rate_limit: None,
    }
}

/// An active endpoint that was made at this time and has not failed yet. Its secret is none that could be opened.
pub(crate) fn endpoint(app: AppId, settings: EndpointSettings, at: Timestamp) -> Endpoint {
    Endpoint {
        id: EndpointId::new(at),
        app_id: app,
        settings,
        status: EndpointStatus::Active,
        status_reason: None,
        secret: Sealed(vec![1, 2, 3]),
        retired_secrets: vec![],
        consecutive_failures: 0,
        created_at: at,
        updated_at: at,
    }
}
