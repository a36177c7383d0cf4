//! Which event types an endpoint subscribes to.
//!
//! A pattern is a type (`license.assigned`), a type followed by `.*` (`license.*`: one or more further
//! segments, so `license` itself is not meant), or `*` (all that clients post). System events
//! (`webhook_endpoint.…`) are wanted only by patterns that name them: plain `*` does not match them, so
//! that a receiver of business events is not surprised by Postrider's own.

use std::collections::HashMap;
use std::fmt;

use super::EventType;

/// The most patterns of one endpoint.
pub const PATTERNS_MAX: usize = 100;

/// The event types that an endpoint subscribes to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum EventPattern {
    /// `*`
    All,
    /// `license.*`; holds `license`.
    Below(EventType),
    /// `license.assigned`
    Exactly(EventType),
}

impl EventPattern {
    /// Checks the form. The error is a sentence for the caller.
    pub fn parse(text: &str) -> Result<EventPattern, String> {
        if text == "*" {
            return Ok(EventPattern::All);
        }
        let (stem, below) = match text.strip_suffix(".*") {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        let stem = EventType::parse(stem).map_err(|_| {
            format!("{text:?} is not an event pattern: write a type (license.assigned), a type followed by .* (license.*), or *")
        })?;
        Ok(if below { EventPattern::Below(stem) } else { EventPattern::Exactly(stem) })
    }

    /// Whether an event of this type is wanted.
    pub fn matches(&self, event_type: &EventType) -> bool {
        match self {
            EventPattern::All => !event_type.is_system(),
            EventPattern::Exactly(wanted) => wanted == event_type,
            EventPattern::Below(stem) => {
                event_type.as_str().strip_prefix(stem.as_str()).is_some_and(|rest| rest.starts_with('.'))
            }
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventPattern::All => f.write_str("*"),
            EventPattern::Below(stem) => write!(f, "{stem}.*"),
            EventPattern::Exactly(t) => t.fmt(f),
        }
    }
}

impl fmt::Debug for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether any of the patterns wants this type.
pub fn any_matches(patterns: &[EventPattern], event_type: &EventType) -> bool {
    patterns.iter().any(|p| p.matches(event_type))
}

/// Many lists of patterns, such as those of an app's endpoints. Which of them want a type is looked up, so the time
/// does not grow with those that do not.
#[derive(Debug, Default)]
pub struct PatternIndex {
    all: Vec<usize>,
    below: HashMap<Box<str>, Vec<usize>>,
    exactly: HashMap<Box<str>, Vec<usize>>,
}

impl PatternIndex {
    /// The index of these lists, which are numbered from 0.
    pub fn new<'a>(lists: impl IntoIterator<Item = &'a [EventPattern]>) -> PatternIndex {
        let mut index = PatternIndex::default();
        for (number, patterns) in lists.into_iter().enumerate() {
            for pattern in patterns {
                match pattern {
                    EventPattern::All => index.all.push(number),
                    EventPattern::Below(stem) => {
                        index.below.entry(stem.as_str().into()).or_default().push(number);
                    }
                    EventPattern::Exactly(wanted) => {
                        index.exactly.entry(wanted.as_str().into()).or_default().push(number);
                    }
                }
            }
        }
        index
    }

    /// The numbers of the lists that want this type, ascending.
    pub fn wanting(&self, event_type: &EventType) -> Vec<usize> {
        let name = event_type.as_str();
        let stems = name.match_indices('.').map(|(end, _)| &name[..end]);
        let below = stems.filter_map(|stem| self.below.get(stem)).flatten();
        let exactly = self.exactly.get(name).into_iter().flatten();
        let all = if event_type.is_system() { &[] } else { &self.all[..] };
        let mut found: Vec<usize> = all.iter().chain(below).chain(exactly).copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn matches(pattern: &str, event_type: &str) -> bool {
        EventPattern::parse(pattern).unwrap().matches(&EventType::parse(event_type).unwrap())
    }

    #[test]
    fn a_star_stands_for_one_or_more_further_segments() {
        assert!(matches("license.*", "license.assigned"));
        assert!(matches("license.*", "license.seat.added"));
        assert!(matches("a.b.*", "a.b.c"));
        assert!(!matches("license.*", "license"));
        assert!(!matches("license.*", "licenses.assigned"));
        assert!(!matches("a.b.*", "a.c.b"));
    }

    #[test]
    fn an_exact_pattern_is_exact() {
        assert!(matches("license.assigned", "license.assigned"));
        assert!(!matches("license.assigned", "license.assigned.twice"));
        assert!(!matches("license.assigned", "License.assigned"));
    }

    #[test]
    fn plain_star_does_not_match_system_events() {
        assert!(matches("*", "license.assigned") && matches("*", "webhook_endpoint"));
        assert!(!matches("*", "webhook_endpoint.disabled"));
        assert!(matches("webhook_endpoint.*", "webhook_endpoint.disabled"));
        assert!(matches("webhook_endpoint.disabled", "webhook_endpoint.disabled"));
    }

    #[test]
    fn other_stars_are_refused() {
        for text in ["", "**", "*.assigned", "license.*.x", "license*", ".*", "license..*", "license.*.*"] {
            assert!(EventPattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn patterns_read_back(text in r"(\*|[a-z]{1,5}(\.[a-z]{1,5}){0,3}(\.\*)?)") {
            prop_assert_eq!(EventPattern::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn the_index_finds_what_asking_each_list_finds(
            lists in vec(vec(r"(\*|[ab](\.[ab]){0,2}(\.\*)?|webhook_endpoint(\.[ab])?(\.\*)?)", 0..4), 0..8),
            event_type in r"([ab](\.[ab]){0,3}|webhook_endpoint(\.[ab]){0,2})",
        ) {
            let parse = |text: &String| EventPattern::parse(text).unwrap();
            let lists: Vec<Vec<EventPattern>> = lists.iter().map(|list| list.iter().map(parse).collect()).collect();
            let event_type = EventType::parse(&event_type).unwrap();
            let asked: Vec<usize> =
                (0..lists.len()).filter(|number| any_matches(&lists[*number], &event_type)).collect();
            prop_assert_eq!(PatternIndex::new(lists.iter().map(Vec::as_slice)).wanting(&event_type), asked);
        }

        #[test]
        fn below_matches_exactly_what_extends_the_stem(stem in "[a-z]{1,3}(\\.[a-z]{1,3}){0,2}", other in "[a-z]{1,3}(\\.[a-z]{1,3}){0,3}") {
            let want = other.starts_with(&format!("{stem}."));
            prop_assert_eq!(matches(&format!("{stem}.*"), &other), want);
        }
    }
}
