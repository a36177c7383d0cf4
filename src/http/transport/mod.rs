//! Connections, below HTTP semantics.
//!
//! * [`listener`]: TCP and Unix sockets, opened here or passed by systemd.
//! * [`server`]: the accept loop, with its limits on connections, heads and idle time.
//! * [`tls`]: certificates from files, reloaded while the server runs.
//! * [`proxies`]: the client's address and scheme behind trusted reverse proxies.
//! * [`unread`]: closes connections whose peer does not read.
//!
//! Nothing here knows a route or an operation.

pub mod listener;
pub mod proxies;
pub mod server;
pub mod tls;
pub(super) mod unread;
