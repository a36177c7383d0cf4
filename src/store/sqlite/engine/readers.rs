//! Reads, each in a snapshot of its own, on a fixed number of threads.
//!
//! Tokio's blocking pool may grow to 500 threads; under load about 50 were created and kept alive, each
//! holding freed SQLite pages in its own malloc arena. A fixed pool of four avoids that (docs/benchmarks.md).

use std::any::Any;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};

use crate::store::sqlite::engine::error;
use crate::store::sqlite::engine::pool;
use crate::store::sqlite::engine::pool::{Pool, Snapshot};
use crate::store::{Result, StoreError};

/// What a read gives. One type for all of them, or each would be compiled with a task of its own.
type Found = Box<dyn Any + Send>;
type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<Found> + Send>;

/// Connections that read, and threads for them.
pub(crate) struct Readers {
    /// As many permits as there are connections and threads: reads wait here, where one that nobody wants any
    /// more is dropped.
    permits: Arc<Semaphore>,
    count: u32,
    open: Mutex<Option<Open>>,
}

struct Open {
    pool: Pool,
    /// Ends when all connections are closed: a thread of the pool's own may hold it for a moment, while it opens one.
    /// Opening waits for a lock no longer than the busy timeout.
    closed: mpsc::Receiver<Infallible>,
    /// Of this runtime nothing is used but its threads for what blocks, which come and go with the work.
    threads: Runtime,
}

impl Readers {
    /// For a file that is there, `count` reads at a time.
    pub(crate) fn new(path: &Path, count: u32, busy_timeout: Duration) -> Result<Readers> {
        let seats = count as usize;
        let threads = Builder::new_current_thread()
            .max_blocking_threads(seats)
            .thread_name("store-reader")
            .build()
            .map_err(|e| StoreError::Failed { doing: "starting the readers", source: Box::new(e) })?;
        let (open, closed) = mpsc::channel(1);
        let open = Open { pool: pool::readers(path, count, busy_timeout, open)?, closed, threads };
        Ok(Readers { permits: Arc::new(Semaphore::new(seats)), count, open: Mutex::new(Some(open)) })
    }

    /// Reads in a snapshot of its own.
    pub(crate) async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let work: Work = Box::new(move |conn| Ok(Box::new(work(conn)?)));
        let found = self.read_any(doing, work).await?;
        Ok(*found.downcast().expect("this type was put in"))
    }

    async fn read_any(&self, doing: &'static str, work: Work) -> Result<Found> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let task = match &*self.lock() {
            None => return Err(StoreError::Closed),
            Some(Open { pool, threads, .. }) => {
                let pool = pool.clone();
                threads.spawn_blocking(move || {
                    // Goes with the work, which goes on when nobody waits for it any more, and after the pool: who
                    // closes waits for permits, and then no read holds a connection.
                    let _permit = permit;
                    let pool = pool;
                    let conn = pool.get().map_err(|e| StoreError::Failed { doing, source: Box::new(e) })?;
                    let snapshot = Snapshot::begin(&conn).map_err(|e| error::of(doing, e))?;
                    work(&snapshot).map_err(|e| error::of(doing, e))
                })
            }
        };
        task.await.unwrap_or_else(|e| Err(StoreError::Failed { doing, source: Box::new(e) }))
    }

    /// Waits for those that read, and closes their connections.
    pub(crate) async fn close(&self) {
        // Once every permit is here, no read is running.
        if let Ok(all) = self.permits.acquire_many(self.count).await {
            self.permits.close();
            all.forget();
        }
        if let Some(mut closed) = self.shut() {
            closed.recv().await;
        }
    }

    fn shut(&self) -> Option<mpsc::Receiver<Infallible>> {
        let Open { pool: _, closed, threads } = self.lock().take()?;
        // Not by dropping it, which would wait, and where this is called nobody may.
        threads.shutdown_background();
        Some(closed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        // There is nothing in it that a panic could leave half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn readers(count: u32) -> (tempfile::TempDir, Arc<Readers>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.db");
        drop(pool::writer(&path, Duration::ZERO).unwrap());
        let readers = Readers::new(&path, count, Duration::ZERO).unwrap();
        (dir, Arc::new(readers))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn however_many_read_the_threads_stay_few() {
        let (_dir, readers) = readers(3);
        let many = (0..16).map(|_| {
            let readers = readers.clone();
            tokio::spawn(async move {
                let mut threads = HashSet::new();
                for _ in 0..200 {
                    threads
                        .insert(readers.read("testing", |_| Ok(std::thread::current().id())).await.unwrap());
                }
                threads
            })
        });
        let threads = futures_util::future::join_all(many).await.into_iter().flat_map(|read| read.unwrap());
        let threads: HashSet<_> = threads.collect();
        assert!((1..=3).contains(&threads.len()), "{} threads", threads.len());
    }

    #[tokio::test]
    async fn a_read_that_panics_costs_neither_its_place_nor_its_connection() {
        let (_dir, readers) = readers(1);
        for _ in 0..3 {
            let failed =
                readers.read("testing", |_| -> rusqlite::Result<()> { panic!("as it should") }).await;
            assert!(matches!(failed, Err(StoreError::Failed { .. })), "{failed:?}");
        }
        assert!(
            readers
                .read("testing", |conn| conn.query_row("SELECT 7", [], |row| row.get::<_, i64>(0)))
                .await
                .is_ok_and(|n| n == 7)
        );
    }

    #[tokio::test]
    async fn closing_waits_for_who_reads_and_lets_nobody_in_after() {
        let (_dir, readers) = readers(1);
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let of_reader = readers.clone();
        let reading = tokio::spawn(async move {
            let read = move |_: &Connection| {
                began.send(()).unwrap();
                wait.recv().unwrap();
                Ok(7)
            };
            of_reader.read("testing", read).await
        });
        begun.await.unwrap();
        let mut closing = Box::pin(readers.close());
        assert!(futures_util::poll!(&mut closing).is_pending());
        go_on.send(()).unwrap();
        closing.await;
        assert_eq!(reading.await.unwrap().unwrap(), 7);
        let late = readers.read("testing", |_| Ok(())).await;
        assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
        readers.close().await;
    }

    #[tokio::test]
    async fn closing_waits_until_the_last_connection_is_closed() {
        let (_dir, readers) = readers(1);
        readers.read("testing", |_| Ok(())).await.unwrap();
        // As a thread of the pool does for a moment.
        let held = readers.lock().as_ref().unwrap().pool.clone();
        let mut closing = Box::pin(readers.close());
        assert!(futures_util::poll!(&mut closing).is_pending());
        drop(held);
        closing.await;
    }
}
