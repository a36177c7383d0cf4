//! Short texts that nodes tell each other through storage that they share.
//!
//! They are hints, and may be lost at any time: nothing is written for them that would outlive a crash, and nobody
//! waits for a disk. A node that listens gets its own, too.

use async_trait::async_trait;

use crate::store::Result;

/// The most bytes of a text.
pub const NOTICE_BYTES: usize = 7_900;

/// Where nodes tell each other something.
#[async_trait]
pub trait NoticeBoard: Send + Sync {
    /// Tells all that listen now, in one statement. Each text has at most [`NOTICE_BYTES`].
    async fn post(&self, texts: Vec<String>) -> Result<()>;
    /// The same by a connection that does not listen: a node that gets its own text so does hear others as well.
    async fn post_aside(&self, texts: Vec<String>) -> Result<()>;
    /// Listens from now on, on a connection of its own.
    async fn listen(&self) -> Result<Box<dyn NoticeListener>>;
}

/// Gets what is told, for as long as its connection lasts.
#[async_trait]
pub trait NoticeListener: Send {
    /// The next text; `None` when the connection is lost.
    async fn next(&mut self) -> Option<String>;
}
