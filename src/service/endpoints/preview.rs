//! What an endpoint would be sent for an event: every step with its result. Nothing is sent, nothing is stored.

use std::sync::Arc;

use crate::domain::delivery_filter::DeliveryFilter;
use crate::domain::endpoint::{EndpointSettings, HeaderValue, MASK};
use crate::domain::expr::{Budget, Comparison, Cost, Json, Notes};
use crate::domain::gallery::{self, Side};
use crate::domain::inbound::source::SummaryText;
use crate::domain::pattern::any_matches;
use crate::domain::shaping::summary::{Summary, SummaryTemplates};
use crate::domain::shaping::{
    Body, Content, Context, Delivery, ParsedSubject, RenderFailure, Rendered, Shape, Subject,
};
use crate::domain::{Endpoint, EndpointId, EndpointStatus, EventId, Headers, Invalid};
use crate::host::vault::Vault;

use crate::service::endpoints::endpoint_input::Checked;
use crate::service::endpoints::manage::Endpoints;
use crate::service::endpoints::trial::{TrialEvent, TrialInput, Trials};
use crate::service::{Caller, Result, ServiceError};

/// A path that leads nowhere in every event without a link, which recipes know.
const OPTIONAL: &str = "summary.link";

/// Which endpoint a preview is of.
#[derive(Debug, Clone)]
pub enum PreviewEndpoint {
    Stored(EndpointId),
    /// Attributes: of a new endpoint, or changes of one.
    Given(Box<Checked>, Option<EndpointId>),
}

/// What would become of an event.
#[derive(Debug, Clone)]
pub struct EndpointPreview {
    /// Whether a pattern matches.
    pub matches: bool,
    /// Whether the filter is true; it is without one.
    pub passes: bool,
    /// What the filter has compared.
    pub filter_trace: Vec<Comparison>,
    pub summary: Summary,
    /// As the log would show it; `None`: it cannot be rendered.
    pub request: Option<PreviewRequest>,
    /// Why it cannot be rendered.
    pub error: Option<String>,
    pub warnings: Vec<String>,
    /// Of rendering the request.
    pub cost: Cost,
}

/// A request that is not sent.
#[derive(Debug, Clone)]
pub struct PreviewRequest {
    pub method: String,
    pub url: String,
    pub headers: Headers,
    /// `None`: it is encrypted.
    pub body: Option<String>,
}

/// The use cases of previews.
pub struct EndpointPreviews {
    vault: Arc<Vault>,
    endpoints: Arc<Endpoints>,
    trials: Trials,
}

impl EndpointPreviews {
    /// Joins the parts.
    pub fn new(vault: Arc<Vault>, endpoints: Arc<Endpoints>, trials: Trials) -> EndpointPreviews {
        EndpointPreviews { vault, endpoints, trials }
    }

    /// What would become of an event.
    pub async fn preview(
        &self,
        caller: &Caller,
        endpoint: PreviewEndpoint,
        event: TrialInput,
    ) -> Result<EndpointPreview> {
        let endpoint = match endpoint {
            PreviewEndpoint::Stored(id) => self.endpoints.get(caller, id).await?,
            PreviewEndpoint::Given(checked, of) => {
                let drafted = self.endpoints.draft(caller, *checked, of).await;
                drafted.map_err(|error| match error {
                    ServiceError::Invalid(invalid) => ServiceError::Invalid(within_webhook(invalid)),
                    other => other,
                })?
            }
        };
        let event = self.trials.event(caller, event, "/event").await?;
        let summary = event.source.as_ref().and_then(|source| source.summary.as_ref());
        let summary = summary.map(SummaryText::parsed).transpose()?;
        let subject = subject_of(&event, summary.as_ref());
        let parsed = ParsedSubject::new(subject);
        let (settings, mut notes, mut budget) = (&endpoint.settings, Notes::default(), Budget::render());
        let (passes, filter_trace, undecided) = asked(settings, &parsed);
        let request = self.request(&endpoint, subject, event.id, &mut notes, &mut budget)?;
        let mut warnings: Vec<String> = undecided.into_iter().chain(status_warning(&endpoint)).collect();
        warnings.extend(warnings_of(notes));
        if settings.encrypted {
            warnings.push("The payload is sent encrypted.".to_owned());
        }
        let (request, error) = match request {
            Ok((rendered, content)) => {
                let body = rendered.body.bytes(&event.payload);
                warnings.extend(over_limits(settings, body, content));
                (Some(shown(settings, &rendered, body)), None)
            }
            Err(failure) => (None, Some(failure.to_string())),
        };
        Ok(EndpointPreview {
            matches: any_matches(&settings.events, &event.event_type),
            passes,
            filter_trace,
            summary: parsed.summary(),
            request,
            error,
            warnings,
            cost: budget.cost(),
        })
    }

    /// The masked request of an event.
    fn request(
        &self,
        endpoint: &Endpoint,
        event: Subject<'_>,
        id: EventId,
        notes: &mut Notes,
        budget: &mut Budget,
    ) -> Result<std::result::Result<(Rendered, Content), RenderFailure>> {
        let settings = &endpoint.settings;
        let Some(text) = &settings.request else { return Ok(Ok((plain(settings), Content::Payload))) };
        let mut secrets = Vec::with_capacity(settings.secrets.len());
        for secret in &settings.secrets {
            let value = self.vault.open_template(endpoint.id, &secret.name, &secret.sealed);
            secrets.push((secret.name.clone(), value.map_err(|e| ServiceError::Internal(Box::new(e)))?));
        }
        let names: Vec<String> = secrets.iter().map(|(name, _)| name.clone()).collect();
        let context = Context {
            url: &settings.url,
            secrets: &names,
            signing_headers: &self.endpoints.input_rules().signing_headers,
            encrypted: settings.encrypted,
        };
        let json = Json::parse(text).map_err(|e| Invalid::one("/request", format!("is {e}")))?;
        let shape = Shape::read(&json, context)?;
        let id = id.to_string();
        // A delivery that is not there has no id; its event's is as long-lived.
        let delivery = Delivery { id: &id, event, endpoint_name: &settings.name, secrets: &secrets };
        Ok(shape.preview(&delivery, notes, budget).map(|rendered| (rendered, shape.content())))
    }
}

/// An error of a draft, at its place in the body.
fn within_webhook(Invalid(errors): Invalid) -> Invalid {
    let moved = errors.into_iter().map(|mut error| {
        error.pointer.insert_str(0, "/webhook");
        error
    });
    Invalid(moved.collect())
}

fn subject_of<'a>(event: &'a TrialEvent, summary: Option<&'a SummaryTemplates>) -> Subject<'a> {
    Subject {
        id: Some(event.id),
        event_type: &event.event_type,
        resource_id: event.resource_id.as_deref(),
        created_at: event.created_at,
        source: event.source.as_ref().map(|source| source.name.as_str()),
        summary,
        payload: &event.payload,
    }
}

/// What the filter says, what it has compared, and why it could not decide.
fn asked(
    settings: &EndpointSettings,
    subject: &ParsedSubject<'_>,
) -> (bool, Vec<Comparison>, Option<String>) {
    let Some(filter) = &settings.filter else { return (true, Vec::new(), None) };
    let (verdict, notes) = DeliveryFilter::new(filter.clone()).explain(subject, &settings.name);
    (verdict.is_wanted, notes.comparisons, verdict.error)
}

fn status_warning(endpoint: &Endpoint) -> Option<String> {
    let text = match endpoint.status {
        EndpointStatus::Active => return None,
        EndpointStatus::Paused => "The webhook is paused: its deliveries stay pending.",
        EndpointStatus::Disabled => "The webhook is disabled: new events make no delivery.",
    };
    Some(text.to_owned())
}

fn warnings_of(notes: Notes) -> impl Iterator<Item = String> {
    let missing = notes.missing.into_iter().filter(|path| path != OPTIONAL);
    let missing = missing.map(|path| format!("{path} is missing in this event."));
    let cuts = notes.cuts.into_iter().map(|cut| format!("A text is cut: {cut}."));
    missing.chain(cuts).chain(notes.hints)
}

/// What is over the limits of the recipe's receiver.
fn over_limits(settings: &EndpointSettings, body: &[u8], content: Content) -> Vec<String> {
    let preset = settings.preset.as_ref();
    let preset = preset.and_then(|mark| gallery::find(Side::Destination, &mark.name).ok());
    let body = String::from_utf8_lossy(body);
    preset.map(|preset| preset.over_limits(&body, content == Content::Form)).unwrap_or_default()
}

/// The request of an endpoint without a shape.
fn plain(settings: &EndpointSettings) -> Rendered {
    Rendered {
        method: crate::domain::shaping::Method::Post,
        url: settings.url.clone(),
        headers: Vec::new(),
        content_type: Some(
            if settings.encrypted { "application/jose" } else { "application/json" }.to_owned(),
        ),
        body: Body::Payload,
    }
}

/// The request as the log would show it, without signatures.
fn shown(settings: &EndpointSettings, rendered: &Rendered, body: &[u8]) -> PreviewRequest {
    let own = settings.headers.iter().map(|header| match &header.value {
        HeaderValue::Plain(value) => (header.name.as_str(), value.as_str()),
        HeaderValue::Secret(_) => (header.name.as_str(), MASK),
    });
    let own =
        own.filter(|(name, _)| !rendered.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    let media_type = rendered.content_type.iter().map(|value| ("content-type", value.as_str()));
    let shaped = rendered.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut headers = Headers::default();
    for (name, value) in media_type.chain(own).chain(shaped) {
        headers.push(&name.to_ascii_lowercase(), value);
    }
    PreviewRequest {
        method: rendered.method.to_string(),
        url: url::Url::parse(&rendered.url).map_or_else(|_| rendered.url.clone(), Into::into),
        headers,
        body: (!settings.encrypted).then(|| String::from_utf8_lossy(body).into_owned()),
    }
}
