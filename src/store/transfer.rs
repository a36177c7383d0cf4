//! Moving everything from one backend to another, whichever they are: rows are read on a thread of their own and
//! written on the caller's, and then what has arrived is read again and compared with what was read.
//!
//! [`crate::store::location`] says which backends there are. Memory is bounded: a few batches are on their way.

use std::sync::mpsc::{SyncSender, sync_channel};

use crate::store::shared::transfer::{BATCHES, Batch, Batches, Cells, TABLES, TableSum};
use crate::store::{Result, StoreError};

/// A place that is read.
pub(crate) trait TransferSource: Send {
    /// How many rows each of [`TABLES`] has, in their order.
    fn count(&mut self) -> Result<Vec<u64>>;

    /// Reads a table, in any order.
    fn read(&mut self, table: usize, each: &mut dyn FnMut(Cells) -> Result<()>) -> Result<()>;
}

/// A place that is filled. It is empty and marked as half filled when it is made.
pub(crate) trait TransferTarget: TransferSource {
    /// Writes rows. The batches of a table come together, the tables in their order.
    fn write(&mut self, batch: Batch) -> Result<()>;

    /// All rows are there: makes whatever is best made at the end.
    fn settle(&mut self) -> Result<()>;

    /// Takes the mark away: the last transaction.
    fn complete(&mut self) -> Result<()>;
}

/// Is told how far it is.
pub trait TransferProgress: Sync {
    /// How many rows there are to copy, which are then compared.
    fn begins(&self, rows: u64);
    /// So many more rows were copied.
    fn copied(&self, rows: u64);
    /// All rows are there; indexes are made, which takes a while.
    fn settles(&self);
    /// So many more rows were compared.
    fn compared(&self, rows: u64);
}

/// A table that has been moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedTable {
    pub name: &'static str,
    pub rows: u64,
    /// The sum of the hashes of its rows, the same on both sides.
    pub checksum: String,
}

/// Both places.
pub struct Transfer {
    source: Box<dyn TransferSource>,
    target: Box<dyn TransferTarget>,
}

impl Transfer {
    pub(crate) fn new(source: Box<dyn TransferSource>, target: Box<dyn TransferTarget>) -> Transfer {
        Transfer { source, target }
    }

    /// Copies everything and compares it. The target stays marked as half filled. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the two differ in the end, else what one of them says.
    pub fn copy(&mut self, progress: &dyn TransferProgress) -> Result<Vec<MovedTable>> {
        progress.begins(self.source.count()?.iter().sum());
        let (sender, batches) = sync_channel(BATCHES);
        let (source, target) = (&mut self.source, &mut self.target);
        let read = std::thread::scope(|threads| {
            let reader = threads.spawn(move || read_all(&mut **source, &sender));
            let mut written = Ok(());
            for batch in batches {
                let rows = batch.rows.len() as u64;
                written = target.write(batch);
                if written.is_err() {
                    break;
                }
                progress.copied(rows);
            }
            let read = reader.join().unwrap_or(Err(StoreError::Closed));
            // The reader ends early where nobody takes what it reads; then the cause is the writer's.
            written.and(read)
        })?;
        progress.settles();
        self.target.settle()?;
        read.into_iter().enumerate().map(|(table, read)| self.compare(table, read, progress)).collect()
    }

    fn compare(
        &mut self,
        table: usize,
        read: TableSum,
        progress: &dyn TransferProgress,
    ) -> Result<MovedTable> {
        let (mut sum, mut told) = (TableSum::default(), 0);
        self.target.read(table, &mut |row| {
            sum.add(&row);
            if sum.rows - told == TOLD_EVERY {
                progress.compared(TOLD_EVERY);
                told = sum.rows;
            }
            Ok(())
        })?;
        progress.compared(sum.rows - told);
        let name = TABLES[table].name;
        if sum == read {
            return Ok(MovedTable { name, rows: sum.rows, checksum: sum.checksum() });
        }
        Err(StoreError::Damaged {
            what: format!(
                "the table {name} has {} rows with the checksum {}, and the other side has {} rows with {}",
                sum.rows,
                sum.checksum(),
                read.rows,
                read.checksum()
            ),
        })
    }

    /// Ends the move: the target can be used from now on.
    ///
    /// # Errors
    /// What the target says.
    pub fn complete(mut self) -> Result<()> {
        self.target.complete()
    }
}

/// Progress is told of so many rows at a time.
const TOLD_EVERY: u64 = 1_000;

fn read_all(source: &mut dyn TransferSource, sender: &SyncSender<Batch>) -> Result<Vec<TableSum>> {
    let send = |batch: Batch| sender.send(batch).map_err(|_| StoreError::Closed);
    let mut sums = Vec::with_capacity(TABLES.len());
    for table in 0..TABLES.len() {
        let (mut sum, mut batches) = (TableSum::default(), Batches::of(table));
        source.read(table, &mut |row| {
            sum.add(&row);
            batches.add(row).map_or(Ok(()), send)
        })?;
        let last = batches.take();
        if !last.rows.is_empty() {
            send(last)?;
        }
        sums.push(sum);
    }
    Ok(sums)
}
