//! What other nodes have changed, looked for twice a second: endpoints, of which attempts that wait in memory must not
//! be sent with old settings; and fan-outs of a node that is gone.
//!
//! Nothing else depends on it. The writer reads the generation of endpoints in each of its transactions, and everything
//! else is read from its table whenever it is asked for.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::try_join;

use crate::store::postgres::engine::conn::Statements as _;
use crate::store::postgres::engine::rows::{Columns as _, EventRow};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::queue::fan_outs;
use crate::store::{Result, StoreError};

const GENERATION: &str = "SELECT value FROM meta WHERE name = 'generation'";

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);
/// So many looks in a row a fan-out has to be as far as it was, until it is another node's.
const UNCHANGED: u32 = 4;

/// Starts the task.
pub(crate) fn start(store: &Arc<PostgresStore>) {
    let (weak, stopped) = (Arc::downgrade(store), store.stopped.clone());
    store.threads().spawn(async move {
        let mut looks = Looks::default();
        while tokio::time::timeout(EVERY, stopped.cancelled()).await.is_err() {
            match looks.next(&weak).await {
                Ok(()) => {}
                Err(StoreError::Closed) => return,
                Err(error) => tracing::debug!(%error, "what other nodes have changed could not be read"),
            }
        }
    });
}

/// What was seen so far.
#[derive(Default)]
struct Looks {
    generation: i64,
    /// The fan-outs of other nodes: how far each is, and how often that was seen.
    fan_outs: HashMap<EventRow, (i64, u32)>,
}

impl Looks {
    async fn next(&mut self, store: &Weak<PostgresStore>) -> Result<()> {
        // Only now: the task must not keep the store open.
        let store = store.upgrade().ok_or(StoreError::Closed)?;
        let node = store.node;
        let look = store.query("looking at other nodes", move |conn| {
            async move {
                let found = conn.row(GENERATION, &[]);
                let (found, fan_outs) = try_join(found, fan_outs::of_others(conn, node)).await?;
                Ok((found.num("value")?, fan_outs))
            }
            .boxed()
        });
        let (generation, fan_outs): (i64, HashMap<EventRow, i64>) = look.await?;
        if std::mem::replace(&mut self.generation, generation) != generation {
            store.fresh.renew();
        }
        let left = self.unchanged(fan_outs);
        if !left.is_empty() {
            let doing = "going on with another node's events";
            store.write(doing, move |tx| fan_outs::adopt(tx, left).boxed()).await?;
        }
        Ok(())
    }

    /// Those that nobody steps any more.
    fn unchanged(&mut self, found: HashMap<EventRow, i64>) -> Vec<(EventRow, i64)> {
        let before = std::mem::take(&mut self.fan_outs);
        let seen = |event: &EventRow, next: i64| match before.get(event) {
            Some((known, times)) if *known == next => times + 1,
            _ => 0,
        };
        self.fan_outs = found.into_iter().map(|(event, next)| (event, (next, seen(&event, next)))).collect();
        let left = self.fan_outs.iter().filter(|(_, (_, times))| *times >= UNCHANGED);
        left.map(|(event, (next, _))| (*event, *next)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fan_out_is_left_when_it_stands_still_for_some_looks() {
        let mut looks = Looks::default();
        let mut look = |next: i64| looks.unchanged(HashMap::from([(EventRow(7), next)]));
        assert!((0..UNCHANGED).all(|_| look(0).is_empty()));
        assert!((0..UNCHANGED).all(|_| look(1_000).is_empty()), "it goes on");
        assert_eq!(look(1_000), [(EventRow(7), 1_000)]);
        assert!(looks.unchanged(HashMap::new()).is_empty());
    }
}
