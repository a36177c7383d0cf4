//! [`Throttle`] for several nodes: what it remembers is in storage that they share, and is decided on by one of them at
//! a time. So a guesser gains nothing by asking another node.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::Timestamp;
use crate::service::people::throttle::{Memory, Names, Throttle, Try};
use crate::service::{Result, ServiceError};
use crate::store::SignInStore;

/// Counts failed sign-ins, here or for all nodes.
pub(crate) enum SignIns {
    Here(Box<Throttle>),
    Everywhere(Arc<dyn SignInStore>),
}

impl SignIns {
    /// Asks whether somebody may try now. `account` is what they call themselves.
    ///
    /// # Errors
    /// [`ServiceError::RateLimited`] when they have to wait.
    pub(crate) async fn begin(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<Try> {
        match self {
            SignIns::Here(throttle) => throttle.begin(account, address, now),
            SignIns::Everywhere(store) => {
                let names = Names::of(account, address);
                let begin = move |memory: &mut Memory, names: &Names| memory.begin(names, now);
                decide(&**store, names, now, begin).await?
            }
        }
    }

    /// Whether a refusal of this address is to be noted: the first in a while is.
    pub(crate) async fn is_news(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        match self {
            SignIns::Here(throttle) => throttle.is_news(address, now),
            SignIns::Everywhere(store) => {
                let is_news = move |memory: &mut Memory, names: &Names| memory.is_news(names.address, now);
                // Without storage nothing can be noted anyway.
                decide(&**store, Names::of("", address), now, is_news).await.unwrap_or(false)
            }
        }
    }

    /// The password was right: the try does not count.
    pub(crate) async fn succeeded(&self, it: Try, now: Timestamp) {
        match self {
            SignIns::Here(throttle) => throttle.succeeded(it, now),
            SignIns::Everywhere(store) => {
                let names = it.names();
                let succeeded = move |memory: &mut Memory, _: &Names| memory.succeeded(it, now);
                if let Err(error) = decide(&**store, names, now, succeeded).await {
                    // It counts as one that failed.
                    tracing::debug!(%error, "a sign-in was not noted");
                }
            }
        }
    }
}

/// Decides by what all nodes know, and keeps it.
async fn decide<T: Send + 'static>(
    store: &dyn SignInStore,
    names: Names,
    now: Timestamp,
    decision: impl FnOnce(&mut Memory, &Names) -> T + Send + 'static,
) -> Result<T> {
    let texts = names.texts();
    let answer = Arc::new(Mutex::new(None));
    let told = answer.clone();
    let decide = Box::new(move |levels: &mut [_]| {
        let mut memory = Memory::default();
        memory.import(&names, levels);
        let decided = decision(&mut memory, &names);
        memory.export(&names, levels, now);
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(decided);
    });
    store.sign_in_decide(texts, now, decide).await?;
    let decided = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    decided.ok_or_else(|| ServiceError::Internal("nothing was decided".into()))
}
