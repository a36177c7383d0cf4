//! How parts of a target of alerts stand in columns.

use serde::{Deserialize, Serialize};

use crate::domain::AlertKind;
use crate::domain::alert::{Smtp, SmtpTls};
use crate::store::shared::fault::Fault;

/// Reads kinds separated by spaces.
pub(crate) fn read_kinds(text: &str) -> Result<Vec<AlertKind>, Fault> {
    let read = |kind: &str| {
        AlertKind::parse(kind).ok_or_else(|| Fault(format!("{kind:?} in the database is no kind of alert")))
    };
    text.split_ascii_whitespace().map(read).collect()
}

/// Kinds separated by spaces.
pub(crate) fn write_kinds(kinds: &[AlertKind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
}

/// The mail server of a target, as its column has it.
#[derive(Serialize, Deserialize)]
struct SmtpText {
    host: String,
    port: u16,
    tls: String,
    user: Option<String>,
    from: String,
    to: Vec<String>,
}

/// The mail server of a target as JSON.
pub(crate) fn write_smtp(smtp: &Smtp) -> String {
    let Smtp { host, port, tls, user, from, to } = smtp.clone();
    let text = SmtpText { host, port, tls: tls.as_str().to_owned(), user, from, to };
    serde_json::to_string(&text).expect("texts and numbers are JSON")
}

/// Reads the mail server of a target.
pub(crate) fn read_smtp(text: &str) -> Result<Smtp, Fault> {
    let wrong = || Fault("the mail server of an alert target does not read".to_owned());
    let SmtpText { host, port, tls, user, from, to } = serde_json::from_str(text).map_err(|_| wrong())?;
    Ok(Smtp { host, port, tls: SmtpTls::parse(&tls).ok_or_else(wrong)?, user, from, to })
}
