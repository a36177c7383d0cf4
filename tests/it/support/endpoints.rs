//! Endpoints for tests below the HTTP surfaces, which make theirs by requests.

use postrider::domain::endpoint::EndpointSettings;
use postrider::domain::{AppId, Endpoint, EndpointId, EventPattern, Sealed, Timestamp};

/// Settings for what these patterns name, with nothing else that is optional.
pub(crate) fn settings(url: &str, patterns: &[&str]) -> EndpointSettings {
    EndpointSettings {
        url: url.to_owned(),
        name: "Example".to_owned(),
        events: patterns.iter().map(|pattern| EventPattern::parse(pattern).unwrap()).collect(),
        ..EndpointSettings::default()
    }
}

/// An active endpoint that was made at this time and has not failed yet. Its secret is none that could be opened.
pub(crate) fn endpoint(app: AppId, settings: EndpointSettings, at: Timestamp) -> Endpoint {
    Endpoint::new(EndpointId::new(at), app, settings, Sealed(vec![1, 2, 3]), at)
}
