//! Adapters between services and the parts that implement their traits: delivery, sweeps, alerts, logs and
//! metrics, which know nothing of services.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::cluster::Notices;
use crate::delivery::scheduling::dispatcher::Dispatcher;
use crate::domain::alert::{AlertTarget, AlertTry};
use crate::domain::sweep::{SweepState, Swept};
use crate::domain::{AlertKind, AppId, AttemptId, EndpointId, Outcome, Timestamp};
use crate::http::metrics::Exposition;
use crate::http::state::Readiness;
use crate::metrics::Metrics;
use crate::service::alerts::Messenger;
use crate::service::log_level::LogControl;
use crate::service::operations::Sweep;
use crate::service::{self, By, Dispatch, ServiceError};
use crate::store::{Backend, LoadedAttempt, StoreError};
use crate::trace::logging;
use crate::upkeep::alerts::Alerts;
use crate::upkeep::clock_guard::ADVICE;
use crate::upkeep::retention::{SweepError, Sweeper};

/// Delivery, as the services see it.
pub(super) struct Delivering {
    pub(super) dispatcher: Dispatcher,
    /// To the other nodes, if there can be any.
    pub(super) notices: Option<Arc<Notices>>,
}

#[async_trait]
impl Dispatch for Delivering {
    fn in_flight(&self, app: AppId) -> u64 {
        self.dispatcher.meters().in_flight_of(app)
    }

    fn in_flight_of_all(&self) -> u64 {
        u64::try_from(self.dispatcher.meters().in_flight.get()).unwrap_or(0)
    }

    async fn sending_to(&self, endpoint: EndpointId) -> Vec<AttemptId> {
        let own = self.dispatcher.sending().list().into_iter();
        let mut ids: Vec<AttemptId> = own.filter(|(_, to)| *to == endpoint).map(|(id, _)| id).collect();
        if let Some(notices) = &self.notices {
            ids.extend(notices.sending_elsewhere(endpoint).await);
        }
        ids
    }

    async fn send_test(
        &self,
        test: LoadedAttempt,
        created_at: Timestamp,
    ) -> Result<Option<(AttemptId, Outcome)>, StoreError> {
        self.dispatcher.send_test(test, created_at).await
    }
}

/// Retention, as the services see it.
pub(super) struct Sweeping(pub(super) Sweeper);

#[async_trait]
impl Sweep for Sweeping {
    async fn sweep(&self, by: &By) -> service::Result<Swept> {
        match self.0.sweep(Some((&by.actor, by.address.as_deref()))).await {
            Ok(swept) => Ok(swept),
            Err(error @ SweepError::ClockJumped { .. }) => {
                Err(ServiceError::Conflict(format!("Nothing was deleted: {error}. {ADVICE}")))
            }
            Err(SweepError::Store(error)) => Err(error.into()),
        }
    }

    async fn state(&self) -> SweepState {
        self.0.state()
    }
}

/// Alerts, as the services see them.
pub(super) struct AlertSender(pub(super) Alerts);

#[async_trait]
impl Messenger for AlertSender {
    async fn test(&self, target: &AlertTarget, kind: AlertKind) -> Option<AlertTry> {
        self.0.test(target, kind).await
    }
}

/// Log lines, as the services see them.
pub(super) struct Logging;

impl LogControl for Logging {
    fn level(&self) -> Option<String> {
        logging::level()
    }

    fn set(&self, level: &str) -> Result<(), String> {
        logging::set_level(level)
    }
}

/// Metrics, as the HTTP surface sees them.
pub(super) struct MetricsText(pub(super) Metrics);

#[async_trait]
impl Exposition for MetricsText {
    async fn text(&self, openmetrics: bool) -> Result<String, String> {
        let text = if openmetrics { self.0.openmetrics().await } else { self.0.text().await };
        text.map_err(|error| error.to_string())
    }
}

/// How long storage may take to answer, for a server that is ready.
const PING_WITHIN: Duration = Duration::from_secs(2);

/// What `/readyz` asks.
pub(super) struct Ready {
    pub(super) store: Arc<dyn Backend>,
    pub(super) dispatcher: Dispatcher,
    /// Whether the server is about to stop.
    pub(super) is_leaving: Arc<AtomicBool>,
}

#[async_trait]
impl Readiness for Ready {
    async fn ready(&self) -> Result<(), String> {
        if self.is_leaving.load(Ordering::Acquire) {
            return Err("the server is stopping".to_owned());
        }
        // A database that is cut off may be silent for long, and a load balancer has other servers.
        let answer = tokio::time::timeout(PING_WITHIN, self.store.ping()).await;
        let answer = answer.map_err(|_| format!("storage: no answer within {PING_WITHIN:?}"))?;
        answer.map_err(|error| format!("storage: {error}"))?;
        if self.dispatcher.is_ready() {
            Ok(())
        } else {
            Err("the dispatcher has not read the queue yet".to_owned())
        }
    }
}
