//! The demo's history: a week of deliveries, so that the dashboard has data from the start.
//!
//! Events are inserted, and due attempts loaded and finished, by the same storage methods as in a running
//! server, but with earlier times. So statistics, counters, the disabled webhook and its activity are
//! consistent. Requests are signed but not sent. The history is written before the server starts, which
//! would send due attempts.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::DemoError;
use super::sample::{Dice, RECENT_CUSTOMERS_MS, SampleEvent, SampleWebhook, customer_created, daily_event};
use crate::config::Config;
use crate::delivery::sending::failure;
use crate::delivery::sending::failure::Stage;
use crate::delivery::sending::headers;
use crate::delivery::sending::headers::SigningHeaders;
use crate::delivery::sending::recipients::Recipient;
use crate::domain::attempts::attempt::{Outcome, Request, Response};
use crate::domain::attempts::hold::DisableRules;
use crate::domain::attempts::transition::Rules;
use crate::domain::endpoint::EndpointSettings;
use crate::domain::{
    ActivityKind, AppId, AttemptId, Endpoint, EndpointId, Epoch, EventPattern, EventType, SigningSecret,
    Timestamp,
};
use crate::host::vault::Vault;
use crate::service::By;
use crate::store::{FinishRules, Finished, LoadedAttempt, NewEvent, Queued, SentAs, Store, Taken};

/// Length of the history in days.
const DAYS: i64 = 7;
const HOUR_MS: i64 = 3_600_000;
/// On the last day each event has a time of its own.
const DETAILED_MS: i64 = 24 * HOUR_MS;
/// Attempts due within this time are finished in one batch.
const BATCH_MS: i64 = 3 * 60_000;

/// The webhooks of the history, with their secrets.
pub(super) type Webhooks = Vec<(SampleWebhook, EndpointId, SigningSecret)>;

/// Writes the history up to `now`. `port` is the receiver's; the same `seed` and `now` give the same history.
pub(super) async fn write(
    store: Arc<dyn Store>,
    vault: &Vault,
    config: &Config,
    (app, port): (AppId, u16),
    now: Timestamp,
    seed: u64,
) -> Result<Webhooks, DemoError> {
    let begin = now.plus_ms(-DAYS * 24 * HOUR_MS).hour();
    let signing = SigningHeaders::new(&config.signing.headers).map_err(DemoError::History)?;
    let mut writer = HistoryWriter {
        store,
        vault,
        config,
        signing,
        app,
        now,
        dice: Dice::new(seed),
        parts: HashMap::new(),
        due: BinaryHeap::new(),
    };
    let webhooks = writer.webhooks(begin, port).await?;
    let mut at = begin;
    while at < now {
        let next = at.plus_ms(HOUR_MS);
        writer.hour(at, next.min(now)).await?;
        at = next;
    }
    writer.send_until(now).await?;
    Ok(webhooks)
}

struct HistoryWriter<'a> {
    store: Arc<dyn Store>,
    vault: &'a Vault,
    config: &'a Config,
    signing: SigningHeaders,
    app: AppId,
    now: Timestamp,
    dice: Dice,
    parts: HashMap<EndpointId, SampleWebhook>,
    due: BinaryHeap<Reverse<(Timestamp, AttemptId)>>,
}

impl HistoryWriter<'_> {
    async fn webhooks(&mut self, at: Timestamp, port: u16) -> Result<Webhooks, DemoError> {
        let mut created = Vec::new();
        for part in SampleWebhook::ALL {
            let id = EndpointId::new(at);
            let mut key = [0u8; 32];
            key.fill_with(|| self.dice.between(0, 256) as u8);
            let secret = SigningSecret::from_key(&key);
            let patterns = part.patterns().iter().map(|text| EventPattern::parse(text));
            let settings = EndpointSettings {
                url: format!("http://{}:{port}{}", part.host(), part.path()),
                name: part.name().to_owned(),
                events: patterns.collect::<Result<_, _>>().map_err(DemoError::History)?,
                ..EndpointSettings::default()
            };
            let sealed = self.vault.seal_signing_secret(id, &secret);
            let endpoint = Endpoint::new(id, self.app, settings, sealed, at);
            let summary = format!("Webhook {:?}: created.", part.name());
            let details = serde_json::json!({ "endpoint_id": id.to_string() });
            let by = By::command_line();
            let activity = by.activity(ActivityKind::EndpointCreated, Some(self.app), summary, details, at);
            self.store.endpoint_insert(endpoint, u32::MAX, activity).await?;
            self.parts.insert(id, part);
            created.push((part, id, secret));
        }
        Ok(created)
    }

    /// Posts the events from `from` to `to`, at most an hour.
    async fn hour(&mut self, from: Timestamp, to: Timestamp) -> Result<(), DemoError> {
        let share = (to.as_millis() - from.as_millis()) as f64 / HOUR_MS as f64;
        let count = (f64::from(self.events_in_hour(from)) * share).round() as usize;
        if self.now.as_millis() - from.as_millis() > DETAILED_MS {
            let events = (0..count).map(|_| self.event()).collect::<Result<Vec<_>, _>>()?;
            return if events.is_empty() { Ok(()) } else { self.post(events, from).await };
        }
        let span = (to.as_millis() - from.as_millis()) as u32;
        let mut moments = Vec::new();
        for _ in 0..count {
            let after = i64::from(self.dice.between(0, span));
            moments.push((from.plus_ms(after), self.event()?));
        }
        // So that the failing webhook has recent failures at any time of day.
        for ago_ms in RECENT_CUSTOMERS_MS {
            let at = self.now.plus_ms(-ago_ms);
            if from <= at && at < to {
                moments.push((at, event(customer_created(&mut self.dice))?));
            }
        }
        moments.sort_by_key(|(at, _)| *at);
        for (at, event) in moments {
            self.post(vec![event], at).await?;
        }
        Ok(())
    }

    /// The number of events in an hour: more by day than by night.
    fn events_in_hour(&mut self, at: Timestamp) -> u32 {
        let hour = at.as_millis() / HOUR_MS % 24;
        let by_day = (8 - (hour - 14).abs()).max(0) as u32;
        1 + by_day + self.dice.between(0, 3)
    }

    fn event(&mut self) -> Result<NewEvent, DemoError> {
        event(daily_event(&mut self.dice))
    }

    async fn post(&mut self, events: Vec<NewEvent>, at: Timestamp) -> Result<(), DemoError> {
        self.send_until(at).await?;
        if let Taken::All(accepted) = self.store.event_insert(self.app, events, at).await? {
            self.queue(accepted.into_iter().flat_map(|one| one.queued));
        }
        Ok(())
    }

    fn queue(&mut self, queued: impl IntoIterator<Item = Queued>) {
        self.due.extend(queued.into_iter().map(|one| Reverse((one.due_at, one.attempt_id))));
    }

    /// Finishes all attempts due before `until`, in order of time.
    async fn send_until(&mut self, until: Timestamp) -> Result<(), DemoError> {
        while let Some(&Reverse((first, _))) = self.due.peek() {
            if first >= until {
                break;
            }
            let last = first.plus_ms(BATCH_MS).min(until);
            let mut batch = HashMap::new();
            while let Some(&Reverse((due, id))) = self.due.peek().filter(|next| next.0.0 < last) {
                self.due.pop();
                batch.insert(id, due);
            }
            self.send(batch).await?;
        }
        Ok(())
    }

    async fn send(&mut self, batch: HashMap<AttemptId, Timestamp>) -> Result<(), DemoError> {
        let mut jobs = self.store.queue_load(batch.keys().copied().collect()).await?;
        jobs.sort_by_key(|job| (batch[&job.id], job.id));
        let mut results = Vec::new();
        for job in jobs {
            let wait_ms = self.dice.between(2, 40);
            let outcome = self.outcome(&job, batch[&job.id].plus_ms(i64::from(wait_ms)))?;
            let rules = FinishRules {
                rules: Rules {
                    circuit_failures: 0,
                    disable: DisableRules {
                        failures: self.config.delivery.disable_after_failures,
                        after_ms: 0,
                    },
                    hold_at_most_ms: 0,
                    jitter: self.config.delivery.jitter,
                    unit: self.dice.unit(),
                },
                default_schedule: Arc::new(self.config.delivery.retry_schedule.clone()),
            };
            results.push((job.id, outcome, rules));
        }
        let store = self.store.clone();
        let finishing = results.into_iter().map(|(id, outcome, rules)| {
            store.attempt_finish(id, outcome.into(), rules, SentAs::in_epoch(Epoch::FIRST))
        });
        for finished in try_join_all(finishing).await? {
            if let Finished::Done { queued, disabled, .. } = finished {
                self.queue(queued);
                // Pending attempts of a disabled webhook are cancelled, as in the server.
                while disabled && self.store.queue_cancel(1_000).await? > 0 {}
            }
        }
        Ok(())
    }

    /// The outcome of a request sent at `at`.
    fn outcome(&mut self, job: &LoadedAttempt, at: Timestamp) -> Result<Outcome, DemoError> {
        let part = self.parts.get(&job.endpoint.id).copied().unwrap_or(SampleWebhook::Shop);
        let ago_ms = self.now.as_millis() - at.as_millis();
        let reply = part.respond(ago_ms, job.attempt, &mut self.dice);
        let recipient = Recipient::new(&job.endpoint, at, self.vault, self.signing.names())
            .map_err(|error| DemoError::History(error.to_string()))?;
        let sent = self.signing.for_request(job, &recipient, at, &job.payload);
        let response = reply.status.map(|status| Response {
            status,
            headers: [
                ("content-type", "application/json"),
                ("content-length", &reply.body.len().to_string()),
            ]
            .into_iter()
            .collect(),
            body: reply.body.as_bytes().to_vec(),
            body_truncated: false,
        });
        let failure = match reply.status.map(reqwest::StatusCode::from_u16) {
            Some(Ok(status)) => failure::of_status(status),
            _ => Some(failure::of_deadline(Stage::Sending, &self.config.delivery.timeout)),
        };
        Ok(Outcome {
            attempted_at: Some(at),
            finished_at: at.plus_ms(i64::from(reply.took_ms)),
            response_time_ms: Some(reply.took_ms),
            request: Some(Request {
                method: None,
                url: recipient.destination.url.as_str().to_owned(),
                headers: headers::recorded(&sent, &recipient.destination.authority, Some(job.payload.len())),
                body: None,
            }),
            response,
            failure,
            not_before: None,
            route: None,
            is_final: false,
        })
    }
}

fn event((event_type, resource, payload): SampleEvent) -> Result<NewEvent, DemoError> {
    let event_type = EventType::parse(event_type).map_err(DemoError::History)?;
    Ok(NewEvent { event_type, payload: payload.into(), resource_id: Some(resource), idempotency_key: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempts::attempt::Attempt;
    use crate::domain::{AttemptStatus, EndpointStatus};
    use crate::store::location::{Location, Purpose};
    use crate::store::{AttemptFilter, Backend, PageRequest, Sort, Start};

    const NOW: i64 = 1_795_219_200_000 + 13 * HOUR_MS + 1_234_567;

    struct Written {
        store: Arc<dyn Backend>,
        app: AppId,
        webhooks: Webhooks,
        _dir: tempfile::TempDir,
    }

    async fn written(seed: u64) -> Written {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(NOW);
        let store = Location::File(dir.path().join("postrider.db")).open(Purpose::Command, now).unwrap();
        let app = store.app_find("default").await.unwrap().unwrap().id;
        let (vault, config) = (Vault::new(b"key"), Config::default());
        let webhooks = write(store.clone(), &vault, &config, (app, 4000), now, seed).await.unwrap();
        Written { store, app, webhooks, _dir: dir }
    }

    impl Written {
        async fn rows(&self) -> Vec<Attempt> {
            let (mut rows, mut start) = (Vec::new(), Start::Page(1));
            loop {
                let request = PageRequest { start, per_page: 200 };
                let filter = AttemptFilter::default();
                let page = self.store.attempt_list(self.app, filter, Sort::default(), request).await.unwrap();
                rows.extend(page.rows);
                match page.next {
                    Some(next) => start = Start::After(next),
                    None => return rows,
                }
            }
        }

        fn id(&self, part: SampleWebhook) -> EndpointId {
            self.webhooks.iter().find(|(p, ..)| *p == part).unwrap().1
        }
    }

    #[tokio::test]
    async fn statistics_of_the_history_match_its_log() {
        let past = written(1).await;
        let rows = past.rows().await;
        let with = |status| rows.iter().filter(|row| row.status == status).count() as u64;
        let totals = past.store.stats_totals(past.app, None).await.unwrap();
        let [delivered, exhausted, pending, cancelled, failed] = [
            AttemptStatus::Delivered,
            AttemptStatus::Exhausted,
            AttemptStatus::Pending,
            AttemptStatus::Cancelled,
            AttemptStatus::Failed,
        ]
        .map(with);
        assert_eq!(
            (totals.delivered, totals.exhausted, totals.pending, totals.cancelled, totals.failed_attempts),
            (delivered, exhausted, pending, cancelled, failed + exhausted)
        );
        assert_eq!(totals.deliveries, rows.iter().filter(|row| row.attempt == 1).count() as u64);
        assert!(delivered > 800 && exhausted > 5 && failed > 30 && cancelled > 0, "{totals:?}");

        let (since, until) = (Timestamp::from_millis(NOW - 8 * 24 * HOUR_MS).hour(), NOW + 2 * HOUR_MS);
        let until = Timestamp::from_millis(until).hour();
        let hours = past.store.stats_points(past.app, None, since, until, HOUR_MS).await.unwrap();
        assert!(hours.len() > 160, "every hour of the week has deliveries: {}", hours.len());
        for point in &hours {
            let within = |at: Option<Timestamp>| {
                at.is_some_and(|at| (point.start_ms..point.start_ms + HOUR_MS).contains(&at.as_millis()))
            };
            let sent = |status| {
                rows.iter().filter(|row| row.status == status && within(row.attempted_at)).count() as u64
            };
            assert_eq!(point.delivered, sent(AttemptStatus::Delivered), "{point:?}");
            assert_eq!(point.exhausted, sent(AttemptStatus::Exhausted), "{point:?}");
            assert_eq!(point.failed_attempts, sent(AttemptStatus::Failed) + point.exhausted, "{point:?}");
        }
    }

    #[tokio::test]
    async fn one_webhook_is_disabled_one_is_failing_and_the_others_are_healthy() {
        let past = written(2).await;
        let now = Timestamp::from_millis(NOW);
        let mut found = HashMap::new();
        for part in SampleWebhook::ALL {
            let endpoint = past.store.endpoint_get(past.app, past.id(part)).await.unwrap().unwrap();
            let health = past.store.stats_health(past.app, past.id(part), 5, now).await.unwrap().unwrap();
            found.insert(part.name(), (endpoint, health));
        }
        let (erp, _) = &found["Legacy ERP"];
        assert_eq!(erp.status, EndpointStatus::Disabled);
        assert!(erp.status_reason.as_deref().unwrap().contains("20"), "{:?}", erp.status_reason);
        let (crm, health) = &found["CRM sync"];
        assert!(crm.status == EndpointStatus::Active && crm.consecutive_failures > 0, "{crm:?}");
        assert!(health.last_24h.failed_attempts > 3 && health.errors[0].response_status == Some(500));
        for name in ["Storefront", "Billing", "Data warehouse"] {
            let (endpoint, health) = &found[name];
            assert_eq!(
                (endpoint.status, endpoint.consecutive_failures),
                (EndpointStatus::Active, 0),
                "{name}"
            );
            assert!(health.figures.totals.delivered > 50, "{name}: {:?}", health.figures);
        }
        let rows = past.rows().await;
        assert!(rows.iter().all(|row| row.created_at <= now), "no row is in the future");
        assert!(rows.windows(2).all(|pair| pair[0].id > pair[1].id), "in order");
        let activity = past.store.activity_recent(50).await.unwrap();
        let disabled = activity.iter().find(|a| a.kind == ActivityKind::EndpointDisabled).unwrap();
        assert!(disabled.created_at < now.plus_ms(-40 * HOUR_MS), "at its time in the history: {disabled:?}");
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_history() {
        let story = async |seed| {
            let rows = written(seed).await.rows().await;
            rows.into_iter()
                .map(|row| {
                    (row.endpoint_name, row.event_type, row.status, row.attempted_at, row.response_time_ms)
                })
                .collect::<Vec<_>>()
        };
        let first = story(3).await;
        assert!(first == story(3).await, "nothing but the seed and the time decides");
        assert!(first != story(4).await, "another seed is another week");
    }
}
