//! `/v1/activity` and `/v1/retention`: the server as a whole.

use poem::Request;
use poem_openapi::payload::Json as Answer;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;

use crate::domain::ActivityKind;
use crate::http::problem::Problem;
use crate::http::request::auth::Admin;
use crate::http::request::paging;
use crate::http::request::paging::Paging;
use crate::http::request::query::{Param, Query, Shape};
use crate::service::operations::{ActivityEntry, ActivityFilter};

use super::Tag;
use super::params::{SINCE, UNTIL};
use super::shapes::{List, One, list, one};

/// Parameters of the activity log.
pub(super) fn activity_params() -> Vec<Param> {
    let kind = Param {
        name: "kind",
        shape: Shape::OneOf(ActivityKind::WORDS),
        description: "Entries of this kind, such as `endpoint.disabled`, `key.created` or `retention.swept`.",
        example: "endpoint.disabled",
    };
    paging::PARAMS.into_iter().chain([kind, SINCE, UNTIL]).collect()
}

/// An entry of the activity log.
#[derive(Object)]
#[oai(rename = "Activity")]
pub(super) struct ActivityResource {
    /// `activity`
    #[oai(rename = "type")]
    kind: String,
    /// The entry's number, as text.
    id: String,
    attributes: ActivityAttributes,
}

/// Attributes of an entry.
#[derive(Object)]
struct ActivityAttributes {
    /// What was done: `endpoint.created`, `key.revoked`, `server.started`, …
    kind: String,
    /// Who did it: `system`, `cli`, `key:<id>` or `user:<e-mail>`.
    actor: String,
    /// The client's address, when there was one.
    address: Option<String>,
    /// A sentence for people.
    summary: String,
    /// The same for programs.
    details: Any<Value>,
    /// UUID of the app it is about; null for the whole server.
    app_id: Option<String>,
    /// RFC 3339, UTC.
    created_at: String,
}

impl ActivityResource {
    fn of(entry: &ActivityEntry) -> ActivityResource {
        let activity = &entry.activity;
        ActivityResource {
            kind: "activity".to_owned(),
            id: entry.id.to_string(),
            attributes: ActivityAttributes {
                kind: activity.kind.as_str().to_owned(),
                actor: activity.actor.clone(),
                address: activity.address.clone(),
                summary: activity.summary.clone(),
                details: Any(activity.details.clone()),
                app_id: activity.app_id.map(|id| id.to_string()),
                created_at: activity.created_at.to_string(),
            },
        }
    }
}

/// What a sweep removed.
#[derive(Object)]
#[oai(rename = "RetentionSweep")]
pub(super) struct SweepResource {
    /// `retention_sweep`
    #[oai(rename = "type")]
    kind: String,
    attributes: SweepAttributes,
}

/// Attributes of a sweep.
#[derive(Object)]
#[oai(rename = "RetentionSweepAttributes")]
struct SweepAttributes {
    /// Rows of the delivery log that were removed.
    attempts: u64,
    /// Events that were removed.
    events: u64,
    /// `true` where both are estimates: with PostgreSQL, a day whose rows have all expired is dropped as a whole.
    #[oai(skip_serializing_if_is_none)]
    estimated: Option<bool>,
}

/// The operations.
pub struct OperationsApi;

#[OpenApi(tag = "Tag::Operations")]
impl OperationsApi {
    /// List the activity log
    ///
    /// What the system, keys and people did, newest first: kept for a year, never changed. It is of the
    /// whole server: entries of all apps are in it, whatever `X-App-Id` says.
    #[oai(path = "/activity", method = "get", operation_id = "list_activity")]
    async fn activity(
        &self,
        auth: Admin,
        request: &Request,
    ) -> Result<Answer<List<ActivityResource>>, Problem> {
        let mut query = Query::of(request, &activity_params());
        let filter = ActivityFilter {
            kind: query.get(
                "kind",
                &format!("one of {}", ActivityKind::WORDS.join(", ")),
                ActivityKind::parse,
            ),
            since: query.time("since"),
            until: query.time("until"),
        };
        let read =
            Paging::read::<i64>(&mut query, &auth.state.cursors, auth.state.path("/v1/activity"), "activity");
        let (paging, page) = paging::settle(query, read)?;
        let found = auth.state.services.operations.activity(filter, page).await?;
        Ok(list(&paging, &found, ActivityResource::of))
    }

    /// Sweep now
    ///
    /// Removes what is older than `retention.logs` and `retention.events`, as happens each hour by itself:
    /// attempts with their details, each delivery as a whole, and events; nothing that is pending. 409
    /// while the server's clock is more than a day ahead of what it has seen last.
    #[oai(path = "/retention/sweep", method = "post", operation_id = "sweep_retention")]
    async fn sweep(&self, auth: Admin) -> Result<Answer<One<SweepResource>>, Problem> {
        let swept = auth.state.services.operations.sweep(&auth.caller.by).await?;
        Ok(one(SweepResource {
            kind: "retention_sweep".to_owned(),
            attributes: SweepAttributes {
                attempts: swept.attempts,
                events: swept.events,
                estimated: swept.is_estimated.then_some(true),
            },
        }))
    }
}
