//! Long values of request headers, each kept once.
//!
//! An endpoint's own headers may have 16 KiB of values, and every attempt logs them: a log of small events
//! would consist of copies. Short values stay where they are, because a reference would save nothing.
//!
//! A value goes when the log has no attempt left that may refer to it. Counting references would cost a write
//! for each attempt; instead a value knows a number that no referring attempt exceeds, in strides of
//! [`STRIDE`].

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use crate::domain::{AttemptId, Headers};
use crate::store::sqlite::engine::error::fault;

/// The shortest value that is kept apart, in bytes: longer than what differs from attempt to attempt.
const LONG: usize = 256;
/// Signatures with several secrets are long and differ each time.
const PER_ATTEMPT: &str = "webhook-signature";
/// What a reference begins with.
const MARK: char = '\u{1}';
/// How far ahead `last_attempt` is set, so that a value in use is written once for so many attempts.
const STRIDE: i64 = 4_096;

/// The headers of an attempt with references instead of long values, which are kept.
pub(crate) fn put(
    conn: &Connection,
    attempt: AttemptId,
    headers: &Headers,
) -> rusqlite::Result<Option<Headers>> {
    let is_long = |(name, value): (&str, &str)| {
        value.starts_with(MARK) || value.len() >= LONG && !name.eq_ignore_ascii_case(PER_ATTEMPT)
    };
    if !headers.iter().any(is_long) {
        return Ok(None);
    }
    let mut short = Headers::with_capacity(headers.len(), 0);
    for (name, value) in headers.iter() {
        if is_long((name, value)) {
            short.push(name, &format!("{MARK}{}", put_value(conn, attempt, value)?));
        } else {
            short.push(name, value);
        }
    }
    Ok(Some(short))
}

fn put_value(conn: &Connection, attempt: AttemptId, value: &str) -> rusqlite::Result<i64> {
    let hash: [u8; 32] = Sha256::digest(value.as_bytes()).into();
    let last_attempt = attempt.0 + STRIDE;
    let known: Option<(i64, i64)> = conn
        .prepare_cached("SELECT id, last_attempt FROM header_values WHERE hash = ?1")?
        .query_row([hash], |row| Ok((row.get("id")?, row.get("last_attempt")?)))
        .optional()?;
    match known {
        Some((id, last)) if last >= attempt.0 => Ok(id),
        Some((id, _)) => {
            conn.prepare_cached("UPDATE header_values SET last_attempt = ?2 WHERE id = ?1")?
                .execute([id, last_attempt])?;
            Ok(id)
        }
        None => {
            conn.prepare_cached("INSERT INTO header_values (hash, last_attempt, value) VALUES (?1, ?2, ?3)")?
                .execute(params![hash, last_attempt, value])?;
            Ok(conn.last_insert_rowid())
        }
    }
}

/// The reverse of [`put`].
pub(crate) fn resolve(conn: &Connection, headers: Headers) -> rusqlite::Result<Headers> {
    if !headers.iter().any(|(_, value)| value.starts_with(MARK)) {
        return Ok(headers);
    }
    let mut whole = Headers::with_capacity(headers.len(), 0);
    for (name, value) in headers.iter() {
        match value.strip_prefix(MARK) {
            None => whole.push(name, value),
            Some(id) => {
                let id: i64 = id.parse().map_err(|_| fault("a reference to a header value is damaged"))?;
                let value: String = conn
                    .prepare_cached("SELECT value FROM header_values WHERE id = ?1")?
                    .query_row([id], |row| row.get("value"))?;
                whole.push(name, &value);
            }
        }
    }
    Ok(whole)
}

/// Removes up to `limit` values that no attempt refers to; how many there were.
pub(crate) fn sweep(conn: &Connection, limit: u32) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM header_values WHERE id IN (SELECT id FROM header_values \
               WHERE last_attempt < coalesce((SELECT min(id) FROM attempts), 9223372036854775807) LIMIT ?1)";
    conn.prepare_cached(sql)?.execute([limit]).map(|removed| removed as u64)
}
