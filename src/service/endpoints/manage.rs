//! Endpoints: make, read, change, switch, delete, rotate.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use crate::cluster::Signals;
use crate::domain::attempts::bulk_job::Work;
use crate::domain::attempts::hold::Hold;
use crate::domain::condition::Condition;
use crate::domain::endpoint::{
    ECHO_URL, Endpoint, EndpointPatch, EndpointSettings, EndpointStatus, SIGNING_SECRETS_MAX,
};
use crate::domain::filter::{EndpointKey, EndpointSort, EndpointSortField};
use crate::domain::signing::secret::SIGNING_SECRET_BYTES;
use crate::domain::values::change::Change;
use crate::domain::values::preset_mark::PresetMark;
use crate::domain::{
    ActivityKind, EndpointId, EventPattern, Invalid, Scope, Sealed, SigningSecret, Span, Timestamp,
};
use crate::host::clock::Clock;
use crate::host::vault::Vault;
use crate::store::{Changed, EndpointFilter, Page, PageRequest, Rotation, SendNow, SortValue, Start, Store};

use crate::service::endpoints::endpoint_input::{
    Checked, ChosenPreset, InputRules, PRESET_STAYS, PresetInput,
};
use crate::service::endpoints::header_values;
use crate::service::endpoints::requests::Requests;
use crate::service::{Caller, Dispatch, Kind, Result, ServiceError};

/// The longest overlap of two signing secrets: 7 days, in milliseconds.
pub const OVERLAP_MAX_MS: u64 = 7 * 86_400_000;
/// Pending attempts that are cancelled in one step.
const CANCEL_STEP: u32 = 1_000;
/// Steps that a request waits for; the dispatcher goes on with the rest.
const CANCEL_STEPS: u32 = 10;

/// Pending attempts that are made due in one step.
const SEND_NOW_STEP: u32 = 500;

/// The use cases of endpoints.
pub struct Endpoints {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    dispatch: Arc<dyn Dispatch>,
    signals: Arc<dyn Signals>,
    rules: InputRules,
    /// Held by who looks for the webhook to the built-in receiver, and may make it.
    echo: tokio::sync::Mutex<()>,
}

/// What the webhook to the built-in receiver is called.
const ECHO_NAME: &str = "Echo receiver";
const ECHO_DESCRIPTION: &str =
    "Built into Postrider: checks the signature of what it gets and answers, without using the network.";

impl Endpoints {
    /// Joins the parts.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        dispatch: Arc<dyn Dispatch>,
        signals: Arc<dyn Signals>,
        rules: InputRules,
    ) -> Endpoints {
        Endpoints { store, clock, vault, dispatch, signals, rules, echo: tokio::sync::Mutex::new(()) }
    }

    /// What input is checked against.
    pub fn input_rules(&self) -> &InputRules {
        &self.rules
    }

    /// A page of endpoints, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: EndpointFilter,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint, EndpointId>> {
        Ok(self.store.endpoint_list(caller.app_id, filter, page).await?)
    }

    /// A page of endpoints in an order that is asked for, or of some states of health.
    pub async fn ranked(
        &self,
        caller: &Caller,
        filter: EndpointFilter,
        sort: EndpointSort,
        page: PageRequest<EndpointKey>,
    ) -> Result<Page<Endpoint, EndpointKey>> {
        if sort.field != EndpointSortField::Id || !filter.health.is_empty() {
            let now = self.clock.now();
            return Ok(self.store.endpoint_ranked(caller.app_id, filter, sort, page, now).await?);
        }
        let start = match page.start {
            Start::Page(number) => Start::Page(number),
            Start::After(key) => Start::After(key.id),
        };
        let page = PageRequest { start, per_page: page.per_page };
        let found = self.store.endpoint_list(caller.app_id, filter, page).await?;
        let next = found.next.map(|id| EndpointKey { id, value: SortValue::Null });
        Ok(Page { rows: found.rows, total: found.total, next })
    }

    /// One endpoint.
    pub async fn get(&self, caller: &Caller, id: EndpointId) -> Result<Endpoint> {
        self.store.endpoint_get(caller.app_id, id).await?.ok_or(ServiceError::NotFound(Kind::Endpoint))
    }

    /// The secret that signs. The caller checks who may see it.
    pub fn signing_secret(&self, endpoint: &Endpoint) -> Result<SigningSecret> {
        let opened = self.vault.open_signing_secret(endpoint.id, &endpoint.secret);
        opened.map_err(|e| ServiceError::Internal(Box::new(e)))
    }

    /// Makes an endpoint and its signing secret, which is given back this once.
    pub async fn create(&self, caller: &Caller, input: Checked) -> Result<(Endpoint, SigningSecret)> {
        let now = self.clock.now();
        let id = EndpointId::new(now);
        let patch = self.seal(id, input, None)?;
        if patch.url.is_none() || patch.events.is_none() {
            return Err(Invalid::one("", "url and events are required").into());
        }
        let status = patch.status.unwrap_or(EndpointStatus::Active);
        let secret = new_secret();
        let sealed = self.vault.seal_signing_secret(id, &secret);
        let endpoint =
            Endpoint { status, ..Endpoint::new(id, caller.app_id, patch.into_settings(), sealed, now) };
        let activity =
            self.note(caller, ActivityKind::EndpointCreated, "created", &endpoint.settings.name, id);
        let most = self.rules.endpoints_per_app;
        if !self.store.endpoint_insert(endpoint.clone(), most, activity).await? {
            return Err(ServiceError::Conflict(format!(
                "The app has {most} webhooks, which is the limit (limits.endpoints_per_app); delete one first."
            )));
        }
        Ok((endpoint, secret))
    }

    /// The webhook of the caller's app to the built-in receiver; made, with its secret, when there is none.
    pub async fn echo(&self, caller: &Caller) -> Result<(EndpointId, Option<SigningSecret>)> {
        // Two who ask at once get the same one.
        let _turn = self.echo.lock().await;
        let briefs = self.store.endpoint_briefs(caller.app_id).await?;
        if let Some(found) = briefs.into_iter().find(|brief| brief.url == ECHO_URL) {
            return Ok((found.id, None));
        }
        let patch = EndpointPatch {
            url: Some(ECHO_URL.to_owned()),
            name: Some(ECHO_NAME.to_owned()),
            description: Change::Set(ECHO_DESCRIPTION.to_owned()),
            events: Some(vec![EventPattern::All]),
            ..EndpointPatch::default()
        };
        let input = Checked { patch, ..Checked::default() };
        let (endpoint, secret) = self.create(caller, input).await?;
        Ok((endpoint.id, Some(secret)))
    }

    /// Replaces all settings; those that are not given get their defaults. The status stays unless it
    /// is given.
    pub async fn replace(&self, caller: &Caller, id: EndpointId, input: Checked) -> Result<ChangedEndpoint> {
        let current = self.get(caller, id).await?;
        let mut input = input;
        input.patch.replace = true;
        let patch = self.seal(id, input, Some(&current.settings))?;
        self.update(caller, &current, patch).await
    }

    /// Changes the fields that are given.
    pub async fn change(&self, caller: &Caller, id: EndpointId, input: Checked) -> Result<ChangedEndpoint> {
        let current = self.get(caller, id).await?;
        let patch = self.seal(id, input, Some(&current.settings))?;
        self.update(caller, &current, patch).await
    }

    async fn update(
        &self,
        caller: &Caller,
        current: &Endpoint,
        patch: EndpointPatch,
    ) -> Result<ChangedEndpoint> {
        if !caller.by.scopes.allows(Scope::WebhooksSecrets) && patch.moves_secrets(&current.settings) {
            let message = "has secret values: write them again, not as masks, when the scheme, host or port of the \
                           URL changes; or use a key with the scope webhooks:secrets";
            return Err(Invalid::one("/headers", message).into());
        }
        let now = self.clock.now();
        let name = &current.settings.name;
        let activity = match patch.status.filter(|s| *s != current.status) {
            Some(status) => {
                let what = format!("set to {status}");
                self.note(caller, ActivityKind::EndpointStatusChanged, &what, name, current.id)
            }
            None => self.note(caller, ActivityKind::EndpointChanged, "changed", name, current.id),
        };
        let Changed { endpoint: updated, disabled_since } = self
            .store
            .endpoint_update(caller.app_id, current.id, patch, now, activity)
            .await?
            .ok_or(ServiceError::NotFound(Kind::Endpoint))?;
        if updated.status == EndpointStatus::Disabled && current.status != EndpointStatus::Disabled {
            self.cancel_pending().await?;
        }
        self.signals.endpoint_changed(current.id);
        let missed = match disabled_since.filter(|_| updated.status != EndpointStatus::Disabled) {
            Some(since) => self.missed(caller, current.id, since, now).await?,
            None => None,
        };
        Ok(ChangedEndpoint { endpoint: updated, missed })
    }

    /// What an endpoint has missed in this time: as much as `recover` would send.
    async fn missed(
        &self,
        caller: &Caller,
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Missed>> {
        // Times are whole milliseconds, and the end is left out.
        let work = Work::Recover { endpoint, since, until: until.plus_ms(1) };
        let count = self.store.job_count(caller.app_id, work).await?;
        Ok(count.ok().map(|count| Missed { since, count }))
    }

    /// How endpoints stand now: their failures, their holds, and how much waits.
    pub async fn standings(
        &self,
        caller: &Caller,
        ids: Vec<EndpointId>,
    ) -> Result<HashMap<EndpointId, Standing>> {
        let now = self.clock.now();
        let conditions = self.store.endpoint_conditions(caller.app_id, ids).await?;
        let standing = |condition: Condition| {
            let held = condition.held_at(now);
            let message = held.map(|held| held.sentence(now)).unwrap_or_default();
            Standing { hold: held.map(|held| held.hold), message, waiting: condition.waiting }
        };
        Ok(conditions.into_iter().map(|(id, condition)| (id, standing(condition))).collect())
    }

    /// How one endpoint stands now.
    pub async fn standing(&self, caller: &Caller, id: EndpointId) -> Result<Standing> {
        Ok(self.standings(caller, vec![id]).await?.remove(&id).unwrap_or_default())
    }

    /// Makes everything that waits for an endpoint due now; on hold, the first of it is sent as a probe. Gives
    /// how many deliveries wait.
    pub async fn send_now(&self, caller: &Caller, id: EndpointId) -> Result<u64> {
        let current = self.get(caller, id).await?;
        let now = self.clock.now();
        let name = &current.settings.name;
        let note =
            self.note(caller, ActivityKind::EndpointSentNow, "everything that waits is sent now", name, id);
        let (mut first, mut queued) = (Some(note), None);
        loop {
            let step = self.store.endpoint_send_now(caller.app_id, id, SEND_NOW_STEP, now, first.take());
            match step.await? {
                SendNow::NotFound => return Err(ServiceError::NotFound(Kind::Endpoint)),
                SendNow::NotActive(status) => {
                    return Err(ServiceError::Conflict(format!(
                        "The webhook is {status}, so nothing is sent; set its status to active first."
                    )));
                }
                SendNow::Due { waiting, more } => {
                    queued = queued.or(Some(waiting));
                    if !more {
                        break;
                    }
                }
            }
        }
        self.signals.endpoint_changed(id);
        let sending = self.dispatch.sending_to(id).await.len();
        Ok(queued.unwrap_or_default().saturating_sub(u64::try_from(sending).unwrap_or(u64::MAX)))
    }

    /// Deletes an endpoint; what is pending for it is cancelled, its log stays.
    pub async fn delete(&self, caller: &Caller, id: EndpointId) -> Result<()> {
        let current = self.get(caller, id).await?;
        let name = &current.settings.name;
        let activity = self.note(caller, ActivityKind::EndpointDeleted, "deleted", name, id);
        if !self.store.endpoint_delete(caller.app_id, id, self.clock.now(), activity).await? {
            return Err(ServiceError::NotFound(Kind::Endpoint));
        }
        self.cancel_pending().await?;
        self.signals.endpoint_changed(id);
        Ok(())
    }

    /// Cancels in short transactions, so that ingest goes on beside it.
    async fn cancel_pending(&self) -> Result<()> {
        for _ in 0..CANCEL_STEPS {
            if self.store.queue_cancel(CANCEL_STEP).await? < CANCEL_STEP {
                break;
            }
        }
        self.signals.result_committed();
        Ok(())
    }

    /// Replaces the signing secret; the old one signs beside it for `overlap`.
    pub async fn rotate(
        &self,
        caller: &Caller,
        id: EndpointId,
        overlap: &Span,
        end_oldest: bool,
    ) -> Result<(Endpoint, SigningSecret)> {
        if overlap.as_millis() > OVERLAP_MAX_MS {
            return Err(Invalid::one("/overlap", "must be from 0s to 7d").into());
        }
        let current = self.get(caller, id).await?;
        let now = self.clock.now();
        let secret = new_secret();
        let sealed = self.vault.seal_signing_secret(id, &secret);
        let retire_at = (!overlap.is_zero()).then(|| now.plus_ms(overlap.as_millis_i64()));
        let what = format!("signing secret rotated with an overlap of {overlap}");
        let name = &current.settings.name;
        let activity = self.note(caller, ActivityKind::EndpointSecretRotated, &what, name, id);
        let rotation = self
            .store
            .endpoint_rotate(caller.app_id, id, sealed, retire_at, end_oldest, now, activity)
            .await?;
        let endpoint = match rotation {
            Rotation::Rotated(endpoint) => *endpoint,
            Rotation::NotFound => return Err(ServiceError::NotFound(Kind::Endpoint)),
            Rotation::TooMany { oldest_until } => {
                return Err(ServiceError::Conflict(format!(
                    "{SIGNING_SECRETS_MAX} secrets sign already, the oldest until {oldest_until}. Wait until then, \
                     set end_oldest to true to end the oldest now, or rotate with an overlap of 0s to end all of them."
                )));
            }
        };
        self.signals.endpoint_changed(id);
        Ok((endpoint, secret))
    }

    /// The endpoint that attributes would make, or that changes would make of one. Nothing is stored.
    pub(crate) async fn draft(
        &self,
        caller: &Caller,
        input: Checked,
        of: Option<EndpointId>,
    ) -> Result<Endpoint> {
        let now = self.clock.now();
        if let Some(id) = of {
            let mut endpoint = self.get(caller, id).await?;
            self.seal(id, input, Some(&endpoint.settings))?.apply(&mut endpoint, now);
            return Ok(endpoint);
        }
        let id = EndpointId::new(now);
        let mut patch = self.seal(id, input, None)?;
        if patch.url.is_none() {
            return Err(Invalid::one("/url", "is required").into());
        }
        patch.events.get_or_insert_with(|| vec![EventPattern::All]);
        let status = patch.status.unwrap_or(EndpointStatus::Active);
        let settings = patch.into_settings();
        Ok(Endpoint { status, ..Endpoint::new(id, caller.app_id, settings, Sealed(vec![]), now) })
    }

    /// Seals secret values; a masked one keeps what there is.
    fn seal(
        &self,
        id: EndpointId,
        input: Checked,
        settings: Option<&EndpointSettings>,
    ) -> Result<EndpointPatch> {
        let requests = Requests { vault: &self.vault, rules: &self.rules, id, current: settings };
        let mut patch = input.patch;
        requests.settle(&mut patch, input.secrets.as_deref()).map_err(|Invalid(errors)| {
            Invalid(errors.into_iter().map(|error| input.preset.placed(error)).collect())
        })?;
        set_preset(&mut patch, input.preset, settings)?;
        let Some(given) = input.headers else { return Ok(patch) };
        let current = settings.map_or(&[][..], |settings| &settings.headers);
        let headers = header_values::seal(&self.vault, id, given, current)?;
        Ok(EndpointPatch { headers: Some(headers), ..patch })
    }

    fn note(
        &self,
        caller: &Caller,
        kind: ActivityKind,
        what: &str,
        name: &str,
        id: EndpointId,
    ) -> crate::domain::Activity {
        let details = json!({ "endpoint_id": id.to_string() });
        caller.activity(kind, format!("Webhook {name:?}: {what}."), details, self.clock.now())
    }
}

/// An endpoint that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedEndpoint {
    pub endpoint: Endpoint,
    /// What it missed while it was disabled, if it is enabled now.
    pub missed: Option<Missed>,
}

/// How an endpoint stands at the moment of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its hold, as it is at that moment.
    pub hold: Option<Hold>,
    /// Why it is on hold, in one sentence; empty when it is not.
    pub message: String,
    /// Pending deliveries.
    pub waiting: u64,
}

/// Events that a disabled endpoint was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    pub since: Timestamp,
    pub count: u64,
}

/// Notes the recipe that a patch was made with.
fn set_preset(
    patch: &mut EndpointPatch,
    preset: PresetInput,
    current: Option<&EndpointSettings>,
) -> Result<()> {
    let known = current.and_then(|current| current.preset.clone());
    let mark = match preset {
        PresetInput::None => return Ok(()),
        PresetInput::Null if patch.replace || known.is_none() => return Ok(()),
        PresetInput::Null => return Err(Invalid::one("/preset", PRESET_STAYS).into()),
        PresetInput::Kept(name) => match known.filter(|mark| mark.name == name) {
            Some(mark) => mark,
            None if patch.replace => {
                let message = "is required: what the preset is filled in with";
                return Err(Invalid::one("/preset/inputs", message).into());
            }
            None => return Err(Invalid::one("/preset", PRESET_STAYS).into()),
        },
        PresetInput::Chosen(ChosenPreset { preset, .. }) => PresetMark {
            name: preset.name.clone(),
            version: preset.version,
            digest: patch.clone().into_settings().preset_digest(),
        },
    };
    patch.preset = Change::Set(mark);
    Ok(())
}

pub(crate) fn new_secret() -> SigningSecret {
    let mut key = [0u8; SIGNING_SECRET_BYTES];
    getrandom::fill(&mut key).expect("the operating system gives randomness");
    SigningSecret::from_key(&key)
}
