//! The delivery log's filters and orders, as SQL.
//!
//! Names in a filter (an endpoint, event types, the search text) are first looked up in their small
//! tables and go into the query as row numbers, so that the log itself is compared by numbers only.
//! The query finds ids; the rows are fetched after, so that sorting never carries them along.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::endpoints;
use crate::domain::attempt::AttemptStatus;
use crate::store::{AttemptFilter, LogKey, Sort, SortField, SortValue, StatusFilter, TOTAL_CAP, TypeFilter};

/// A condition with its values. `None` in [`Wanted::of`] stands for "no row at all".
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    condition: String,
    values: Vec<Value>,
}

impl Wanted {
    /// What a filter means in an app.
    pub(super) fn of(
        conn: &Connection,
        app: i64,
        filter: &AttemptFilter,
    ) -> rusqlite::Result<Option<Wanted>> {
        let mut wanted = Wanted::default();
        let searched = match &filter.q {
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
        match (endpoint, &searched) {
            (Some(endpoint), _) => wanted.and("endpoint = ?", [Value::Integer(endpoint)]),
            (None, Some((found, types))) if types.is_empty() && found.len() == 1 => {
                wanted.and("endpoint = ?", [Value::Integer(found[0])]);
            }
            _ => wanted.and("app = ?", [Value::Integer(app)]),
        }
        if let Some((found, types)) = &searched {
            if found.is_empty() && types.is_empty() {
                return Ok(None);
            }
            // The plus keeps SQLite from leading with these, which would lose the order.
            wanted.and(&format!("(+endpoint IN ({}) OR +type IN ({}))", numbers(found), numbers(types)), []);
        }
        wanted.add_statuses(&filter.status);
        if let Some(names) = &filter.event_type {
            wanted.and(&format!("+type IN ({})", numbers(&types(conn, app, names)?)), []);
        }
        match filter.response_status {
            Some(StatusFilter::Exactly(status)) => wanted.and("response_status = ?", [number(status)]),
            Some(StatusFilter::Class(class)) => {
                let (from, to) = (class.saturating_mul(100), class.saturating_mul(100).saturating_add(99));
                wanted.and("response_status BETWEEN ? AND ?", [number(from), number(to)]);
            }
            None => {}
        }
        if let Some(kind) = filter.error_kind {
            wanted.and("error_kind = ?", [text(kind.as_str())]);
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
    pub(super) fn condition(&self) -> (&str, &[Value]) {
        (&self.condition, &self.values)
    }

    /// All rows of an endpoint.
    #[cfg(test)]
    pub(super) fn of_endpoint(row: i64) -> Wanted {
        let mut wanted = Wanted::default();
        wanted.and("endpoint = ?", [Value::Integer(row)]);
        wanted
    }

    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        if !self.condition.is_empty() {
            self.condition.push_str(" AND ");
        }
        self.condition.push_str(condition);
        self.values.extend(values);
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

    /// Counts the rows, up to one above the cap.
    pub(super) fn count(&self) -> (String, &[Value]) {
        self.count_to(TOTAL_CAP as i64 + 1)
    }

    /// Counts the rows, up to so many.
    pub(super) fn count_to(&self, most: i64) -> (String, &[Value]) {
        let sql =
            format!("SELECT count(*) FROM (SELECT 1 FROM attempts WHERE {} LIMIT {most})", self.condition);
        (sql, &self.values)
    }

    /// Whether the row whose id is the first value is among them; the other values follow.
    pub(super) fn holds_for(&self) -> (String, &[Value]) {
        (format!("SELECT 1 FROM attempts WHERE id = ? AND {}", self.condition), &self.values)
    }

    /// Finds ids and places of what ended behind one place and up to another, in this order. The index is
    /// named because others look better to SQLite and would make it sort.
    pub(super) fn finished(&self, app: i64, after: i64, upto: i64, limit: i64) -> (String, Vec<Value>) {
        let sql = format!(
            "SELECT id, finished_seq FROM attempts INDEXED BY attempts_finished \
             WHERE app = ? AND finished_seq > ? AND finished_seq <= ? AND ({}) ORDER BY finished_seq LIMIT ?",
            self.condition
        );
        let mut values: Vec<Value> = [app, after, upto].map(Value::Integer).into();
        values.extend(self.values.iter().cloned());
        values.push(Value::Integer(limit));
        (sql, values)
    }

    /// Finds ids and the values they are sorted by, behind a place or not.
    pub(super) fn find(
        &self,
        sort: Sort,
        after: Option<&LogKey>,
        limit: i64,
        offset: i64,
    ) -> (String, Vec<Value>) {
        let mut wanted = self.clone();
        if let Some(key) = after {
            wanted.add_after(sort, key);
        }
        let column = column(sort.field);
        let direction = if sort.descending { "DESC" } else { "ASC" };
        let order = match sort.field {
            SortField::Id => format!("id {direction}"),
            _ => format!("{column} {direction} NULLS LAST, id {direction}"),
        };
        let sql = format!(
            "SELECT id, {column} FROM attempts WHERE {} ORDER BY {order} LIMIT ? OFFSET ?",
            wanted.condition
        );
        wanted.values.extend([Value::Integer(limit), Value::Integer(offset)]);
        (sql, wanted.values)
    }

    /// Rows behind a place. Nulls come last in both directions, so behind a value come all nulls too.
    fn add_after(&mut self, sort: Sort, key: &LogKey) {
        let than = if sort.descending { "<" } else { ">" };
        let id = Value::Integer(key.id.0);
        let column = column(sort.field);
        let value = match (&key.value, sort.field) {
            (_, SortField::Id) => return self.and(&format!("id {than} ?"), [id]),
            (SortValue::Null, _) => return self.and(&format!("{column} IS NULL AND id {than} ?"), [id]),
            (SortValue::Number(n), _) => Value::Integer(*n),
            (SortValue::Text(text), _) => Value::Text(text.clone()),
        };
        self.and(
            &format!("({column} {than} ? OR ({column} = ? AND id {than} ?) OR {column} IS NULL)"),
            [value.clone(), value, id],
        );
    }
}

fn column(field: SortField) -> &'static str {
    match field {
        SortField::Id => "id",
        SortField::CreatedAt => "created_at",
        SortField::AttemptedAt => "attempted_at",
        SortField::Status => "status",
        SortField::ResponseStatus => "response_status",
        SortField::ResponseTime => "response_time_ms",
    }
}

/// The value in a cursor for what a row is sorted by.
pub(super) fn sort_value(field: SortField, value: Value) -> SortValue {
    match (field, value) {
        (SortField::Id, _) => SortValue::Null,
        (_, Value::Integer(n)) => SortValue::Number(n),
        (_, Value::Text(text)) => SortValue::Text(text),
        (_, _) => SortValue::Null,
    }
}

/// Endpoints (deleted ones too) and event types whose names contain a text.
fn search(conn: &Connection, app: i64, q: &str) -> rusqlite::Result<(Vec<i64>, Vec<i64>)> {
    let q = q.to_lowercase();
    let find = |sql: &str| -> rusqlite::Result<Vec<i64>> {
        conn.prepare_cached(sql)?.query_map(params![app, q], |row| row.get(0))?.collect()
    };
    let found = find(
        "SELECT id FROM endpoints WHERE app = ?1 AND (text_contains(name, ?2) OR text_contains(url, ?2))",
    )?;
    let types = find("SELECT id FROM event_types WHERE app = ?1 AND text_contains(name, ?2)")?;
    Ok((found, types))
}

/// The rows of the types that a filter means.
pub(super) fn types(conn: &Connection, app: i64, filter: &TypeFilter) -> rusqlite::Result<Vec<i64>> {
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
pub(super) fn numbers(rows: &[i64]) -> String {
    rows.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

fn number(n: u16) -> Value {
    Value::Integer(i64::from(n))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
