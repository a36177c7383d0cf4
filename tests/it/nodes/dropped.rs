//! A server that is dropped without a stop, as tests do.

use std::time::{Duration, Instant};

use crate::support::TestApp;

#[test]
fn nothing_keeps_the_storage_of_a_dropped_server_open() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(async {
        let app = TestApp::start().await;
        std::sync::Arc::downgrade(&app.server().store())
    });
    drop(runtime);
    // A thread of the storage may hold it for a moment.
    let begun = Instant::now();
    while store.upgrade().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30), "something holds the storage");
        std::thread::yield_now();
    }
}
