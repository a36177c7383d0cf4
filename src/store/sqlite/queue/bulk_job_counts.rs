//! What the end of an attempt adds to the counters of the bulk job that it is part of.

use rusqlite::{Connection, params};

use crate::domain::attempts::attempt::AttemptStatus;
use crate::store::shared::job_ends::JobEnd;
use crate::store::sqlite::engine::rows::JobRow;

/// An attempt has changed its status: counts the end of its delivery for the job that made it.
pub(crate) fn attempt_changed(
    conn: &Connection,
    job: Option<JobRow>,
    from: AttemptStatus,
    to: AttemptStatus,
) -> rusqlite::Result<()> {
    let Some(job) = job else { return Ok(()) };
    let end = JobEnd::of(from, to);
    if end.is_nothing() {
        return Ok(());
    }
    conn.prepare_cached(
        "UPDATE jobs SET delivered = delivered + ?2, exhausted = exhausted + ?3, \
         cancelled = cancelled + ?4, \
         status = CASE WHEN status = 'running' AND walking = 0 \
             AND queued = delivered + exhausted + cancelled + ?2 + ?3 + ?4 THEN 'done' ELSE status END \
         WHERE id = ?1",
    )?
    .execute(params![job, end.delivered, end.exhausted, end.cancelled])
    .map(|_| ())
}
