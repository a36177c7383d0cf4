//! How long things are kept, and who says so: the configuration, else the Retention page, else the
//! default.

use super::Span;
use crate::domain::values::words::words;

words! {
    /// Where a length of time comes from.
    pub enum RuleSource {
        /// A person set it in the configuration, which wins.
        Configuration = "configuration",
        /// An owner set it on the page.
        Page = "page",
        /// Nobody set it.
        Default = "default",
    }
}

/// What the configuration says about one kind of things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The configured length, or the default one; zero = forever.
    pub span: Span,
    /// Whether a person configured it.
    pub is_configured: bool,
}

impl Rule {
    /// How long it is now, given what the page says.
    pub fn with_page(&self, page: Option<&Span>) -> (Span, RuleSource) {
        match page {
            _ if self.is_configured => (self.span.clone(), RuleSource::Configuration),
            Some(page) => (page.clone(), RuleSource::Page),
            None => (self.span.clone(), RuleSource::Default),
        }
    }
}

/// What the configuration says about both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Attempts.
    pub logs: Rule,
    pub events: Rule,
}

/// What the page says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PagePolicy {
    pub logs: Option<Span>,
    pub events: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_goes_before_the_page_and_that_before_the_default() {
        let span = |text| Span::parse(text).unwrap();
        let rule = |is_configured| Rule { span: span("30d"), is_configured };
        let page = span("7d");
        assert_eq!(rule(true).with_page(Some(&page)), (span("30d"), RuleSource::Configuration));
        assert_eq!(rule(false).with_page(Some(&page)), (span("7d"), RuleSource::Page));
        assert_eq!(rule(false).with_page(None), (span("30d"), RuleSource::Default));
    }
}
