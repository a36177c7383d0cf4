//! A server that is dropped without a stop, as tests do.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use crate::support::{TestApp, in_time};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn nothing_keeps_the_storage_of_a_dropped_server_open() {
    let servers = runtime();
    let store = servers.block_on(async {
        let app = TestApp::start().await;
        Arc::downgrade(&app.server().store())
    });
    drop(servers);
    runtime().block_on(in_time("the end of the storage", async {
        // A thread of the storage may hold it for a moment.
        while store.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }));
}
