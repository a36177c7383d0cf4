//! `postrider doctor`: diagnoses this machine, the connection to an endpoint, or the URL of a source.
//!
//! Each check is a [`Finding`] in plain words, with advice how to fix it. Nothing is changed: the test of an
//! endpoint is a real, signed request, but it is not logged and counts nowhere.

use serde_json::{Value, json};

pub mod certificate;
pub mod endpoint;
pub mod machine;
pub mod server;
pub mod source;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Ok,
    /// It works, but needs attention.
    Warning,
    /// It does not work.
    Problem,
}

impl Severity {
    /// A word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Problem => "problem",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    pub severity: Severity,
    /// A sentence without full stop.
    pub detail: String,
    /// How to fix it.
    pub advice: Option<String>,
    /// Duration in milliseconds, where it matters.
    pub took_ms: Option<f64>,
}

impl Finding {
    fn new(check: &'static str, severity: Severity, detail: impl Into<String>) -> Finding {
        Finding { check, severity, detail: detail.into(), advice: None, took_ms: None }
    }

    fn ok(check: &'static str, detail: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Ok, detail)
    }

    fn warning(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: Some(advice.into()), ..Finding::new(check, Severity::Warning, detail) }
    }

    fn problem(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: Some(advice.into()), ..Finding::new(check, Severity::Problem, detail) }
    }

    fn took(mut self, started: tokio::time::Instant) -> Finding {
        self.took_ms = Some((started.elapsed().as_micros() as f64 / 100.0).round() / 10.0);
        self
    }
}

/// Findings as text, one line each, with the advice below.
pub fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|found| found.check.len()).max().unwrap_or(0);
    let line = |found: &Finding| {
        let took = found.took_ms.map_or(String::new(), |ms| format!(" ({ms} ms)"));
        let mut line =
            format!("{:<7}  {:<width$}  {}{took}\n", found.severity.as_str(), found.check, found.detail);
        if let Some(advice) = &found.advice {
            line += &format!("{:<7}  {:<width$}  → {advice}\n", "", "");
        }
        line
    };
    findings.iter().map(line).collect()
}

/// Findings as JSON.
pub fn value(findings: &[Finding]) -> Value {
    let checks: Vec<Value> = findings
        .iter()
        .map(|found| {
            json!({
                "check": found.check,
                "verdict": found.severity.as_str(),
                "detail": found.detail,
                "advice": found.advice,
                "took_ms": found.took_ms,
            })
        })
        .collect();
    json!({ "ok": problems(findings) == 0, "checks": checks })
}

/// The number of checks that failed.
pub fn problems(findings: &[Finding]) -> usize {
    findings.iter().filter(|found| found.severity == Severity::Problem).count()
}
