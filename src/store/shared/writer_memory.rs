//! What the writer of either backend remembers between commands, so that accepting an event need not read it again: the
//! rows of apps and event types, and which endpoints subscribe to what.
//!
//! Never authoritative: each backend clears it whenever it could be wrong.
//!
//! It also collects what a commit means for [`Fresh`]: accepted events, finished attempts, changed endpoints.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{AppId, AttemptId, EventType};
use crate::store::Accepted;
use crate::store::shared::fan_outs::FanOuts;
use crate::store::shared::fresh::{Fresh, FreshEvent};
use crate::store::shared::row_numbers::{AppRow, TypeRow};
use crate::store::shared::subscription::Subscriptions;

/// Types of one app that are remembered. Who makes up a new type for every event pays for it.
const TYPES: usize = 1_000;

/// The writer's memory.
#[derive(Debug)]
pub(crate) struct WriterMemory {
    /// Who waits for events that are written in steps.
    fan_outs: Arc<FanOuts>,
    /// Whether the transaction opened a fan-out.
    has_fan_out: bool,
    /// What follows from endpoints for others; see [`WriterMemory::after_commit`].
    fresh: Arc<Fresh>,
    /// Whether something was forgotten since then.
    is_stale: bool,
    /// What the open transaction has accepted.
    accepted: Vec<FreshEvent>,
    pub(crate) apps: HashMap<AppId, AppRow>,
    pub(crate) subscriptions: HashMap<AppRow, Arc<Subscriptions>>,
    types: HashMap<AppRow, HashMap<EventType, TypeRow>>,
}

impl WriterMemory {
    /// Knows nothing yet.
    pub(crate) fn new(fresh: Arc<Fresh>, fan_outs: Arc<FanOuts>) -> WriterMemory {
        let (accepted, apps, subscriptions, types) = Default::default();
        WriterMemory {
            fan_outs,
            has_fan_out: false,
            fresh,
            is_stale: false,
            accepted,
            apps,
            subscriptions,
            types,
        }
    }

    /// To be called when a group is committed, before anyone hears of it: tells of what was forgotten, or of
    /// what was taken in. Not sooner, or what is read before the commit would seem to be of the time after.
    pub(crate) fn after_commit(&mut self) {
        if std::mem::take(&mut self.has_fan_out) {
            self.fan_outs.wake();
        }
        if std::mem::take(&mut self.is_stale) {
            self.accepted.clear();
            self.fresh.renew();
        } else if !self.accepted.is_empty() {
            self.fresh.keep(self.accepted.drain(..));
        }
    }

    /// Notes an event with its first attempts, which need not be read back when they are on disk.
    pub(crate) fn accepted(&mut self, accepted: &Accepted, payload: &Bytes) {
        self.accepted.push(FreshEvent::of(accepted, payload));
    }

    /// The transaction has opened a fan-out.
    pub(crate) fn fan_out_opened(&mut self) {
        self.has_fan_out = true;
    }

    /// Open fan-outs.
    pub(crate) fn fan_outs(&self) -> &FanOuts {
        &self.fan_outs
    }

    /// An attempt gets its result.
    pub(crate) fn ended(&self, id: AttemptId) {
        self.fresh.forget(id);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.is_stale = true;
        self.accepted.clear();
        self.apps.clear();
        self.types.clear();
        self.subscriptions.clear();
    }

    /// Forgets endpoints.
    pub(crate) fn endpoints_changed(&mut self) {
        self.is_stale = true;
        self.subscriptions.clear();
    }

    /// The row of an event type, if it is remembered.
    pub(crate) fn type_row(&self, app: AppRow, event_type: &EventType) -> Option<TypeRow> {
        self.types.get(&app)?.get(event_type).copied()
    }

    /// Remembers the row of an event type.
    pub(crate) fn keep_type(&mut self, app: AppRow, event_type: &EventType, row: TypeRow) {
        let known = self.types.entry(app).or_default();
        if known.len() >= TYPES {
            known.clear();
        }
        known.insert(event_type.clone(), row);
    }
}
