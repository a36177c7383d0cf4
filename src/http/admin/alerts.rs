//! `/admin/api/alerts`: who is told of troubles, and by which way.

use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::domain::alert::{AlertTarget, AlertTry, Form, SmtpTls};
use crate::domain::{AlertKind, AlertTargetId, Span};
use crate::http::problem::Problem;
use crate::http::request::auth::{AdminRole, AnyRole};
use crate::http::request::body::{BodyShape, Fields, Json};
use crate::service::alerts::{SmtpInput, TargetInput};
use crate::service::endpoints::endpoint_input::not_a_span;
use crate::service::{Kind, ServiceError};

use super::Tag;
use super::shapes::{Done, Made, Whole};

const FIELDS: &[&str] = &[
    "name",
    "form",
    "url",
    "token",
    "host",
    "port",
    "tls",
    "user",
    "password",
    "from",
    "to",
    "kinds",
    "queue_age",
    "silent_after",
    "disk_free_mib",
    "enabled",
];

/// Where alerts go. Its URL, token and password are in no answer.
#[derive(Object)]
#[oai(rename = "AlertTarget")]
struct TargetObject {
    id: String,
    name: String,
    /// `json`, `ntfy`, `gotify`, `discord`, `slack` or `email`.
    form: String,
    /// Host and port of the URL, whose rest is a secret; of `email` the mail server.
    host: String,
    has_token: bool,
    /// Of `email`: the server's port; null for other forms, as are the following.
    port: Option<u16>,
    /// `starttls`, `implicit` or `none`.
    tls: Option<String>,
    user: Option<String>,
    has_password: bool,
    /// The sender's address.
    from: Option<String>,
    /// The recipients' addresses.
    to: Option<Vec<String>>,
    /// What it is alerted of; see `kinds` of the request.
    kinds: Vec<String>,
    /// How long the oldest delivery may wait before `queue_late`.
    queue_age: String,
    /// How long nothing may succeed at a webhook before `webhook_silent`.
    silent_after: String,
    /// Free space in MiB below which `disk_low` is told.
    disk_free_mib: u32,
    enabled: bool,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    updated_at: String,
    /// The last alert or test; null: there was none.
    last_try: Option<TryObject>,
}

/// What became of an alert or a test.
#[derive(Object)]
#[oai(rename = "AlertTry")]
struct TryObject {
    /// RFC 3339, UTC.
    at: String,
    kind: String,
    /// Whether the target took it, which means an answer of 2xx.
    sent: bool,
    /// Why not, in a sentence; null when it did.
    error: Option<String>,
}

impl TryObject {
    fn of(tried: &AlertTry) -> TryObject {
        TryObject {
            at: tried.at.to_string(),
            kind: tried.kind.as_str().to_owned(),
            sent: tried.error.is_none(),
            error: tried.error.clone(),
        }
    }
}

impl TargetObject {
    fn of(target: &AlertTarget) -> TargetObject {
        let smtp = target.smtp.as_ref();
        TargetObject {
            id: target.id.to_string(),
            name: target.name.clone(),
            form: target.form.as_str().to_owned(),
            host: smtp.map_or(&target.host, |smtp| &smtp.host).clone(),
            has_token: target.token.is_some() && smtp.is_none(),
            port: smtp.map(|smtp| smtp.port),
            tls: smtp.map(|smtp| smtp.tls.as_str().to_owned()),
            user: smtp.and_then(|smtp| smtp.user.clone()),
            has_password: target.token.is_some() && smtp.is_some(),
            from: smtp.map(|smtp| smtp.from.clone()),
            to: smtp.map(|smtp| smtp.to.clone()),
            silent_after: target.silent_after.to_string(),
            kinds: target.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
            queue_age: target.queue_age.to_string(),
            disk_free_mib: target.disk_free_mib,
            enabled: target.is_enabled,
            created_at: target.created_at.to_string(),
            updated_at: target.updated_at.to_string(),
            last_try: target.last_try.as_ref().map(TryObject::of),
        }
    }
}

/// A target to make.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct AlertTargetBody {
    /// 1 to 100 characters; without it, the URL's host.
    name: Option<String>,
    /// `json` (any URL gets a JSON object), `ntfy`, `gotify`, `discord`, `slack` or `email`.
    form: String,
    /// For ntfy the topic's URL, for Gotify the server's, else the webhook's. Kept encrypted, shown nowhere.
    /// Required, except for `email`.
    url: Option<String>,
    /// For Gotify (the application's) and, if it asks for one, ntfy or your own URL (`Authorization: Bearer`).
    /// Kept encrypted, shown nowhere.
    token: Option<String>,
    /// `email`: the name or address of the mail server. Required.
    host: Option<String>,
    /// `email`: 587 for `starttls`, 465 for `implicit`, 25 for `none` unless given.
    port: Option<u16>,
    /// `email`: `starttls` (the default), `implicit` or `none`.
    tls: Option<String>,
    /// `email`: if the server asks for one; only over TLS.
    user: Option<String>,
    /// `email`: required with a user. Kept encrypted, shown nowhere.
    password: Option<String>,
    /// `email`: the sender's address. Required.
    from: Option<String>,
    /// `email`: 1 to 20 addresses. Required.
    to: Option<Vec<String>>,
    /// What it is alerted of; without it, everything.
    kinds: Option<Vec<String>>,
    /// How long nothing may succeed at a webhook that fails: `1d`, which is the default; at least `1m`.
    silent_after: Option<String>,
    /// How long the oldest delivery may wait: `15m`, which is the default; at least `1m`.
    queue_age: Option<String>,
    /// Free space in MiB; 1024 is the default.
    disk_free_mib: Option<u32>,
    /// Default: true.
    enabled: Option<bool>,
}

impl BodyShape for AlertTargetBody {}

/// What changes about a target; what is not named stays. A new URL or form drops the token, a new mail server or user
/// the password.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct AlertTargetChangeBody {
    name: Option<String>,
    form: Option<String>,
    url: Option<String>,
    /// Null: none any more.
    token: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    tls: Option<String>,
    /// Null: none any more.
    user: Option<String>,
    /// Null: none any more.
    password: Option<String>,
    from: Option<String>,
    to: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
    silent_after: Option<String>,
    queue_age: Option<String>,
    disk_free_mib: Option<u32>,
    enabled: Option<bool>,
}

impl BodyShape for AlertTargetChangeBody {}

/// What to try.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct AlertTestBody {
    /// The kind of alert; `webhook_disabled` is the default.
    kind: Option<String>,
}

impl BodyShape for AlertTestBody {
    const REQUIRED: bool = false;
}

/// The operations.
pub struct AlertsApi;

#[OpenApi(tag = "Tag::Alerts")]
impl AlertsApi {
    /// List alert targets
    ///
    /// Where alerts go, oldest first, with the last try of each. No answer has a URL or a token.
    #[oai(path = "/alerts", method = "get", operation_id = "list_alert_targets")]
    async fn list(&self, auth: AnyRole) -> Result<Answer<Whole<TargetObject>>, Problem> {
        let targets = auth.state.services.alerts.list().await?;
        Ok(Answer(Whole { data: targets.iter().map(TargetObject::of).collect() }))
    }

    /// Create an alert target
    ///
    /// It hears of what goes wrong from now on. As many as there can be: 409.
    #[oai(path = "/alerts", method = "post", operation_id = "create_alert_target")]
    async fn create(
        &self,
        auth: AdminRole,
        body: Json<AlertTargetBody>,
    ) -> Result<Made<TargetObject>, Problem> {
        let input = read(&body.bytes)?;
        let made = auth.state.services.alerts.create(&auth.caller.by, input).await?;
        Ok(Made::Made(Answer(TargetObject::of(&made))))
    }

    /// Change an alert target
    ///
    /// The fields that are given. A token goes to nobody but whom it was given for: a new URL or form drops it.
    #[oai(path = "/alerts/:id", method = "patch", operation_id = "change_alert_target")]
    async fn change(
        &self,
        auth: AdminRole,
        id: Path<String>,
        body: Json<AlertTargetChangeBody>,
    ) -> Result<Answer<TargetObject>, Problem> {
        let id = id_of(&id)?;
        let input = read(&body.bytes)?;
        let changed = auth.state.services.alerts.change(&auth.caller.by, id, input).await?;
        Ok(Answer(TargetObject::of(&changed)))
    }

    /// Delete an alert target
    ///
    /// It hears of nothing any more.
    #[oai(path = "/alerts/:id", method = "delete", operation_id = "delete_alert_target")]
    async fn delete(&self, auth: AdminRole, id: Path<String>) -> Result<Done, Problem> {
        auth.state.services.alerts.delete(&auth.caller.by, id_of(&id)?).await?;
        Ok(Done::Done)
    }

    /// Try an alert target
    ///
    /// Sends an example of a kind at once, whatever was told before, and says what became of it. The answer
    /// is 200 in either case.
    #[oai(path = "/alerts/:id/test", method = "post", operation_id = "test_alert_target")]
    async fn test(
        &self,
        auth: AdminRole,
        id: Path<String>,
        body: Json<AlertTestBody>,
    ) -> Result<Answer<TryObject>, Problem> {
        let id = id_of(&id)?;
        let mut fields = Fields::of_body(&body.bytes, &["kind"])?;
        let kind = fields.get::<String>("kind", "text").and_then(|text| kind_of(&mut fields, "kind", &text));
        fields.finish()?;
        let kind = kind.unwrap_or(AlertKind::WebhookDisabled);
        Ok(Answer(TryObject::of(&auth.state.services.alerts.test(id, kind).await?)))
    }
}

fn id_of(id: &str) -> Result<AlertTargetId, Problem> {
    id.parse().map_err(|_| ServiceError::NotFound(Kind::AlertTarget).into())
}

fn read(bytes: &bytes::Bytes) -> Result<TargetInput, Problem> {
    let mut fields = Fields::of_body(bytes, FIELDS)?;
    let form = fields.get::<String>("form", "text").and_then(|text| {
        let form = Form::parse(&text);
        if form.is_none() {
            let known = Form::WORDS.join(", ");
            fields.fail("form", format!("must be one of {known}"));
        }
        form
    });
    let kinds = fields.get::<Vec<String>>("kinds", "a list of kinds of alerts").map(|named| {
        if named.len() > KINDS_MAX {
            fields.fail("kinds", format!("has {} kinds; at most {KINDS_MAX} are possible", named.len()));
        }
        let kinds = named.iter().enumerate().take(KINDS_MAX);
        kinds.filter_map(|(i, text)| kind_of(&mut fields, &format!("kinds/{i}"), text)).collect()
    });
    let queue_age = span_of(&mut fields, "queue_age");
    let silent_after = span_of(&mut fields, "silent_after");
    let smtp = smtp_of(&mut fields);
    let input = TargetInput {
        name: fields.get("name", "text"),
        form,
        url: fields.get("url", "text"),
        token: fields.nullable("token", "text"),
        kinds,
        queue_age,
        silent_after,
        smtp,
        disk_free_mib: fields.get("disk_free_mib", "a whole number (MiB)"),
        is_enabled: fields.get("enabled", "true or false"),
    };
    fields.finish()?;
    Ok(input)
}

fn span_of(fields: &mut Fields<'_>, name: &str) -> Option<Span> {
    let text = fields.get::<String>(name, "a length of time such as 15m")?;
    let span = Span::parse(&text);
    if span.is_none() {
        fields.fail(name, not_a_span(&text));
    }
    span
}

fn smtp_of(fields: &mut Fields<'_>) -> SmtpInput {
    let tls = fields.get::<String>("tls", "text").and_then(|text| {
        let tls = SmtpTls::parse(&text);
        if tls.is_none() {
            fields.fail("tls", format!("must be one of {}", SmtpTls::WORDS.join(", ")));
        }
        tls
    });
    SmtpInput {
        host: fields.get("host", "text"),
        port: fields.get("port", "a whole number"),
        tls,
        user: fields.nullable("user", "text"),
        password: fields.nullable("password", "text"),
        from: fields.get("from", "an e-mail address"),
        to: fields.get("to", "a list of e-mail addresses"),
    }
}

/// The most kinds of a list: there are fewer.
const KINDS_MAX: usize = 50;

fn kind_of(fields: &mut Fields<'_>, name: &str, text: &str) -> Option<AlertKind> {
    let kind = AlertKind::parse(text);
    if kind.is_none() {
        let known = AlertKind::WORDS.join(", ");
        fields.fail(name, format!("must be one of {known}"));
    }
    kind
}
