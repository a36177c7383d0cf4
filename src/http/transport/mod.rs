//! Connections, below HTTP semantics.
//!
//! * [`listener`]: TCP and Unix sockets, opened here or passed by systemd.
//! * [`server`]: the accept loop. [`seats`]: the limits on connections, and who makes room.
//! * [`connection`]: one connection, its requests and its end. [`heads`], [`framing`], [`http2_heads`]: heads of
//!   requests, judged before they are read as such. [`arrival`]: bodies while they arrive.
//! * [`tls`]: certificates from files, reloaded while the server runs.
//! * [`proxies`]: the client's address and scheme behind trusted reverse proxies.
//! * [`stop`]: how long clients are waited for at the end.
//! * [`unread`]: closes connections whose peer does not read.
//!
//! Nothing here knows a route or an operation.

mod arrival;
pub mod connection;
pub mod framing;
mod heads;
mod http2_heads;
pub mod listener;
pub mod proxies;
mod seats;
pub mod server;
mod stop;
pub mod tls;
mod unread;
