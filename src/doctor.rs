//! `postrider doctor`: is this machine fit for it, and why does an endpoint not get its webhooks?
//!
//! Each check is a [`Finding`] in plain words, with what would mend it. Nothing is changed: a probe of an
//! endpoint is a real, signed request, but it is in no log, and counts nowhere.

use serde_json::{Value, json};

pub mod certificate;
pub mod endpoint;
pub mod machine;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// It works, but somebody should look at it.
    Warning,
    /// It does not work.
    Problem,
}

impl Verdict {
    /// A word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Fine => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        }
    }
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    pub verdict: Verdict,
    /// A sentence without its full stop.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// How long it took, in milliseconds, where that says something.
    pub took_ms: Option<f64>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, detail: impl Into<String>) -> Finding {
        Finding { check, verdict, detail: detail.into(), advice: None, took_ms: None }
    }

    fn fine(check: &'static str, detail: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Fine, detail)
    }

    fn warning(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: Some(advice.into()), ..Finding::new(check, Verdict::Warning, detail) }
    }

    fn problem(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: Some(advice.into()), ..Finding::new(check, Verdict::Problem, detail) }
    }

    fn took(mut self, started: tokio::time::Instant) -> Finding {
        self.took_ms = Some((started.elapsed().as_micros() as f64 / 100.0).round() / 10.0);
        self
    }
}

/// Findings for people, a line each, and what would mend them below.
pub fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|found| found.check.len()).max().unwrap_or(0);
    let line = |found: &Finding| {
        let took = found.took_ms.map_or(String::new(), |ms| format!(" ({ms} ms)"));
        let mut line =
            format!("{:<7}  {:<width$}  {}{took}\n", found.verdict.as_str(), found.check, found.detail);
        if let Some(advice) = &found.advice {
            line += &format!("{:<7}  {:<width$}  → {advice}\n", "", "");
        }
        line
    };
    findings.iter().map(line).collect()
}

/// Findings for programs.
pub fn value(findings: &[Finding]) -> Value {
    let checks: Vec<Value> = findings
        .iter()
        .map(|found| {
            json!({
                "check": found.check,
                "verdict": found.verdict.as_str(),
                "detail": found.detail,
                "advice": found.advice,
                "took_ms": found.took_ms,
            })
        })
        .collect();
    json!({ "ok": !has_problem(findings), "checks": checks })
}

/// Whether something does not work.
pub fn has_problem(findings: &[Finding]) -> bool {
    findings.iter().any(|found| found.verdict == Verdict::Problem)
}
