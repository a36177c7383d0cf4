//! The task that writes the attempts of events for very many endpoints in steps, and the list of those endpoints.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::shared::fan_outs::{Running, Ticket};
use crate::store::shared::fault::Fault;
use crate::store::shared::row_numbers::{AppRow, EndpointRow, EventRow};
use crate::store::{Queued, Result, StoreError};

/// The most attempts that one command writes together with their events.
pub(crate) const AT_ONCE: usize = 1_000;
/// The most attempts of a step: about 50 ms of the writer.
pub(crate) const STEP: usize = 1_000;
/// How long a step that failed waits for its next try.
const PAUSE: Duration = Duration::from_secs(1);

/// What a step has done.
#[derive(Debug)]
pub(crate) struct FanOutStep {
    pub(crate) app: AppRow,
    pub(crate) queued: Vec<(EventRow, Queued)>,
    pub(crate) finished: Vec<EventRow>,
    /// Whether any fan-out is still open.
    pub(crate) more: bool,
    /// The last caller that was announced before this step.
    pub(crate) ticket: Ticket,
}

/// Takes steps whenever there is something to do, each by `ask` with the app of the step before.
pub(crate) async fn run<F, A>(fan_outs: Running, stop: CancellationToken, ask: A)
where
    A: Fn(AppRow) -> F,
    F: Future<Output = Result<FanOutStep>>,
{
    let mut last = AppRow(0);
    loop {
        tokio::select! {
            () = fan_outs.woken() => {}
            () = stop.cancelled() => return,
        }
        loop {
            match ask(last).await {
                Ok(step) => {
                    last = step.app;
                    fan_outs.stepped(step.queued, &step.finished);
                    if !step.more {
                        fan_outs.release(step.ticket);
                        break;
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    // Their events are on disk; nobody has to wait until the disk has room again.
                    fan_outs.release(fan_outs.last_ticket());
                    tracing::warn!(%error, "the attempts of an event could not be written; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = stop.cancelled() => return,
                    }
                }
            }
        }
    }
}

/// Endpoints, ascending, in little room: the differences of their rows, seven bits to a byte.
pub(crate) fn write_list(endpoints: &[EndpointRow]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(endpoints.len() * 2);
    let mut before = 0;
    for EndpointRow(row) in endpoints {
        let mut rest = row.abs_diff(before);
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        before = *row;
    }
    bytes
}

/// The reverse of [`write_list`].
pub(crate) fn read_list(bytes: &[u8]) -> std::result::Result<Vec<EndpointRow>, Fault> {
    let damaged = || Fault("the endpoints of a fan-out are damaged".to_owned());
    let mut endpoints = Vec::new();
    let (mut row, mut difference, mut shift) = (0_i64, 0_u64, 0_u32);
    for byte in bytes {
        let part = u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 63).ok_or_else(damaged)?;
        difference |= part;
        if byte & 0x80 != 0 {
            shift += 7;
            continue;
        }
        row = row.checked_add_unsigned(difference).ok_or_else(damaged)?;
        endpoints.push(EndpointRow(row));
        (difference, shift) = (0, 0);
    }
    if shift == 0 { Ok(endpoints) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_list_of_endpoints_reads_back(mut rows in prop::collection::vec(1_i64..i64::MAX / 2, 0..50)) {
            rows.sort_unstable();
            rows.dedup();
            let rows: Vec<_> = rows.into_iter().map(EndpointRow).collect();
            prop_assert_eq!(read_list(&write_list(&rows)).unwrap(), rows);
        }
    }

    #[test]
    fn a_damaged_list_is_an_error() {
        assert!(read_list(&[0x80]).is_err());
        assert!(read_list(&[0xff; 12]).is_err());
    }
}
