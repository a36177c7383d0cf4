//! Where in the log a time lies: which ids can have been made in a range of time.
//!
//! Ids ascend in the order of writing, and `created_at` nearly does, but a clock may be set back and a
//! result waits for the writer. Instead of an index, which every row would pay for, one small row tells
//! of every zone of ids the earliest and the latest time in it. What a zone says may be too wide (rows
//! are removed), never too narrow.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::Timestamp;
pub(crate) use crate::store::shared::ranges::{IdRange, TimeRange};

/// Ids in a zone, as a power of two. Migration 0005 says the same of the rows that were there before it.
pub(crate) const ZONE_BITS: u32 = 12;

/// A table and the table of its zones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Zoned {
    table: &'static str,
    zones: &'static str,
    place: usize,
}

pub(crate) const ATTEMPTS: Zoned = Zoned { table: "attempts", zones: "log_zones", place: 0 };
pub(crate) const EVENTS: Zoned = Zoned { table: "events", zones: "event_zones", place: 1 };

/// The zones that are being filled, as far as the writer has seen them from their first row on. When one is complete,
/// its times need not be read from its rows: a zone of events is some thousand pages of payloads.
#[derive(Debug, Default)]
pub(crate) struct FillingZones([Option<(i64, TimeRange)>; 2]);

impl FillingZones {
    /// Forgets them, because rows may have come or gone unseen.
    pub(crate) fn clear(&mut self) {
        self.0 = [None; 2];
    }

    /// A row with this id was made: writes the zone before it, when it is the first of its own. For the writer only; a
    /// trigger would say the same, and make SQLite keep a copy of every page that an INSERT touches.
    pub(crate) fn entered(
        &mut self,
        conn: &Connection,
        of: Zoned,
        id: i64,
        created_at: Timestamp,
    ) -> rusqlite::Result<()> {
        let (zone, at) = (id >> ZONE_BITS, created_at.as_millis());
        let filling = &mut self.0[of.place];
        if id & ((1 << ZONE_BITS) - 1) == 0 {
            let seen = filling.replace((zone, TimeRange { since: at, until: at }));
            return match seen {
                Some((before, times)) if before == zone - 1 => write(conn, of, before, times),
                _ => read_and_write(conn, of, zone - 1),
            };
        }
        if let Some((seen, times)) = filling
            && *seen == zone
        {
            *times = TimeRange { since: times.since.min(at), until: times.until.max(at) };
        }
        Ok(())
    }
}

fn write(conn: &Connection, of: Zoned, zone: i64, times: TimeRange) -> rusqlite::Result<()> {
    let zones = of.zones;
    conn.prepare_cached(&format!(
        "INSERT OR REPLACE INTO {zones} (zone, earliest, latest) VALUES (?1, ?2, ?3)"
    ))?
    .execute([zone, times.since, times.until])
    .map(|_| ())
}

/// Writes a zone by its rows, if it has any.
fn read_and_write(conn: &Connection, of: Zoned, zone: i64) -> rusqlite::Result<()> {
    let Zoned { table, zones, .. } = of;
    conn.prepare_cached(&format!(
        "INSERT OR REPLACE INTO {zones} (zone, earliest, latest) \
         SELECT ?1, min(created_at), max(created_at) FROM {table} \
         WHERE id >= ?2 AND id < ?3 HAVING count(*) > 0"
    ))?
    .execute([zone, zone << ZONE_BITS, (zone + 1) << ZONE_BITS])
    .map(|_| ())
}

/// The zones of the log, in a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Zones {
    bits: u32,
    /// The zones that have rows, ascending. There may be wide gaps: attempts that came from PostgreSQL keep their ids.
    times: Vec<(i64, TimeRange)>,
}

impl Zones {
    /// Reads the zones. What the table does not tell is looked up: the zone that is still being filled.
    pub(crate) fn load(conn: &Connection, of: Zoned, bits: u32) -> rusqlite::Result<Zones> {
        let Zoned { table, zones, .. } = of;
        let end = |direction: &str| -> rusqlite::Result<Option<i64>> {
            let sql = format!("SELECT id FROM {table} ORDER BY id {direction} LIMIT 1");
            conn.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()
        };
        let (bottom, top) = (end("ASC")?, end("DESC")?);
        let (Some(bottom), Some(top)) = (bottom, top) else {
            return Ok(Zones { bits, times: vec![] });
        };
        let (first, last) = (bottom >> bits, top >> bits);
        let mut times = Vec::new();
        let mut statement = conn.prepare_cached(&format!(
            "SELECT zone, earliest, latest FROM {zones} WHERE zone BETWEEN ?1 AND ?2 ORDER BY zone"
        ))?;
        let mut told = statement.query(params![first, last])?;
        let mut zone = first;
        while let Some(row) = told.next()? {
            let this: i64 = row.get(0)?;
            fill(conn, table, bits, zone..this, &mut times)?;
            times.push((this, TimeRange { since: row.get(1)?, until: row.get(2)? }));
            zone = this + 1;
        }
        fill(conn, table, bits, zone..last + 1, &mut times)?;
        Ok(Zones { bits, times })
    }

    /// The ids that rows of a range can have, ascending.
    pub(crate) fn spans(&self, range: TimeRange) -> Vec<IdRange> {
        let mut spans: Vec<IdRange> = Vec::new();
        // Whether the zone before is in the last span: between the two there is no row.
        let mut goes_on = false;
        for (zone, times) in &self.times {
            if times.since > range.until || times.until < range.since {
                goes_on = false;
                continue;
            }
            let mixed = times.since < range.since || times.until > range.until;
            let (from, to) = (zone << self.bits, ((zone + 1) << self.bits) - 1);
            match spans.last_mut() {
                Some(last) if goes_on && last.mixed == mixed => last.to = to,
                _ => spans.push(IdRange { from, to, mixed }),
            }
            goes_on = true;
        }
        spans
    }
}

/// Looks up zones, those of them that have rows.
fn fill(
    conn: &Connection,
    table: &str,
    bits: u32,
    zones: Range<i64>,
    times: &mut Vec<(i64, TimeRange)>,
) -> rusqlite::Result<()> {
    let next = format!("SELECT id FROM {table} WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1");
    let mut next = conn.prepare_cached(&next)?;
    let mut ends = conn.prepare_cached(&format!(
        "SELECT min(created_at), max(created_at) FROM {table} WHERE id >= ?1 AND id < ?2"
    ))?;
    let mut from = zones.start;
    while from < zones.end {
        let ids = [from << bits, zones.end << bits];
        let Some(id) = next.query_row(ids, |row| row.get::<_, i64>(0)).optional()? else { return Ok(()) };
        let zone = id >> bits;
        let range = ends.query_row([zone << bits, (zone + 1) << bits], |row| {
            Ok(TimeRange { since: row.get(0)?, until: row.get(1)? })
        })?;
        times.push((zone, range));
        from = zone + 1;
    }
    Ok(())
}
