//! Exports of the delivery log: CSV and JSON Lines as a stream, XLSX as a whole file.
//!
//! A stream asks storage for the next page when the client has taken the last one: one page in memory,
//! the client's own pace, and no work once it has gone away, because a body that is dropped takes its
//! stream along. Workbooks are built in memory, so there is one at a time, in the order of asking, in a
//! process of its own ([`crate::service::log::workbooks`]).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::domain::Timestamp;
use crate::export::TextFormat;
use crate::export::xlsx::XlsxError;
use crate::host::clock::Clock;
use crate::store::{AttemptFilter, ExportPage, ExportPosition, Sort, Store};

use crate::service::log::workbooks::Workbooks;
use crate::service::{Caller, ServiceError};

pub use crate::export::Format;

/// Rows of a page: some hundred KB.
const PAGE: u32 = 500;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// More rows than a workbook may have.
    #[error("there are more than {max} rows")]
    TooManyRows { max: u32 },
    #[error(transparent)]
    Xlsx(#[from] XlsxError),
    /// The thread that built the workbook ended badly.
    #[error("the workbook was not built")]
    Lost,
}

/// A file to send.
pub struct File {
    pub format: Format,
    /// The day of the export, in UTC.
    pub made_at: Timestamp,
    pub content: Content,
}

/// What is in a file.
pub enum Content {
    Whole(Bytes),
    /// An error in the middle must break the answer off, so that nobody takes a part for the whole.
    Stream(BoxStream<'static, std::io::Result<Bytes>>),
}

/// The use cases of exports.
pub struct Exports {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    xlsx_max_rows: u32,
    xlsx_turn: Arc<Semaphore>,
    workbooks: Workbooks,
    running: Arc<watch::Sender<usize>>,
}

/// Counts an export as running for as long as it lives.
struct Running(Arc<watch::Sender<usize>>);

impl Running {
    fn new(count: &Arc<watch::Sender<usize>>) -> Running {
        count.send_modify(|n| *n += 1);
        Running(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

impl Exports {
    /// `xlsx_max_rows` is the configured `export.xlsx_max_rows`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        xlsx_max_rows: u32,
        workbooks: Workbooks,
    ) -> Exports {
        let running = Arc::new(watch::Sender::new(0));
        let xlsx_turn = Arc::new(Semaphore::new(1));
        Exports { store, clock, xlsx_max_rows, xlsx_turn, workbooks, running }
    }

    /// How many exports are running.
    pub fn running(&self) -> watch::Receiver<usize> {
        self.running.subscribe()
    }

    /// Every row that matches, in the order of the list.
    ///
    /// # Errors
    /// [`ExportError::TooManyRows`] for a workbook that would be too large, before any work is done.
    pub async fn export(
        &self,
        caller: &Caller,
        filter: AttemptFilter,
        sort: Sort,
        format: Format,
    ) -> Result<File, ExportError> {
        let running = Running::new(&self.running);
        let made_at = self.clock.now();
        let filter = caller.filter(filter)?;
        let walk = Walk { store: self.store.clone(), caller: caller.clone(), filter, sort };
        let content = match format {
            Format::Csv => text(walk, TextFormat::Csv, running).await?,
            Format::Jsonl => text(walk, TextFormat::Jsonl, running).await?,
            Format::Xlsx => Content::Whole(self.workbook(walk).await?),
        };
        Ok(File { format, made_at, content })
    }

    async fn workbook(&self, walk: Walk) -> Result<Bytes, ExportError> {
        let max = self.xlsx_max_rows;
        let too_many = ExportError::TooManyRows { max };
        let cap = u64::from(max) + 1;
        let counted = walk.store.export_count(walk.caller.app_id, walk.filter.clone(), cap).await;
        if counted.map_err(ServiceError::from)? > u64::from(max) {
            return Err(too_many);
        }
        let turn = self.xlsx_turn.clone().acquire_owned().await.map_err(|_| ExportError::Lost)?;
        let (pages, inbox) = mpsc::channel(1);
        let building = self.workbooks.start(walk.filter.view, inbox, turn).map_err(|_| ExportError::Lost)?;
        let (mut left, mut next) = (max as usize, Some(ExportPosition::default()));
        while let Some(place) = next {
            let page = walk.page(place).await?;
            // Rows may have been added since they were counted.
            left = left.checked_sub(page.rows.len()).ok_or(ExportError::TooManyRows { max })?;
            next = page.next;
            if pages.send(Some(page.rows)).await.is_err() {
                break;
            }
        }
        // The end is said; a sender that is merely gone means that nobody waits for the file.
        let _ = pages.send(None).await;
        match building.await {
            Ok(Some(file)) => Ok(Bytes::from(file?)),
            _ => Err(ExportError::Lost),
        }
    }
}

/// A walk over the log.
struct Walk {
    store: Arc<dyn Store>,
    caller: Caller,
    filter: AttemptFilter,
    sort: Sort,
}

impl Walk {
    async fn page(&self, from: ExportPosition) -> crate::service::Result<ExportPage> {
        let (app, filter) = (self.caller.app_id, self.filter.clone());
        let mut page = self.store.export_page(app, filter, self.sort, from, PAGE).await?;
        page.rows.iter_mut().for_each(|attempt| self.caller.hide_address_of(attempt));
        Ok(page)
    }
}

/// A stream of pages. The first is read at once, so that what fails at the beginning is an error answer.
async fn text(walk: Walk, format: TextFormat, running: Running) -> Result<Content, ExportError> {
    let first = walk.page(ExportPosition::default()).await?;
    let view = walk.filter.view;
    let mut chunk = format.head(view);
    chunk.extend(format.page(&first.rows, view));
    let rest = Rest { walk, format, next: first.next, _running: running };
    let rest = stream::try_unfold(rest, |mut rest| async move {
        let Some(place) = rest.next.take() else { return Ok(None) };
        let page = rest.walk.page(place).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "an export broke off");
            std::io::Error::other(error)
        })?;
        rest.next = page.next;
        let view = rest.walk.filter.view;
        Ok(Some((Bytes::from(rest.format.page(&page.rows, view)), rest)))
    });
    // An empty piece would mean nothing to HTTP, and is left out.
    let first = stream::once(async { Ok(Bytes::from(chunk)) });
    let all = first.chain(rest).filter(|piece| {
        let is_wanted = !piece.as_ref().is_ok_and(Bytes::is_empty);
        async move { is_wanted }
    });
    Ok(Content::Stream(all.boxed()))
}

struct Rest {
    walk: Walk,
    format: TextFormat,
    next: Option<ExportPosition>,
    _running: Running,
}
