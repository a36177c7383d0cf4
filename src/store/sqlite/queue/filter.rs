//! The delivery log's filters as conditions on a row, for code that walks the log in another order than a
//! list.
//!
//! Names in a filter (an endpoint, event types, the search text) are first looked up in their small
//! tables and go into the query as row numbers, so that the log itself is compared by numbers only.
//! Lists are not read this way, because a condition may leave few rows of many: see
//! [`crate::store::sqlite::log::plan`].

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::EventId;
use crate::domain::attempts::attempt::AttemptStatus;
use crate::domain::filter::ErrorText;
use crate::domain::values::fold::fold;
use crate::store::shared::class;
pub(crate) use crate::store::shared::selection::SearchHits;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, TypeRow};
use crate::store::sqlite::queue::endpoints;
use crate::store::{AttemptFilter, StatusFilter, TypeFilter, View};

/// A condition with its values. `None` in [`Wanted::of`] stands for "no row at all".
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wanted {
    condition: String,
    values: Vec<Value>,
}

impl Wanted {
    /// What a filter means in an app.
    pub(crate) fn of(
        conn: &Connection,
        app: AppRow,
        filter: &AttemptFilter,
    ) -> rusqlite::Result<Option<Wanted>> {
        // A text that is looked for in payloads and responses is no condition on a row.
        if filter.contains.is_some() {
            return Ok(None);
        }
        let mut wanted = Wanted::default();
        let found = match &filter.q {
            Some(q) => Some(search(conn, app, q)?),
            None => None,
        };
        let endpoint = match filter.endpoint {
            Some(id) => match endpoints::row_of(conn, app, id)? {
                Some(row) => Some(row),
                None => return Ok(None),
            },
            None => None,
        };
        // One of the two leads, and its index gives the order.
        match (endpoint, found.as_ref().and_then(only_endpoint)) {
            (Some(endpoint), _) | (None, Some(endpoint)) => {
                wanted.and("endpoint = ?", [Value::Integer(endpoint.0)]);
            }
            (None, None) => wanted.and("app = ?", [Value::Integer(app.0)]),
        }
        if let Some(found) = &found {
            if found.is_nothing() {
                return Ok(None);
            }
            let (condition, values) = found_condition(found);
            wanted.and(&condition, values);
        }
        if !wanted.add_ids(conn, app, filter)? {
            return Ok(None);
        }
        wanted.add_statuses(&filter.status);
        if let Some(names) = &filter.event_type {
            wanted.and(
                &format!("+type IN ({})", numbers(types(conn, app, names)?.iter().map(|row| row.0))),
                [],
            );
        }
        wanted.add_outcome(filter);
        if let Some(error) = &filter.error {
            wanted.add_error(error, filter.view);
        }
        if let Some(trigger) = filter.trigger {
            wanted.and("trigger = ?", [text(trigger.as_str())]);
        }
        if let Some(since) = filter.since {
            wanted.and("created_at >= ?", [Value::Integer(since.as_millis())]);
        }
        if let Some(until) = filter.until {
            wanted.and("created_at < ?", [Value::Integer(until.as_millis())]);
        }
        Ok(Some(wanted))
    }

    /// The condition and its values, for a query of another kind.
    pub(crate) fn condition(&self) -> (&str, &[Value]) {
        (&self.condition, &self.values)
    }

    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        if !self.condition.is_empty() {
            self.condition.push_str(" AND ");
        }
        self.condition.push_str(condition);
        self.values.extend(values);
    }

    /// What the filter's ids ask for; `false` when they name nothing.
    fn add_ids(&mut self, conn: &Connection, app: AppRow, filter: &AttemptFilter) -> rusqlite::Result<bool> {
        if let Some(id) = filter.event {
            let event = conn
                .prepare_cached(EVENT_ROW)?
                .query_row(params![id, app], |row| row.get::<_, i64>(0))
                .optional()?;
            let Some(event) = event else { return Ok(false) };
            self.and("+event = ?", [Value::Integer(event)]);
        }
        if let Some(resource) = &filter.resource {
            self.and(OF_RESOURCE, [text(resource)]);
        }
        if let Some(delivery) = filter.delivery {
            self.and("coalesce(first_id, id) = ?", [Value::Integer(delivery.0)]);
        }
        Ok(true)
    }

    /// What the filter asks of the outcome: in lists of deliveries, of a pending one's attempt before, which its class
    /// has.
    fn add_outcome(&mut self, filter: &AttemptFilter) {
        let of_deliveries = filter.view == View::Deliveries;
        if of_deliveries {
            self.and("status <> 'failed'", []);
        }
        let status = if of_deliveries { "(class & 1023)" } else { "response_status" };
        match filter.response_status {
            Some(StatusFilter::Exactly(wanted)) => self.and(&format!("{status} = ?"), [number(wanted)]),
            Some(StatusFilter::Class(class)) => {
                let (from, to) = (class.saturating_mul(100), class.saturating_mul(100).saturating_add(99));
                self.and(&format!("{status} BETWEEN ? AND ?"), [number(from), number(to)]);
            }
            None => {}
        }
        match filter.error_kind {
            Some(kind) if of_deliveries => {
                let condition = "(error_kind = ? OR (status = 'pending' AND error_kind IS NULL \
                                 AND last_outcome >> 14 = ?))";
                self.and(condition, [text(kind.as_str()), Value::Integer(class::last_error_number(kind))]);
            }
            Some(kind) => self.and("error_kind = ?", [text(kind.as_str())]),
            None => {}
        }
    }

    fn add_error(&mut self, error: &ErrorText, view: View) {
        let function = if error.with_addresses { "text_contains" } else { "shown_contains" };
        let message = match view {
            View::Attempts => "error_message",
            View::Deliveries => LAST_MESSAGE,
        };
        self.and(&format!("{function}({message}, ?)"), [text(&fold(&error.part))]);
    }

    /// Literals, because the partial index of exhausted rows is only used when the word stands there.
    fn add_statuses(&mut self, statuses: &[AttemptStatus]) {
        match statuses {
            [] => {}
            [one] => self.and(&format!("status = '{one}'"), []),
            several => {
                let words: Vec<_> = several.iter().map(|status| format!("'{status}'")).collect();
                self.and(&format!("status IN ({})", words.join(", ")), []);
            }
        }
    }

    /// Whether the row whose id is the first value is among them; the other values follow.
    pub(crate) fn holds_for(&self) -> (String, &[Value]) {
        (format!("SELECT 1 FROM attempts WHERE id = ? AND {}", self.condition), &self.values)
    }

    /// Finds ids and positions of results after one position and up to another, in this order. The index is
    /// named because others look better to SQLite and would make it sort.
    pub(crate) fn results(&self, app: AppRow, after: i64, upto: i64, limit: i64) -> (String, Vec<Value>) {
        let sql = format!(
            "SELECT id, result_seq FROM attempts INDEXED BY attempts_result \
             WHERE app = ? AND result_seq > ? AND result_seq <= ? AND ({}) ORDER BY result_seq LIMIT ?",
            self.condition
        );
        let mut values: Vec<Value> = [app.0, after, upto].map(Value::Integer).into();
        values.extend(self.values.iter().cloned());
        values.push(Value::Integer(limit));
        (sql, values)
    }
}

/// The message of an attempt, or of the one before a pending one.
const LAST_MESSAGE: &str = "CASE WHEN status <> 'pending' OR error_message IS NOT NULL OR first_id IS NULL \
     THEN error_message ELSE coalesce( \
     (SELECT b.error_message FROM attempts b WHERE b.first_id = attempts.first_id AND b.id < attempts.id \
     ORDER BY b.id DESC LIMIT 1), (SELECT b.error_message FROM attempts b WHERE b.id = attempts.first_id)) END";
/// The row of an event of an app.
pub(crate) const EVENT_ROW: &str = "SELECT id FROM events WHERE uid = ?1 AND app = ?2";
/// Whether the event of an attempt is about a resource.
const OF_RESOURCE: &str = "EXISTS (SELECT 1 FROM events v WHERE v.id = attempts.event AND v.resource_id = ?)";

/// The endpoint that a search text leads to, if it leads to nothing else.
fn only_endpoint(found: &SearchHits) -> Option<EndpointRow> {
    let SearchHits { endpoints, kinds, event: None, resource: None } = found else { return None };
    if kinds.is_empty() && endpoints.len() == 1 { endpoints.first().copied() } else { None }
}

/// What a search text asks of a row. The plus keeps SQLite from leading with one of these, which would lose the order.
fn found_condition(found: &SearchHits) -> (String, Vec<Value>) {
    let mut condition = format!(
        "(+endpoint IN ({}) OR +type IN ({})",
        numbers(found.endpoints.iter().map(|row| row.0)),
        numbers(found.kinds.iter().map(|row| row.0))
    );
    let mut values = Vec::new();
    if let Some(event) = found.event {
        condition.push_str(" OR +event = ?");
        values.push(Value::Integer(event.0));
    }
    if let Some(resource) = &found.resource {
        condition.push_str(" OR ");
        condition.push_str(OF_RESOURCE);
        values.push(text(resource));
    }
    condition.push(')');
    (condition, values)
}

/// What a search text leads to in an app.
pub(crate) fn search(conn: &Connection, app: AppRow, q: &str) -> rusqlite::Result<SearchHits> {
    let (event, resource) = search_ids(conn, app, q)?;
    let sql =
        "SELECT id FROM endpoints WHERE app = ?1 AND (text_contains(name, ?2) OR text_contains(url, ?2))";
    let endpoints = conn
        .prepare_cached(sql)?
        .query_map(params![app, fold(q)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let kinds = search_types(conn, app, q)?;
    Ok(SearchHits { endpoints, kinds, event, resource })
}

/// The event types whose names contain a text.
pub(crate) fn search_types(conn: &Connection, app: AppRow, q: &str) -> rusqlite::Result<Vec<TypeRow>> {
    conn.prepare_cached("SELECT id FROM event_types WHERE app = ?1 AND text_contains(name, ?2)")?
        .query_map(params![app, fold(q)], |row| row.get(0))?
        .collect()
}

/// The event with this id, and the text if it is the resource id of an event.
pub(crate) fn search_ids(
    conn: &Connection,
    app: AppRow,
    q: &str,
) -> rusqlite::Result<(Option<EventRow>, Option<String>)> {
    let event = match q.parse::<EventId>() {
        Ok(id) => conn.prepare_cached(EVENT_ROW)?.query_row(params![id, app], |row| row.get(0)).optional()?,
        Err(_) => None,
    };
    let is_resource = conn
        .prepare_cached("SELECT 1 FROM events WHERE app = ?1 AND resource_id = ?2 LIMIT 1")?
        .exists(params![app, q])?;
    Ok((event, is_resource.then(|| q.to_owned())))
}

/// The rows of the types that a filter means.
pub(crate) fn types(conn: &Connection, app: AppRow, filter: &TypeFilter) -> rusqlite::Result<Vec<TypeRow>> {
    match filter {
        TypeFilter::Exactly(name) => {
            let found = conn
                .prepare_cached("SELECT id FROM event_types WHERE app = ?1 AND name = ?2")?
                .query_row(params![app, name], |row| row.get(0))
                .optional()?;
            Ok(found.into_iter().collect())
        }
        // '/' follows '.' in ASCII, so this is all that begins with the stem and a dot.
        TypeFilter::Below(stem) => conn
            .prepare_cached("SELECT id FROM event_types WHERE app = ?1 AND name > ?2 AND name < ?3")?
            .query_map(params![app, format!("{stem}."), format!("{stem}/")], |row| row.get(0))?
            .collect(),
    }
}

/// Row numbers as a list in SQL. They come from the database, so there is nothing to quote.
pub(crate) fn numbers(rows: impl Iterator<Item = i64>) -> String {
    rows.map(|row| row.to_string()).collect::<Vec<_>>().join(", ")
}

fn number(n: u16) -> Value {
    Value::Integer(i64::from(n))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
