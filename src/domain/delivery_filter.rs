//! The filter of an endpoint: an expression over the event, which decides whether there is a delivery.
//!
//! It is asked when an event is accepted, like the patterns. Losing an event silently is worse than one too many:
//! a filter that runs out of its budget, or cannot be read, counts as true and says so.

use crate::domain::expr::{Budget, Expression, Json, Names, Notes, Run};
use crate::domain::shaping::ParsedSubject;

/// The longest filter, in bytes.
pub const FILTER_MAX: usize = 2 * 1024;

/// A filter, ready to be asked.
#[derive(Debug)]
pub struct DeliveryFilter {
    text: String,
    /// `None`: it cannot be read, though it could when it was saved.
    expression: Option<Expression>,
}

/// What a filter says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterVerdict {
    pub is_wanted: bool,
    /// Why the filter could not decide; then it is wanted.
    pub error: Option<String>,
}

impl FilterVerdict {
    fn undecided(error: String) -> FilterVerdict {
        FilterVerdict { is_wanted: true, error: Some(error) }
    }
}

/// Checks a filter that is to be saved. The error is a sentence for the caller.
pub fn check(text: &str) -> Result<String, String> {
    if text.len() > FILTER_MAX {
        return Err(format!("has {} bytes; at most {FILTER_MAX} are possible", text.len()));
    }
    match Expression::parse(text, &Names::FILTER) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("is not an expression: {error}")),
    }
}

impl DeliveryFilter {
    /// A filter as it was saved.
    pub fn new(text: String) -> DeliveryFilter {
        let expression = Expression::parse(&text, &Names::FILTER).ok();
        DeliveryFilter { text, expression }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Asks it about an event.
    pub fn judge(&self, subject: &ParsedSubject<'_>, endpoint_name: &str) -> FilterVerdict {
        self.ask(subject, endpoint_name, &mut Run::new(&mut Budget::filter()))
    }

    /// The same, with what it has compared.
    pub fn explain(&self, subject: &ParsedSubject<'_>, endpoint_name: &str) -> (FilterVerdict, Notes) {
        let (mut budget, mut notes) = (Budget::filter(), Notes::default());
        let verdict = self.ask(subject, endpoint_name, &mut Run::new(&mut budget).with_notes(&mut notes));
        (verdict, notes)
    }

    fn ask(&self, subject: &ParsedSubject<'_>, endpoint_name: &str, run: &mut Run<'_>) -> FilterVerdict {
        let Some(expression) = &self.expression else {
            return FilterVerdict::undecided(
                "The filter cannot be read by this version; save it again.".to_owned(),
            );
        };
        if subject.failure().is_some() {
            return FilterVerdict::undecided("The payload is nested too deeply for a filter.".to_owned());
        }
        let summary = expression.uses("summary").then(|| subject.summary());
        let mut scope = subject.scope();
        scope.set("endpoint", Json::object([("name", Json::text(endpoint_name))]));
        if let Some(summary) = &summary {
            scope.set("summary", summary.to_json());
        }
        match expression.decide(&scope, run) {
            Ok(is_wanted) => FilterVerdict { is_wanted, error: None },
            Err(overrun) => FilterVerdict::undecided(format!("The filter did not finish: {overrun}.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shaping::Subject;
    use crate::domain::{EventType, Timestamp};

    fn judge(filter: &str, payload: &str) -> FilterVerdict {
        let event_type = EventType::parse("release.published").unwrap();
        let subject = Subject {
            id: None,
            event_type: &event_type,
            resource_id: Some("r-1"),
            source: Some("github"),
            summary: None,
            created_at: Timestamp::from_millis(1_700_000_000_000),
            payload: payload.as_bytes(),
        };
        check(filter).unwrap();
        DeliveryFilter::new(filter.to_owned()).judge(&ParsedSubject::new(subject), "Shop")
    }

    #[test]
    fn a_filter_sees_the_event_and_its_payload() {
        let payload = r#"{"action":"published","n":3,"tags":["a"]}"#;
        for (filter, is_wanted) in [
            ("payload.action == 'published' and payload.n > 2", true),
            ("payload.action == 'deleted'", false),
            ("event.source == 'github' and event.type == 'release.published'", true),
            ("event.category == 'release' and event.resource_id == 'r-1'", true),
            ("endpoint.name == 'Shop'", true),
            ("payload.missing == 'x' or payload.missing < 3", false),
            ("payload.missing != 'x'", true),
            ("'a' in payload.tags", true),
            ("summary.level in ['warning', 'error']", false),
            ("payload_text is search('published')", true),
        ] {
            assert_eq!(judge(filter, payload), FilterVerdict { is_wanted, error: None }, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_does_not_finish_counts_as_true() {
        let payload = format!("{{\"list\":[{}]}}", vec!["1"; 5_000].join(","));
        let verdict = judge("payload.list|unique|length > 100000", &payload);
        assert!(verdict.is_wanted);
        let error = verdict.error.unwrap();
        assert!(error.starts_with("The filter did not finish:"), "{error}");
    }

    #[test]
    fn what_is_no_expression_is_refused_with_its_place() {
        let error = check("payload.action = 'x'").unwrap_err();
        assert!(error.starts_with("is not an expression: line 1, column "), "{error}");
        assert!(check(&"a".repeat(FILTER_MAX + 1)).unwrap_err().contains("2048"));
        assert!(check("paylod.x").unwrap_err().contains("payload"));
    }
}
