//! The templates of a source, parsed once, and what they make of a request.

use crate::domain::EventType;
use crate::domain::expr::{Budget, Expression, Json, Names, Overrun, Scope, SyntaxError, Template};
use crate::domain::inbound::mapping;
use crate::domain::inbound::payload::{self, ReadBody};
use crate::domain::inbound::request::InboundRequest;
use crate::domain::inbound::source::{Mapping, SourceSettings, default_type};

/// Parsed templates.
pub struct Mapper {
    source_name: String,
    event_type: Template,
    resource_id: Option<Template>,
    dedupe: Option<Template>,
    accept: Option<Expression>,
}

/// What a request becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    pub event_type: EventType,
    /// Why the type is the unmapped one.
    pub unmapped: Option<&'static str>,
    pub resource_id: Option<String>,
    /// As rendered; `None` when it is empty.
    pub dedupe: Option<String>,
    /// Whether the source takes it.
    pub is_accepted: bool,
    /// A template that failed, in words.
    pub failure: Option<String>,
}

impl Mapper {
    /// Parses the templates of a source, which were checked when they were saved.
    pub fn of(settings: &SourceSettings) -> Result<Mapper, SyntaxError> {
        let Mapping { event_type, resource_id, dedupe, accept, .. } = &settings.mapping;
        let default = default_type(&settings.name);
        let template = |text: &String| Template::parse(text, &Names::SOURCE);
        Ok(Mapper {
            source_name: settings.name.clone(),
            event_type: template(event_type.as_ref().unwrap_or(&default))?,
            resource_id: resource_id.as_ref().map(template).transpose()?,
            dedupe: dedupe.as_ref().map(template).transpose()?,
            accept: accept.as_ref().map(|text| Expression::parse(text, &Names::SOURCE)).transpose()?,
        })
    }

    /// What the request becomes. `now` is when it came, as RFC 3339. A template that runs out of its budget gives
    /// nothing, and `accept` then takes the request: losing an event is worse than one too many.
    pub fn map(&self, request: &InboundRequest, body: &ReadBody, now: &str) -> Mapped {
        let payload_text = String::from_utf8_lossy(&body.payload);
        let payload = Json::parse(&payload_text).unwrap_or(Json::Null);
        let query_text = payload::query_text(&request.query);
        let mut scope = Scope::new();
        scope.lend("payload", &payload);
        scope.set("payload_text", Json::text(payload_text.as_ref()));
        scope.set("headers", headers(request));
        scope.set("query", Json::parse(&query_text).unwrap_or(Json::Null));
        if let Some(form) = &body.form {
            scope.set("form", Json::parse(form).unwrap_or(Json::Null));
        }
        scope.set("path", Json::text(request.rest.as_str()));
        scope.set("client_ip", Json::optional(request.client.map(|client| client.to_string())));
        scope.set("event", event(&self.source_name, now, None));
        let mut failure = None;
        let rendered = rendered(&self.event_type, "event_type", &scope, &mut failure).unwrap_or_default();
        let (event_type, unmapped) = mapping::event_type(&rendered, &self.source_name);
        scope.set("event", event(&self.source_name, now, Some(&event_type)));
        let mut optional = |template: &Option<Template>, name: &str| {
            rendered_opt(template.as_ref(), name, &scope, &mut failure)
        };
        let resource_id =
            optional(&self.resource_id, "resource_id").and_then(|text| mapping::resource_id(&text));
        let dedupe = optional(&self.dedupe, "dedupe").filter(|text| !text.is_empty());
        let is_accepted = match &self.accept {
            None => true,
            Some(accept) => accept.is_true(&scope, &mut Budget::filter()).unwrap_or_else(|overrun| {
                note(&mut failure, "accept", &overrun);
                true
            }),
        };
        Mapped { event_type, unmapped, resource_id, dedupe, is_accepted, failure }
    }
}

fn rendered(
    template: &Template,
    name: &str,
    scope: &Scope<'_>,
    failure: &mut Option<String>,
) -> Option<String> {
    template.render(scope, &mut Budget::render()).map_err(|overrun| note(failure, name, &overrun)).ok()
}

fn rendered_opt(
    template: Option<&Template>,
    name: &str,
    scope: &Scope<'_>,
    failure: &mut Option<String>,
) -> Option<String> {
    rendered(template?, name, scope, failure)
}

/// The first failure is the one that is shown.
fn note(failure: &mut Option<String>, name: &str, overrun: &Overrun) {
    failure.get_or_insert_with(|| format!("{name}: {overrun}"));
}

/// The first value of each header, by its lower-case name.
fn headers(request: &InboundRequest) -> Json<'_> {
    let mut seen = std::collections::HashSet::new();
    let first = request.headers.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        seen.insert(name.clone()).then(|| (name, Json::text(value.trim())))
    });
    Json::object(first)
}

/// An event before it is stored, as templates see it.
fn event<'a>(source: &'a str, now: &'a str, event_type: Option<&EventType>) -> Json<'a> {
    Json::object([
        ("type", Json::optional(event_type.map(ToString::to_string))),
        ("category", Json::optional(event_type.map(|kind| kind.category().to_owned()))),
        ("created_at", Json::text(now)),
        ("source", Json::text(source)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gallery::{self, Side};
    use crate::domain::inbound::input;
    use crate::domain::inbound::payload::Reading;
    use crate::domain::inbound::source::Guard;
    use crate::domain::values::invalid::Complaints;
    use serde_json::{Map, Value, json};

    /// A source as its recipe makes it, with the examples of the inputs.
    fn source_of(preset: &gallery::Preset) -> (SourceSettings, Guard) {
        let example = |input: &gallery::Input| {
            let text = if input.example.starts_with("whsec_") { "whsec_c2VjcmV0" } else { &input.example };
            (input.name.clone(), json!(text))
        };
        let inputs: Map<String, Value> = preset.inputs.iter().map(example).collect();
        let mut fields = preset.expand(&inputs).unwrap();
        fields.insert("name".to_owned(), json!(preset.name));
        let mut errors = Complaints::default();
        let read = input::read(&fields, &Guard::default(), &mut errors);
        assert_eq!(errors.into_vec(), vec![], "{}", preset.name);
        read
    }

    fn mapped(settings: &SourceSettings, request: &InboundRequest) -> Mapped {
        let json_field = &settings.mapping.json_field;
        let reading = Reading { json_field, size_limit: 262_144, hidden_parameters: &[] };
        let body = payload::read(request, reading).unwrap();
        Mapper::of(settings).unwrap().map(request, &body, "2026-03-01T12:00:00Z")
    }

    #[test]
    fn every_sample_becomes_the_event_that_it_says() {
        for preset in gallery::all(Side::Source) {
            let (settings, _) = source_of(preset);
            for name in &preset.samples {
                let sample = gallery::sample(&format!("{}/{name}", preset.name)).unwrap();
                let found = mapped(&settings, &sample.request);
                let expected = Mapped {
                    event_type: EventType::parse(&sample.expected.event_type).unwrap(),
                    unmapped: None,
                    resource_id: sample.expected.resource_id.clone(),
                    dedupe: sample.expected.dedupe.clone(),
                    is_accepted: true,
                    failure: None,
                };
                assert_eq!(found, expected, "{}/{name}", preset.name);
            }
        }
    }

    #[test]
    fn every_sample_means_what_it_says() {
        for preset in gallery::all(Side::Source) {
            let (settings, _) = source_of(preset);
            let templates = settings.mapping.summary.clone().unwrap_or_default().parsed().unwrap();
            for name in &preset.samples {
                let sample = gallery::sample(&format!("{}/{name}", preset.name)).unwrap();
                let json_field = &settings.mapping.json_field;
                let reading = Reading { json_field, size_limit: 262_144, hidden_parameters: &[] };
                let body = payload::read(&sample.request, reading).unwrap();
                let text = std::str::from_utf8(&body.payload).unwrap();
                let payload = Json::parse(text).unwrap();
                let event_type = EventType::parse(&sample.expected.event_type).unwrap();
                let mut scope = Scope::new();
                scope.lend("payload", &payload);
                scope.set("payload_text", Json::text(text));
                scope.set("event", event(&preset.name, "2026-03-01T12:00:00Z", Some(&event_type)));
                let summary = templates.render(&scope, event_type.as_str(), &mut Budget::render());
                let found = json!({
                    "title": summary.title,
                    "message": summary.message,
                    "link": summary.link,
                    "level": summary.level.as_str(),
                });
                assert_eq!(found, sample.expected.summary, "{}/{name}", preset.name);
            }
        }
    }

    #[test]
    fn everything_about_a_request_can_be_named() {
        let mut settings = source_of(gallery::find(Side::Source, "generic").unwrap()).0;
        settings.mapping.event_type =
            Some("{{ path }}.{{ query.a }}.{{ form.b }}.{{ headers['x-c'] }}".to_owned());
        settings.mapping.resource_id = Some("{{ client_ip }} {{ event.type }} {{ event.source }}".to_owned());
        settings.mapping.dedupe = Some("{{ payload.missing }}".to_owned());
        settings.mapping.accept = Some("payload.b == 'no'".to_owned());
        let request = InboundRequest {
            method: "POST".to_owned(),
            rest: "p".to_owned(),
            query: InboundRequest::read_query("a=q"),
            headers: [("content-type", "application/x-www-form-urlencoded"), ("x-c", " h "), ("x-c", "2")]
                .into_iter()
                .collect(),
            body: "b=f".into(),
            client: "192.0.2.1".parse().ok(),
            url: String::new(),
        };
        let found = mapped(&settings, &request);
        assert_eq!(found.event_type.as_str(), "p.q.f.h");
        assert_eq!(found.resource_id.as_deref(), Some("192.0.2.1 p.q.f.h generic"));
        assert_eq!((found.dedupe, found.is_accepted, found.failure), (None, false, None));
    }

    #[test]
    fn a_template_that_runs_out_loses_no_request() {
        let mut settings = source_of(gallery::find(Side::Source, "generic").unwrap()).0;
        let nested = "{% for a in payload %}{% for b in payload %}{% for c in payload %}x{% endfor %}{% endfor %}{% endfor %}";
        settings.mapping.event_type = Some(nested.to_owned());
        let list = json!(vec![0; 200]).to_string();
        let request =
            InboundRequest { method: "POST".to_owned(), body: list.into(), ..InboundRequest::default() };
        let found = mapped(&settings, &request);
        assert_eq!((found.event_type.as_str(), found.is_accepted), ("generic.unmapped", true));
        assert!(found.failure.unwrap().starts_with("event_type: "));
    }
}
