//! Where workbooks are made: in a process of their own, this program started once more, so that their
//! memory ends with it ([`crate::export::xlsx::pipe`] says more).
//!
//! Each has a thread that feeds it and may block. Where no process can be started, the workbook is made
//! in that thread: better a server that keeps memory than no export.

use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::sync::{mpsc, oneshot};

use crate::domain::attempts::attempt::Attempt;
use crate::domain::filter::View;
use crate::export::xlsx::{Book, XlsxError, pipe};

/// The command of this program that makes a workbook of what it reads, and writes it.
pub const COMMAND: &str = "make-workbook";

/// Pages of rows, and at last `None`. A sender that is gone without that has nobody to make a file for.
pub type Pages = mpsc::Receiver<Option<Vec<Attempt>>>;
/// The file, or nothing if nobody waits for it.
pub type WorkbookFile = Option<Result<Vec<u8>, XlsxError>>;

/// Makes workbooks.
#[derive(Debug, Clone)]
pub struct Workbooks {
    program: Option<PathBuf>,
}

impl Workbooks {
    /// `program` knows [`COMMAND`]; `None`: workbooks are made in this process.
    pub fn new(program: Option<PathBuf>) -> Workbooks {
        Workbooks { program }
    }

    /// Begins to make a workbook. `turn` is dropped when its memory is free again.
    ///
    /// # Errors
    /// When there is no thread left.
    pub fn start(
        &self,
        view: View,
        pages: Pages,
        turn: impl Send + 'static,
    ) -> io::Result<oneshot::Receiver<WorkbookFile>> {
        let (done, result) = oneshot::channel();
        let program = self.program.clone();
        let run = move || {
            let made = make(program.as_deref(), view, pages);
            drop(turn);
            // Nobody may be waiting any more.
            let _ = done.send(made);
        };
        std::thread::Builder::new().name("xlsx".to_owned()).spawn(run)?;
        Ok(result)
    }
}

fn make(program: Option<&Path>, view: View, pages: Pages) -> WorkbookFile {
    match program.map(begin) {
        Some(Ok(maker)) => outside(maker, view, pages).transpose(),
        Some(Err(error)) => {
            tracing::warn!(%error, "no process for a workbook can be started; it is made in the server");
            inside(view, pages)
        }
        None => inside(view, pages),
    }
}

fn begin(program: &Path) -> io::Result<Child> {
    Command::new(program)
        .arg(COMMAND)
        // It needs nothing of ours, and secrets may be in the environment.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// A process that is ended and waited for, whatever becomes of who started it.
struct Maker(Child);

impl Drop for Maker {
    fn drop(&mut self) {
        // Neither fails but for a process that has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn outside(maker: Child, view: View, mut pages: Pages) -> Result<Option<Vec<u8>>, XlsxError> {
    let mut maker = Maker(maker);
    let mut input = BufWriter::new(maker.0.stdin.take().ok_or(XlsxError::Ended)?);
    pipe::write_view(&mut input, view).map_err(XlsxError::Pipe)?;
    loop {
        match pages.blocking_recv() {
            Some(Some(rows)) => pipe::write_rows(&mut input, &rows, view).map_err(XlsxError::Pipe)?,
            Some(None) => break,
            None => return Ok(None),
        }
    }
    pipe::write_end(&mut input).and_then(|()| input.flush()).map_err(XlsxError::Pipe)?;
    drop(input);
    let mut file = Vec::new();
    let mut output = maker.0.stdout.take().ok_or(XlsxError::Ended)?;
    output.read_to_end(&mut file).map_err(XlsxError::Pipe)?;
    let ended = maker.0.wait().map_err(XlsxError::Pipe)?;
    if ended.success() && !file.is_empty() { Ok(Some(file)) } else { Err(XlsxError::Ended) }
}

fn inside(view: View, mut pages: Pages) -> WorkbookFile {
    let mut book = Book::new(view);
    while let Some(rows) = pages.blocking_recv()? {
        book.add(&rows);
    }
    Some(book.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::row;

    async fn made_by(program: Option<&str>, end: bool) -> WorkbookFile {
        let (pages, inbox) = mpsc::channel(1);
        let made = Workbooks::new(program.map(PathBuf::from)).start(View::Attempts, inbox, ()).unwrap();
        // A reader that is gone has closed its end.
        let _ = pages.send(Some(vec![row("a")])).await;
        if end {
            let _ = pages.send(None).await;
        }
        drop(pages);
        made.await.unwrap()
    }

    #[tokio::test]
    async fn without_a_process_the_server_makes_it() {
        for program in [None, Some("/nowhere/postrider")] {
            assert!(made_by(program, true).await.unwrap().unwrap().starts_with(b"PK"));
            assert!(made_by(program, false).await.is_none());
        }
    }

    #[tokio::test]
    async fn a_process_that_ends_badly_is_an_error_and_no_file() {
        // One ends before it has read anything, one after it has read all; neither writes a file.
        for program in ["false", "true"] {
            assert!(made_by(Some(program), true).await.unwrap().is_err(), "{program}");
        }
    }
}
