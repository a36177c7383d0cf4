//! Output that never blocks the program.
//!
//! A pipe that nobody reads (a stuck log driver, a stopped pager) blocks the writer once it is full. So lines
//! go through a bounded queue to a thread of their own. When the queue is full, lines are dropped and counted,
//! and the thread reports their number as soon as it can write again.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::host::meter::Counter;

/// Maximum lines in a queue, and their bytes.
const LINES_MAX: usize = 2_048;
const BYTES_MAX: usize = 1 << 20;
/// Wait before a full non-blocking pipe is tried again, and interval of the checks of [`OutputQueue::flush`].
const POLL: Duration = Duration::from_millis(10);

/// A line about dropped lines, in the format of the other lines.
type DropNotice = fn(u64) -> String;

/// A queue with the thread that writes its lines.
#[derive(Debug)]
pub struct OutputQueue {
    lines: SyncSender<Vec<u8>>,
    /// Bytes of lines that are not written yet.
    pending: &'static AtomicUsize,
    dropped: Counter,
}

impl OutputQueue {
    /// Starts the thread. `notice` describes dropped lines; without it they are dropped silently.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(name: &str, file: File, notice: Option<DropNotice>) -> io::Result<OutputQueue> {
        let (lines, receiver) = sync_channel(LINES_MAX);
        // Queues live as long as the process.
        let pending: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
        let dropped = Counter::default();
        let writer = Writer { file, pending, dropped: dropped.clone(), notice };
        thread::Builder::new().name(name.to_owned()).spawn(move || writer.run(receiver))?;
        Ok(OutputQueue { lines, pending, dropped })
    }

    /// Queues a line, or drops and counts it when the queue is full. Never blocks.
    pub fn send(&self, line: Vec<u8>) {
        let bytes = line.len();
        let queued = self.pending.fetch_add(bytes, Ordering::Relaxed);
        if queued + bytes > BYTES_MAX || self.lines.try_send(line).is_err() {
            self.pending.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.inc();
        }
    }

    /// The number of dropped lines.
    pub fn dropped(&self) -> Counter {
        self.dropped.clone()
    }

    /// Waits until all lines are written, for `patience` at most.
    pub fn flush(&self, patience: Duration) {
        let mut waited = Duration::ZERO;
        while self.pending.load(Ordering::Acquire) > 0 && waited < patience {
            thread::sleep(POLL);
            waited += POLL;
        }
    }
}

/// The queue of standard output, for text that a server prints while it runs; `None` when it cannot be started.
pub fn stdout() -> Option<&'static OutputQueue> {
    static QUEUE: OnceLock<Option<OutputQueue>> = OnceLock::new();
    let start = || {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
        OutputQueue::start("stdout", file, None).ok()
    };
    QUEUE.get_or_init(start).as_ref()
}

/// The side of the thread.
struct Writer {
    file: File,
    pending: &'static AtomicUsize,
    dropped: Counter,
    notice: Option<DropNotice>,
}

impl Writer {
    fn run(mut self, lines: Receiver<Vec<u8>>) {
        let mut reported = 0;
        for line in lines {
            self.write(&line);
            self.pending.fetch_sub(line.len(), Ordering::Release);
            let dropped = self.dropped.get();
            if let (Some(notice), true) = (self.notice, dropped > reported) {
                self.write(notice(dropped - reported).as_bytes());
            }
            reported = dropped;
        }
    }

    /// Writes a line. A closed pipe or a failing disk loses it: there is nowhere to report that.
    fn write(&mut self, mut line: &[u8]) {
        while !line.is_empty() {
            match self.file.write(line) {
                Ok(0) => return,
                Ok(written) => line = &line[written..],
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    // Another process has made the pipe non-blocking.
                    io::ErrorKind::WouldBlock => thread::sleep(POLL),
                    _ => return,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn notice(lines: u64) -> String {
        format!("{lines} dropped\n")
    }

    #[test]
    fn a_pipe_that_nobody_reads_does_not_block_and_drops_are_reported() {
        let (mut reader, writer) = io::pipe().unwrap();
        let queue =
            OutputQueue::start("test", File::from(std::os::fd::OwnedFd::from(writer)), Some(notice)).unwrap();
        let line = [vec![b'x'; 1_023], vec![b'\n']].concat();
        let sent = 2 * LINES_MAX;
        for _ in 0..sent {
            queue.send(line.clone());
        }
        let dropped = queue.dropped().get();
        assert!(dropped > 0, "the queue is bounded");
        // With a reader it goes on, and reports what is missing.
        drop(queue);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let written = text.lines().filter(|line| line.starts_with('x')).count() as u64;
        assert_eq!(written + dropped, sent as u64);
        let reported: u64 =
            text.lines().filter_map(|line| line.strip_suffix(" dropped")?.parse::<u64>().ok()).sum();
        assert_eq!(reported, dropped);
    }

    #[test]
    fn flush_waits_for_all_lines() {
        let (mut reader, writer) = io::pipe().unwrap();
        let queue = OutputQueue::start("test", File::from(std::os::fd::OwnedFd::from(writer)), None).unwrap();
        queue.send(b"one\n".to_vec());
        queue.flush(Duration::from_secs(10));
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"one\n");
    }
}
