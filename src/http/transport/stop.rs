//! How long clients are waited for when the server stops.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long a client that has connected and not sent a whole request may take for it when the server stops.
/// Less would break requests that are on their way: where systemd holds the socket, a restart is to refuse
/// nobody.
pub(super) const WAIT_AT_STOP: Duration = Duration::from_secs(1);

/// Waits for the stop, and then as long as a client may take to finish its request.
pub(super) async fn soon(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(WAIT_AT_STOP).await;
}
