//! What the templates of a request see of a delivery.

use crate::domain::expr::{Budget, Json, Overrun, Run, Scope};
use crate::domain::{EventId, EventType, Timestamp};

use super::Shape;
use super::render::{Body, RenderFailure, Rendered};
use super::response::Answer;
use super::summary::SummaryTemplates;

/// A delivery, as the templates of its endpoint's request see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The same for all attempts of a delivery.
    pub delivery_id: &'a str,
    pub event_id: EventId,
    pub event_type: &'a EventType,
    pub resource_id: Option<&'a str>,
    pub created_at: Timestamp,
    /// The name of the source that the event came by.
    pub source: Option<&'a str>,
    /// The templates of its source's summary; `None`: the default summary.
    pub summary: Option<&'a SummaryTemplates>,
    pub payload: &'a [u8],
    pub endpoint_name: &'a str,
    pub secrets: &'a [(String, String)],
}

/// A request, and the same with masks in place of secrets, for everything that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twins {
    pub sent: Rendered,
    pub shown: Rendered,
}

impl Subject<'_> {
    /// Calls `run` with the names that `uses` asks for. Parses the payload only if it is needed.
    fn with_scope<T>(
        &self,
        uses: impl Fn(&str) -> bool,
        run: impl FnOnce(&Scope<'_>) -> Result<T, RenderFailure>,
    ) -> Result<T, RenderFailure> {
        let text = std::str::from_utf8(self.payload).unwrap_or_default();
        let summary_is_used = uses("summary");
        let payload = if summary_is_used || uses("payload") {
            Json::parse(text)
                .map_err(|error| RenderFailure { place: "payload".to_owned(), reason: error.to_string() })?
        } else {
            Json::Null
        };
        let summary = summary_is_used.then(|| {
            let mut scope = Scope::new();
            self.set_event(&mut scope, text, &payload);
            let default = SummaryTemplates::default();
            let templates = self.summary.unwrap_or(&default);
            templates.render(&scope, self.event_type.as_str(), &mut Budget::render())
        });
        let mut scope = Scope::new();
        self.set_event(&mut scope, text, &payload);
        scope.set("endpoint", Json::object([("name", Json::text(self.endpoint_name))]));
        scope.set("delivery", Json::object([("id", Json::text(self.delivery_id))]));
        if let Some(summary) = &summary {
            scope.set("summary", summary.to_json());
        }
        scope.secrets(self.secrets);
        run(&scope)
    }

    fn set_event<'s>(&'s self, scope: &mut Scope<'s>, text: &'s str, payload: &'s Json<'s>) {
        scope.lend("payload", payload);
        scope.set("payload_text", Json::text(text));
        let event = Json::object([
            ("id", Json::text(self.event_id.to_string())),
            ("type", Json::text(self.event_type.as_str())),
            ("category", Json::text(self.event_type.category())),
            ("resource_id", Json::optional(self.resource_id)),
            ("created_at", Json::text(self.created_at.to_string())),
            ("source", Json::optional(self.source)),
        ]);
        scope.set("event", event);
    }
}

impl Shape {
    /// The request of a delivery and its masked twin.
    pub fn render_twins(&self, subject: &Subject<'_>) -> Result<Twins, RenderFailure> {
        subject.with_scope(
            |root| self.uses(root),
            |scope| {
                let sent = self.render(scope, &mut Run::new(&mut Budget::render()))?;
                let shown = match subject.secrets {
                    [] => sent.clone(),
                    _ => self.render(scope, &mut Run::new(&mut Budget::render()).masked())?,
                };
                Ok(Twins { sent, shown })
            },
        )
    }

    /// Whether a 2xx is the success that `expect` describes. The error is a sentence.
    pub fn is_success(&self, subject: &Subject<'_>, answer: &Answer<'_>) -> Result<bool, String> {
        if self.expect.is_none() {
            return Ok(true);
        }
        let judged = subject.with_scope(
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
