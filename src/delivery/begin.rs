//! Whether a request may be begun, asked right before its first byte is sent: after its connection was opened, which
//! may have taken long, or this process have been stopped meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The question, and whether the answer was no. Then nothing was sent.
pub struct Begin {
    may: Box<dyn Fn() -> bool + Send + Sync>,
    is_refused: AtomicBool,
}

impl Begin {
    /// Asks this.
    pub fn when(may: impl Fn() -> bool + Send + Sync + 'static) -> Arc<Begin> {
        Arc::new(Begin { may: Box::new(may), is_refused: AtomicBool::new(false) })
    }

    /// Whether the request may be begun now.
    pub fn ask(&self) -> bool {
        let may = (self.may)();
        if !may {
            self.is_refused.store(true, Ordering::Release);
        }
        may
    }

    /// Whether it was refused.
    pub fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Acquire)
    }
}
