//! Where alerts go: create, update, test and delete targets. Sending is not done here.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::{By, Kind, Result, ServiceError};
use crate::domain::alert::{
    AlertTarget, AlertTry, DISK_FREE_MIB_MAX, Form, NAME_MAX_CHARS, RECIPIENTS_MAX, Smtp, SmtpTls,
    TARGETS_MAX, TOKEN_MAX, USER_MAX_CHARS, check_address, read_host,
};
use crate::domain::network::NetworkPolicy;
use crate::domain::{Activity, ActivityKind, AlertKind, AlertTargetId, FieldError, Invalid, Span, endpoint};
use crate::host::clock::Clock;
use crate::host::vault::Vault;
use crate::store::Store;

/// How long the oldest delivery may wait, unless a target says otherwise.
const QUEUE_AGE: u32 = 900;
/// How long nothing may succeed at a webhook, in seconds, unless a target says otherwise.
const SILENT_AFTER: u32 = 86_400;
/// What should be free, in MiB, unless a target says otherwise.
const DISK_FREE_MIB: u32 = 1_024;
/// The shortest age: it is looked at once a minute.
const QUEUE_AGE_MIN_MS: u64 = 60_000;

/// When a test that was refused because too many are in flight may be requested again, in seconds.
const TEST_AGAIN_SECS: u64 = 1;

/// What the service needs of who tells. `crate::app` joins the two.
#[async_trait]
pub trait Messenger: Send + Sync {
    /// Sends an example of a kind, and says what became of it; `None` if too many tests are in flight.
    async fn test(&self, target: &AlertTarget, kind: AlertKind) -> Option<AlertTry>;
}

/// What a client wants a target to be: fields that it gave. `Some(None)` for `null`.
#[derive(Debug, Clone, Default)]
pub struct TargetInput {
    pub name: Option<String>,
    pub form: Option<Form>,
    pub url: Option<String>,
    pub token: Option<Option<String>>,
    pub kinds: Option<Vec<AlertKind>>,
    pub queue_age: Option<Span>,
    pub silent_after: Option<Span>,
    pub smtp: SmtpInput,
    pub disk_free_mib: Option<i64>,
    pub is_enabled: Option<bool>,
}

/// The part of a target that only e-mail has: fields that a client gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SmtpInput {
    pub host: Option<String>,
    pub port: Option<i64>,
    pub tls: Option<SmtpTls>,
    pub user: Option<Option<String>>,
    pub password: Option<Option<String>>,
    pub from: Option<String>,
    pub to: Option<Vec<String>>,
}

/// The use cases.
pub struct AlertTargets {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    messenger: Arc<dyn Messenger>,
    policy: NetworkPolicy,
}

impl AlertTargets {
    /// Joins the parts.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        messenger: Arc<dyn Messenger>,
        policy: NetworkPolicy,
    ) -> AlertTargets {
        AlertTargets { store, clock, vault, messenger, policy }
    }

    /// All targets, oldest first.
    pub async fn list(&self) -> Result<Vec<AlertTarget>> {
        Ok(self.store.alert_target_list().await?)
    }

    /// One of them.
    pub async fn get(&self, id: AlertTargetId) -> Result<AlertTarget> {
        self.store.alert_target_get(id).await?.ok_or(ServiceError::NotFound(Kind::AlertTarget))
    }

    /// Makes a target. Form and URL are needed; without kinds it hears of all.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when there are as many as there can be.
    pub async fn create(&self, by: &By, input: TargetInput) -> Result<AlertTarget> {
        let now = self.clock.now();
        let mut missing = Vec::new();
        let is_email = input.form == Some(Form::Email);
        for (name, is_there) in [("/form", input.form.is_some()), ("/url", is_email || input.url.is_some())] {
            if !is_there {
                missing.push(FieldError::new(name, "is required"));
            }
        }
        let blank = AlertTarget {
            id: AlertTargetId::new(now),
            name: String::new(),
            form: input.form.unwrap_or(Form::Json),
            url: crate::domain::Sealed(Vec::new()),
            host: String::new(),
            token: None,
            smtp: None,
            kinds: AlertKind::ALL.to_vec(),
            queue_age: Span::parse("15m").unwrap_or_else(|| Span::from_secs(QUEUE_AGE)),
            silent_after: Span::parse("1d").unwrap_or_else(|| Span::from_secs(SILENT_AFTER)),
            disk_free_mib: DISK_FREE_MIB,
            is_enabled: true,
            created_at: now,
            updated_at: now,
            last_try: None,
        };
        let target = self.apply(blank, input, missing)?;
        let entry = self.entry(by, ActivityKind::AlertTargetCreated, "created", &target);
        if self.store.alert_target_insert(target.clone(), TARGETS_MAX, entry).await? {
            Ok(target)
        } else {
            let text =
                format!("There are {TARGETS_MAX} alert targets already, the most there can be; delete one.");
            Err(ServiceError::Conflict(text))
        }
    }

    /// Changes the fields that are given.
    pub async fn change(&self, by: &By, id: AlertTargetId, input: TargetInput) -> Result<AlertTarget> {
        let current = self.get(id).await?;
        let changed =
            self.apply(AlertTarget { updated_at: self.clock.now(), ..current }, input, Vec::new())?;
        let entry = self.entry(by, ActivityKind::AlertTargetChanged, "changed", &changed);
        match self.store.alert_target_update(changed, entry).await? {
            true => self.get(id).await,
            false => Err(ServiceError::NotFound(Kind::AlertTarget)),
        }
    }

    /// Deletes a target.
    pub async fn delete(&self, by: &By, id: AlertTargetId) -> Result<()> {
        let current = self.get(id).await?;
        let entry = self.entry(by, ActivityKind::AlertTargetDeleted, "deleted", &current);
        match self.store.alert_target_delete(id, entry).await? {
            true => Ok(()),
            false => Err(ServiceError::NotFound(Kind::AlertTarget)),
        }
    }

    /// Sends an example of a kind to a target, whether it is enabled and wants it or not.
    pub async fn test(&self, id: AlertTargetId, kind: AlertKind) -> Result<AlertTry> {
        let target = self.get(id).await?;
        let tried = self.messenger.test(&target, kind).await;
        tried.ok_or(ServiceError::RateLimited { retry_after_secs: TEST_AGAIN_SECS })
    }

    /// Puts what was given in the place of what was there; all problems at once.
    fn apply(
        &self,
        mut target: AlertTarget,
        input: TargetInput,
        mut errors: Vec<FieldError>,
    ) -> Result<AlertTarget> {
        let mut fail = |pointer: &str, message: String| errors.push(FieldError::new(pointer, message));
        let changes_form = input.form.is_some_and(|form| form != target.form);
        target.form = input.form.unwrap_or(target.form);
        // A token goes to nobody but the one it was given for.
        if changes_form || input.url.is_some() {
            target.token = None;
        }
        if target.form == Form::Email {
            self.apply_smtp(&mut target, &input, &mut fail);
        } else {
            refuse_smtp(&mut target, &input.smtp, &mut fail);
        }
        self.apply_address(&mut target, &input, changes_form, &mut fail);
        apply_thresholds(&mut target, &input, &mut fail);
        target.is_enabled = input.is_enabled.unwrap_or(target.is_enabled);
        match input.name {
            Some(name) => match check_name(&name) {
                Ok(()) => target.name = name,
                Err(message) => fail("/name", message),
            },
            None if target.name.is_empty() => {
                target.name = target.host.chars().take(NAME_MAX_CHARS).collect()
            }
            None => {}
        }
        if errors.is_empty() { Ok(target) } else { Err(Invalid(errors).into()) }
    }

    /// Puts URL and token in the place of what was there.
    fn apply_address(
        &self,
        target: &mut AlertTarget,
        input: &TargetInput,
        changes_form: bool,
        fail: &mut impl FnMut(&str, String),
    ) {
        if target.form == Form::Email {
            // Judged above.
        } else if let Some(text) = &input.url {
            match self.check_url(text) {
                Ok(host) => {
                    target.url = self.vault.seal_alert(target.id, "url", text);
                    target.host = host;
                }
                Err(message) => fail("/url", message),
            }
        } else if changes_form {
            fail("/url", "is required when the form changes".to_owned());
        }
        match (&input.token, target.form.token_is_required()) {
            (Some(_), _) if target.form == Form::Email => {
                fail("/token", "is not used by email; give user and password".to_owned());
            }
            (Some(Some(_)), None) => {
                let form = target.form.as_str();
                fail("/token", format!("is not used by {form}, whose URL is the secret; leave it out"));
            }
            (Some(Some(token)), _) => match check_token(token) {
                Ok(()) => target.token = Some(self.vault.seal_alert(target.id, "token", token)),
                Err(message) => fail("/token", message),
            },
            (Some(None), _) => target.token = None,
            (None, _) => {}
        }
        if target.form.token_is_required() == Some(true) && target.token.is_none() {
            let text =
                "is required: the token of an application in Gotify; give it again when the URL changes";
            fail("/token", text.to_owned());
        }
    }

    /// Puts the fields of e-mail in the place of what was there.
    fn apply_smtp(&self, target: &mut AlertTarget, input: &TargetInput, fail: &mut impl FnMut(&str, String)) {
        let given = &input.smtp;
        if input.url.is_some() {
            fail("/url", "is not used by email; give host, from and to".to_owned());
        }
        let old = target.smtp.take();
        let host = given.host.as_deref().map(|text| self.check_host(text));
        let host = match (host, &old) {
            (Some(Ok(host)), _) => host,
            (Some(Err(message)), _) => {
                fail("/host", message);
                String::new()
            }
            (None, Some(old)) => old.host.clone(),
            (None, None) => {
                fail("/host", "is required: the name of the mail server".to_owned());
                String::new()
            }
        };
        let tls = given.tls.or(old.as_ref().map(|old| old.tls)).unwrap_or(SmtpTls::Starttls);
        let port = match given.port.map(|port| u16::try_from(port).ok().filter(|port| *port > 0)) {
            Some(Some(port)) => port,
            Some(None) => {
                fail("/port", "must be a whole number from 1 to 65535".to_owned());
                0
            }
            None => match &old {
                Some(old) if given.tls.is_none_or(|tls| tls == old.tls) => old.port,
                _ => tls.port(),
            },
        };
        let user = given.user.clone().unwrap_or_else(|| old.as_ref().and_then(|old| old.user.clone()));
        let from = self.addresses(given.from.clone().map(|from| vec![from]), "/from", fail);
        let from = from.and_then(|mut all| all.pop()).or(old.as_ref().map(|old| old.from.clone()));
        let to = self.addresses(given.to.clone(), "/to", fail).or(old.as_ref().map(|old| old.to.clone()));
        for (name, is_there) in [("/from", from.is_some()), ("/to", to.is_some())] {
            if !is_there {
                fail(name, "is required: an e-mail address".to_owned());
            }
        }
        let smtp = Smtp { host, port, tls, user, from: from.unwrap_or_default(), to: to.unwrap_or_default() };
        let moves = old.is_none_or(|old| {
            (&old.host, old.port, old.tls, &old.user) != (&smtp.host, smtp.port, smtp.tls, &smtp.user)
        });
        self.apply_password(target, &smtp, given, moves, fail);
        target.host = match smtp.host.contains(':') {
            true => format!("[{}]:{}", smtp.host, smtp.port),
            false => format!("{}:{}", smtp.host, smtp.port),
        };
        target.url = self.vault.seal_alert(target.id, "url", &format!("smtp://{}", target.host));
        target.smtp = Some(smtp);
    }

    /// A password goes to no server but the one it was given for, and only over TLS.
    fn apply_password(
        &self,
        target: &mut AlertTarget,
        smtp: &Smtp,
        given: &SmtpInput,
        moves: bool,
        fail: &mut impl FnMut(&str, String),
    ) {
        if moves {
            target.token = None;
        }
        match &given.password {
            Some(Some(password)) => match check_password(password) {
                Ok(()) => target.token = Some(self.vault.seal_alert(target.id, "token", password)),
                Err(message) => fail("/password", message),
            },
            Some(None) => target.token = None,
            None => {}
        }
        match &smtp.user {
            Some(user) if user.is_empty() || user.chars().count() > USER_MAX_CHARS => {
                fail("/user", format!("must have 1 to {USER_MAX_CHARS} characters, or be null"));
            }
            Some(user) if user.chars().any(char::is_control) => {
                fail("/user", "contains a control character".to_owned());
            }
            Some(_) if target.token.is_none() => {
                fail(
                    "/password",
                    "is required with a user; give it again when the server or the user changes".to_owned(),
                );
            }
            Some(_) if smtp.tls == SmtpTls::None => {
                fail(
                    "/tls",
                    "must be starttls or implicit with a user: a password is sent only over TLS".to_owned(),
                );
            }
            None if target.token.is_some() => fail("/user", "is required with a password".to_owned()),
            _ => {}
        }
    }

    fn addresses(
        &self,
        given: Option<Vec<String>>,
        pointer: &str,
        fail: &mut impl FnMut(&str, String),
    ) -> Option<Vec<String>> {
        let given = given?;
        if given.is_empty() || given.len() > RECIPIENTS_MAX {
            fail(pointer, format!("must have 1 to {RECIPIENTS_MAX} addresses"));
        }
        let wrong = given.iter().take(RECIPIENTS_MAX).find_map(|text| check_address(text).err());
        if let Some(message) = wrong {
            fail(pointer, message);
        }
        Some(given)
    }

    /// The host of a mail server that may be reached; a name is judged again for each message.
    fn check_host(&self, text: &str) -> std::result::Result<String, String> {
        let host = read_host(text)?;
        if let Ok(address) = host.parse() {
            self.policy.check(address).map_err(|blocked| blocked.to_string())?;
        }
        Ok(host)
    }

    /// The host of a URL that alerts may go to.
    fn check_url(&self, text: &str) -> std::result::Result<String, String> {
        let url = endpoint::parse_url(text)?;
        self.policy.check_url_literal(&url).map_err(|blocked| blocked.to_string())?;
        let host = url.host_str().unwrap_or_default();
        Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    fn entry(&self, by: &By, kind: ActivityKind, done: &str, target: &AlertTarget) -> Activity {
        let kinds: Vec<_> = target.kinds.iter().map(|kind| kind.as_str()).collect();
        let details = json!({
            "target_id": target.id.to_string(),
            "name": target.name,
            "form": target.form.as_str(),
            "host": target.host,
            "kinds": kinds,
            "enabled": target.is_enabled,
        });
        let summary = format!("Alert target {} was {done}", target.name);
        by.activity(kind, None, summary, details, self.clock.now())
    }
}

/// Puts kinds and thresholds in the place of what was there.
fn apply_thresholds(target: &mut AlertTarget, input: &TargetInput, fail: &mut impl FnMut(&str, String)) {
    if let Some(kinds) = &input.kinds {
        if kinds.is_empty() {
            fail("/kinds", "must name at least one kind; enabled: false switches a target off".to_owned());
        }
        target.kinds.clone_from(kinds);
        target.kinds.sort();
        target.kinds.dedup();
    }
    if let Some(age) = &input.queue_age {
        if age.as_millis() < QUEUE_AGE_MIN_MS {
            fail("/queue_age", "must be at least 1m: it is looked at once a minute".to_owned());
        }
        target.queue_age.clone_from(age);
    }
    if let Some(span) = &input.silent_after {
        if span.as_millis() < QUEUE_AGE_MIN_MS {
            fail("/silent_after", "must be at least 1m: it is looked at once a minute".to_owned());
        }
        target.silent_after.clone_from(span);
    }
    if let Some(mib) = input.disk_free_mib {
        match u32::try_from(mib).ok().filter(|mib| (1..=DISK_FREE_MIB_MAX).contains(mib)) {
            Some(mib) => target.disk_free_mib = mib,
            None => fail("/disk_free_mib", format!("must be a whole number from 1 to {DISK_FREE_MIB_MAX}")),
        }
    }
}

/// The fields of e-mail have no meaning for other forms.
fn refuse_smtp(target: &mut AlertTarget, given: &SmtpInput, fail: &mut impl FnMut(&str, String)) {
    target.smtp = None;
    let form = target.form.as_str();
    let fields = [
        ("/host", given.host.is_some()),
        ("/port", given.port.is_some()),
        ("/tls", given.tls.is_some()),
        ("/user", given.user.is_some()),
        ("/password", given.password.is_some()),
        ("/from", given.from.is_some()),
        ("/to", given.to.is_some()),
    ];
    for (name, _) in fields.iter().filter(|(_, is_given)| *is_given) {
        fail(name, format!("is used only by email, not by {form}"));
    }
}

/// What stands for a secret elsewhere is none.
fn refuse_mask(text: &str) -> std::result::Result<(), String> {
    if text == endpoint::MASK {
        Err("is a mask; leave it out to keep what is stored".to_owned())
    } else {
        Ok(())
    }
}

fn check_password(password: &str) -> std::result::Result<(), String> {
    refuse_mask(password)?;
    if (1..=TOKEN_MAX).contains(&password.len()) && !password.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(format!("must have 1 to {TOKEN_MAX} bytes and no control characters"))
    }
}

fn check_name(name: &str) -> std::result::Result<(), String> {
    let fits = (1..=NAME_MAX_CHARS).contains(&name.trim().chars().count());
    if !fits || name.chars().count() > NAME_MAX_CHARS || name.chars().any(char::is_control) {
        return Err(format!("must have 1 to {NAME_MAX_CHARS} characters and no line breaks"));
    }
    Ok(())
}

fn check_token(token: &str) -> std::result::Result<(), String> {
    refuse_mask(token)?;
    let fits = (1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        Ok(())
    } else {
        Err(format!("must have 1 to {TOKEN_MAX} visible ASCII characters, without spaces"))
    }
}
