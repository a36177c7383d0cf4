//! What templates and filters see of an event, and the requests of a delivery.

use crate::domain::expr::{Budget, Json, JsonError, Notes, Overrun, Run, Scope};
use crate::domain::{EventId, EventType, Timestamp};

use super::Shape;
use super::render::{Body, RenderFailure, Rendered};
use super::response::Answer;
use super::summary::{Summary, SummaryTemplates};

/// An event, as templates and filters see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `None`: it is not accepted yet.
    pub id: Option<EventId>,
    pub event_type: &'a EventType,
    pub resource_id: Option<&'a str>,
    pub created_at: Timestamp,
    /// The name of the source that it came by.
    pub source: Option<&'a str>,
    /// The templates of its source's summary; `None`: the default summary.
    pub summary: Option<&'a SummaryTemplates>,
    pub payload: &'a [u8],
}

/// An event whose payload is parsed, once for all that look at it.
#[derive(Debug)]
pub struct ParsedSubject<'a> {
    subject: Subject<'a>,
    text: &'a str,
    payload: Result<Json<'a>, JsonError>,
}

impl<'a> ParsedSubject<'a> {
    /// Parses the payload.
    pub fn new(subject: Subject<'a>) -> ParsedSubject<'a> {
        let text = std::str::from_utf8(subject.payload).unwrap_or_default();
        ParsedSubject { subject, text, payload: Json::parse(text) }
    }

    /// For templates that do not use the payload.
    fn without_payload(subject: Subject<'a>) -> ParsedSubject<'a> {
        let text = std::str::from_utf8(subject.payload).unwrap_or_default();
        ParsedSubject { subject, text, payload: Ok(Json::Null) }
    }

    /// Why the payload cannot be read by templates.
    pub fn failure(&self) -> Option<JsonError> {
        self.payload.as_ref().err().copied()
    }

    /// The names that stand for the event. Without a payload that can be read they are missing.
    pub fn scope(&self) -> Scope<'_> {
        let subject = &self.subject;
        let mut scope = Scope::new();
        if let Ok(payload) = &self.payload {
            scope.lend("payload", payload);
        }
        scope.set("payload_text", Json::text(self.text));
        let id = subject.id.map(|id| ("id", Json::text(id.to_string())));
        let rest = [
            ("type", Json::text(subject.event_type.as_str())),
            ("category", Json::text(subject.event_type.category())),
            ("resource_id", Json::optional(subject.resource_id)),
            ("created_at", Json::text(subject.created_at.to_string())),
            ("source", Json::optional(subject.source)),
        ];
        scope.set("event", Json::object(id.into_iter().chain(rest)));
        scope
    }

    /// What the event means to a person.
    pub fn summary(&self) -> Summary {
        let default = SummaryTemplates::default();
        let templates = self.subject.summary.unwrap_or(&default);
        templates.render(&self.scope(), self.subject.event_type.as_str(), &mut Budget::render())
    }
}

/// A delivery, as the templates of its endpoint's request see it.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The same for all attempts of a delivery.
    pub id: &'a str,
    pub event: Subject<'a>,
    pub endpoint_name: &'a str,
    pub secrets: &'a [(String, String)],
}

/// A request, and the same with masks in place of secrets, for everything that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twins {
    pub sent: Rendered,
    pub shown: Rendered,
}

impl Delivery<'_> {
    /// Calls `run` with the names that `uses` asks for. Parses the payload only if it is needed.
    fn with_scope<T>(
        &self,
        uses: impl Fn(&str) -> bool,
        run: impl FnOnce(&Scope<'_>) -> Result<T, RenderFailure>,
    ) -> Result<T, RenderFailure> {
        let summary_is_used = uses("summary");
        let event = match summary_is_used || uses("payload") {
            true => ParsedSubject::new(self.event),
            false => ParsedSubject::without_payload(self.event),
        };
        if let Some(error) = event.failure() {
            return Err(RenderFailure { place: "payload".to_owned(), reason: error.to_string() });
        }
        let summary = summary_is_used.then(|| event.summary());
        let mut scope = event.scope();
        scope.set("endpoint", Json::object([("name", Json::text(self.endpoint_name))]));
        scope.set("delivery", Json::object([("id", Json::text(self.id))]));
        if let Some(summary) = &summary {
            scope.set("summary", summary.to_json());
        }
        scope.secrets(self.secrets);
        run(&scope)
    }
}

impl Shape {
    /// The request of a delivery and its masked twin.
    pub fn render_twins(&self, delivery: &Delivery<'_>) -> Result<Twins, RenderFailure> {
        delivery.with_scope(
            |root| self.uses(root),
            |scope| {
                let sent = self.render(scope, &mut Run::new(&mut Budget::render()))?;
                let shown = match delivery.secrets {
                    [] => sent.clone(),
                    _ => self.render(scope, &mut Run::new(&mut Budget::render()).masked())?,
                };
                Ok(Twins { sent, shown })
            },
        )
    }

    /// The masked request of a delivery that is not sent. What there is to say about it is added to `notes`.
    pub fn preview(
        &self,
        delivery: &Delivery<'_>,
        notes: &mut Notes,
        budget: &mut Budget,
    ) -> Result<Rendered, RenderFailure> {
        delivery.with_scope(
            |root| self.uses(root),
            |scope| {
                // What is sent may fail where its twin does not: a secret counts with its length.
                self.render(scope, &mut Run::new(&mut Budget::render()))?;
                self.render(scope, &mut Run::new(budget).with_notes(notes).masked())
            },
        )
    }

    /// Whether a 2xx is the success that `expect` describes. The error is a sentence.
    pub fn is_success(&self, delivery: &Delivery<'_>, answer: &Answer<'_>) -> Result<bool, String> {
        if self.expect.is_none() {
            return Ok(true);
        }
        let judged = delivery.with_scope(
            |root| self.expect.as_ref().is_some_and(|expect| expect.uses(root)),
            |scope| {
                let overrun =
                    |e: Overrun| RenderFailure { place: "expect".to_owned(), reason: e.to_string() };
                self.is_expected(answer, scope, &mut Budget::render()).map_err(overrun)
            },
        );
        judged.map_err(|failure| failure.to_string())
    }
}

impl Body {
    /// The bytes that are sent; `payload` are the event's.
    pub fn bytes<'p>(&'p self, payload: &'p [u8]) -> &'p [u8] {
        match self {
            Body::None => &[],
            Body::Payload => payload,
            Body::Made(text) => text.as_bytes(),
        }
    }
}
