//! The delivery log's filters as rules about rows, for code that walks the log in another order than a list.
//!
//! Names in a filter (an endpoint, event types, the search text) are first looked up in their small tables. Rows are
//! then compared in the program, nearly always by numbers alone: [`Wanted::among`]. Messages and resources are read
//! only for rows about which nothing else says no.

use std::collections::{HashMap, HashSet};

use crate::domain::filter::ErrorText;
use crate::domain::network::without_address;
use crate::domain::values::fold::fold;
use crate::domain::{AttemptId, EventId, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EndpointRow, EventRow, TypeRow};
use crate::store::postgres::queue::attempts::StoredAttempt;
use crate::store::postgres::queue::endpoints;
use crate::store::shared::class::Class;
pub(crate) use crate::store::shared::selection::SearchHits;
use crate::store::shared::selection::{Kinds, Selection};
use crate::store::{AttemptFilter, TypeFilter, View};

/// What filters ask of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilterRow {
    pub(crate) id: AttemptId,
    pub(crate) delivery: AttemptId,
    pub(crate) endpoint: EndpointRow,
    pub(crate) event: EventRow,
    pub(crate) class: Class,
    pub(crate) created_at: i64,
    pub(crate) attempted_at: Option<i64>,
    pub(crate) response_time_ms: Option<i64>,
}

impl FilterRow {
    /// Of an attempt as it is kept.
    pub(crate) fn of(kept: &StoredAttempt) -> FilterRow {
        let row = &kept.row;
        FilterRow {
            id: row.id,
            delivery: row.delivery(),
            endpoint: row.endpoint,
            event: row.event,
            class: kept.class,
            created_at: row.created_at.as_millis(),
            attempted_at: row.attempted_at.map(Timestamp::as_millis),
            response_time_ms: row.response_time_ms.map(i64::from),
        }
    }
}

/// What a filter means in an app. `None` in [`Wanted::of`] stands for "no row at all".
#[derive(Debug)]
pub(crate) struct Wanted {
    selection: Selection,
    view: View,
    kinds: Kinds,
    endpoint: Option<EndpointRow>,
    found: Option<SearchHits>,
    event: Option<EventRow>,
    resource: Option<String>,
    delivery: Option<AttemptId>,
    error: Option<ErrorText>,
    since: Option<i64>,
    until: Option<i64>,
}

/// What a row's numbers say.
#[derive(PartialEq, Eq)]
enum Answer {
    No,
    Yes,
    /// Only if the event is about the resource that the search text names.
    IfFound,
}

impl Wanted {
    /// What a filter means in an app.
    pub(crate) async fn of(conn: &Conn, app: AppRow, filter: &AttemptFilter) -> DbResult<Option<Wanted>> {
        // A text that is looked for in payloads and responses is no rule about a row.
        let resource = filter.resource.clone();
        if filter.contains.is_some() || resource.as_ref().is_some_and(|id| id.contains('\0')) {
            return Ok(None);
        }
        let found = match &filter.q {
            Some(q) => Some(search(conn, app, q).await?),
            None => None,
        };
        if found.as_ref().is_some_and(SearchHits::is_nothing) {
            return Ok(None);
        }
        let endpoint = match filter.endpoint {
            Some(id) => endpoints::row_of(conn, app, id).await?,
            None => None,
        };
        let event = match filter.event {
            Some(id) => event_row(conn, app, id).await?,
            None => None,
        };
        // What names nothing means nothing.
        if endpoint.is_some() != filter.endpoint.is_some() || event.is_some() != filter.event.is_some() {
            return Ok(None);
        }
        let kinds = match &filter.event_type {
            Some(wanted) => Kinds::only(types(conn, app, wanted).await?),
            None => Kinds::Any,
        };
        Ok(Some(Wanted {
            selection: Selection::of(filter),
            view: filter.view,
            kinds,
            endpoint,
            found,
            event,
            resource,
            delivery: filter.delivery,
            error: filter.error.clone(),
            since: filter.since.map(Timestamp::as_millis),
            until: filter.until.map(Timestamp::as_millis),
        }))
    }

    /// Whether rows of this class may be among them.
    pub(crate) fn admits(&self, class: Class) -> bool {
        self.selection.admits(class) && self.kinds.admits(class.kind())
    }

    fn answer(&self, row: &FilterRow) -> Answer {
        let is_wanted = self.admits(row.class)
            && self.endpoint.is_none_or(|endpoint| endpoint == row.endpoint)
            && self.event.is_none_or(|event| event == row.event)
            && self.delivery.is_none_or(|delivery| delivery == row.delivery)
            && self.since.is_none_or(|since| row.created_at >= since)
            && self.until.is_none_or(|until| row.created_at < until);
        match &self.found {
            _ if !is_wanted => Answer::No,
            None => Answer::Yes,
            Some(found) if found.names(row.endpoint, row.class.kind()) => Answer::Yes,
            Some(found) if found.event == Some(row.event) => Answer::Yes,
            Some(found) if found.resource.is_some() => Answer::IfFound,
            Some(_) => Answer::No,
        }
    }

    /// Those of these rows that the filter means, in the same order.
    pub(crate) async fn among(&self, conn: &Conn, rows: Vec<FilterRow>) -> DbResult<Vec<FilterRow>> {
        let mut rows: Vec<(FilterRow, Answer)> = rows
            .into_iter()
            .map(|row| (row, self.answer(&row)))
            .filter(|(_, answer)| *answer != Answer::No)
            .collect();
        if rows.iter().any(|(_, answer)| *answer == Answer::IfFound)
            && let Some(resource) = self.found.as_ref().and_then(|found| found.resource.as_deref())
        {
            let about = about(conn, &rows, resource).await?;
            rows.retain(|(row, answer)| *answer == Answer::Yes || about.contains(&row.event));
        }
        if let Some(resource) = &self.resource {
            let about = about(conn, &rows, resource).await?;
            rows.retain(|(row, _)| about.contains(&row.event));
        }
        if let Some(error) = &self.error {
            let part = fold(&error.part);
            let messages = messages(conn, &rows, self.view == View::Deliveries).await?;
            rows.retain(|(row, _)| messages.get(&row.id).is_some_and(|text| says(text, &part, error)));
        }
        Ok(rows.into_iter().map(|(row, _)| row).collect())
    }
}

/// Whether a message contains a folded text, as the caller sees it.
fn says(message: &str, part: &str, error: &ErrorText) -> bool {
    if error.with_addresses {
        return fold(message).contains(part);
    }
    fold(without_address(message).as_deref().unwrap_or(message)).contains(part)
}

/// The events of these rows that are about a resource.
async fn about(conn: &Conn, rows: &[(FilterRow, Answer)], resource: &str) -> DbResult<HashSet<EventRow>> {
    let events: Vec<EventRow> = rows.iter().map(|(row, _)| row.event).collect();
    let sql = "SELECT id FROM events WHERE id = ANY($1) AND resource_id = $2";
    conn.rows(sql, &[&events, &resource]).await?.iter().map(|row| row.col("id")).collect()
}

/// The messages of attempts; with `$2` that of the attempt before, where a pending one has none of its own.
pub(crate) const MESSAGES: &str = "SELECT l.id, l.error_message AS message FROM log l \
     WHERE l.id = ANY($1) AND l.error_message IS NOT NULL UNION ALL \
     SELECT q.id, CASE WHEN q.error_message IS NOT NULL OR NOT $2::boolean THEN q.error_message ELSE \
     (SELECT b.error_message FROM log b WHERE b.id = coalesce((SELECT n.id FROM log n \
         WHERE n.first_id = q.first_id AND n.id < q.id ORDER BY n.id DESC LIMIT 1), q.first_id)) END AS message \
     FROM queue q WHERE q.id = ANY($1)";

async fn messages(
    conn: &Conn,
    rows: &[(FilterRow, Answer)],
    of_deliveries: bool,
) -> DbResult<HashMap<AttemptId, String>> {
    let ids: Vec<AttemptId> = rows.iter().map(|(row, _)| row.id).collect();
    let mut found = HashMap::new();
    for row in conn.rows(MESSAGES, &[&ids, &of_deliveries]).await? {
        if let Some(message) = row.col("message")? {
            found.insert(row.col("id")?, message);
        }
    }
    Ok(found)
}

// ---------------------------------------------------------------------------------------------
// Names

/// The row of an event of an app.
pub(crate) async fn event_row(conn: &Conn, app: AppRow, id: EventId) -> DbResult<Option<EventRow>> {
    let sql = "SELECT id FROM events WHERE uid = $1 AND app = $2 AND (id >= $3 AND id <= $4 OR id < $5)";
    let made_at = ids::made_at(id);
    let (first, last) = (ids::first_at(made_at), ids::last_at(made_at));
    let found = conn.row_opt(sql, &[&id, &app, &first, &last, &ids::TIMELY_FROM]).await?;
    found.map(|row| row.col("id")).transpose()
}

/// What a search text leads to in an app.
pub(crate) async fn search(conn: &Conn, app: AppRow, q: &str) -> DbResult<SearchHits> {
    let (event, resource) = search_ids(conn, app, q).await?;
    let (part, mut found) = (fold(q), Vec::new());
    for row in conn.rows("SELECT id, name, url FROM endpoints WHERE app = $1", &[&app]).await? {
        let (name, url): (&str, &str) = (row.col("name")?, row.col("url")?);
        if fold(name).contains(&part) || fold(url).contains(&part) {
            found.push(row.col("id")?);
        }
    }
    let kinds = search_types(conn, app, q).await?;
    Ok(SearchHits { endpoints: found, kinds, event, resource })
}

/// The event types whose names contain a text.
pub(crate) async fn search_types(conn: &Conn, app: AppRow, q: &str) -> DbResult<Vec<TypeRow>> {
    let (part, mut found) = (fold(q), Vec::new());
    for row in conn.rows("SELECT id, name FROM event_types WHERE app = $1", &[&app]).await? {
        if fold(row.col::<&str>("name")?).contains(&part) {
            found.push(row.col("id")?);
        }
    }
    Ok(found)
}

/// The event with this id, and the text if it is the resource id of an event.
pub(crate) async fn search_ids(
    conn: &Conn,
    app: AppRow,
    q: &str,
) -> DbResult<(Option<EventRow>, Option<String>)> {
    let event = match q.parse::<EventId>() {
        Ok(id) => event_row(conn, app, id).await?,
        Err(_) => None,
    };
    // No text in the database has a NUL.
    if q.contains('\0') {
        return Ok((event, None));
    }
    let sql = "SELECT 1 AS one FROM events WHERE app = $1 AND resource_id = $2 LIMIT 1";
    let is_resource = conn.row_opt(sql, &[&app, &q]).await?.is_some();
    Ok((event, is_resource.then(|| q.to_owned())))
}

/// The rows of the types that a filter means.
pub(crate) async fn types(conn: &Conn, app: AppRow, filter: &TypeFilter) -> DbResult<Vec<TypeRow>> {
    let found = match filter {
        TypeFilter::Exactly(name) => {
            conn.rows("SELECT id FROM event_types WHERE app = $1 AND name = $2", &[&app, name]).await?
        }
        // '/' follows '.' in ASCII, so this is all that begins with the stem and a dot.
        TypeFilter::Below(stem) => {
            let sql = "SELECT id FROM event_types WHERE app = $1 AND name > $2 AND name < $3";
            conn.rows(sql, &[&app, &format!("{stem}."), &format!("{stem}/")]).await?
        }
    };
    found.iter().map(|row| row.col("id")).collect()
}
