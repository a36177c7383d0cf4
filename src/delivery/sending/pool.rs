//! The open connections to receivers, by origin (scheme, host and port).
//!
//! An HTTP/1 connection belongs to one request at a time and comes back when its response has been read or dropped. It
//! may come back before it is ready for the next request; then it is passed over until it is. An HTTP/2 connection is
//! shared: each origin has at most one.
//!
//! A request that finds no connection opens one, and takes whichever is there first: its own, or one that comes back.
//!
//! Connections remove themselves when they end ([`run_http1`], [`run_http2`]), so the pool needs no sweep. It holds no
//! more than [`POOL_IDLE_PER_HOST`] idle ones for each origin.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hyper::client::conn::{http1, http2};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval_at};

use crate::delivery::sending::asked::AskedBody;
use crate::delivery::sending::client::{POOL_IDLE, POOL_IDLE_PER_HOST};
use crate::delivery::sending::destination::Origin;
use crate::delivery::sending::stream::ConnectionState;

/// What passes requests to the task that runs the connection.
pub(crate) enum RequestSender {
    Http1(http1::SendRequest<AskedBody>),
    Http2(http2::SendRequest<AskedBody>),
}

/// A connection that a request may use.
pub(crate) struct PooledConnection {
    pub(crate) sender: RequestSender,
    pub(crate) state: Arc<ConnectionState>,
    pub(crate) origin: Origin,
}

/// Shared by all requests of a sender.
#[derive(Default)]
pub(crate) struct Pool {
    hosts: Mutex<HashMap<Origin, Host>>,
}

/// The connections to one origin.
#[derive(Default)]
struct Host {
    /// The one used last is at the end.
    idle: Vec<(http1::SendRequest<AskedBody>, Arc<ConnectionState>)>,
    shared: Option<Shared>,
    /// Requests that open a connection and would take another one.
    waiting: VecDeque<oneshot::Sender<PooledConnection>>,
}

/// An HTTP/2 connection.
struct Shared {
    sender: http2::SendRequest<AskedBody>,
    state: Arc<ConnectionState>,
    used_at: Instant,
}

/// A request that opens a connection and would take another one. Dropping it ends that.
pub(crate) struct Waiting {
    pool: Arc<Pool>,
    origin: Origin,
    receiver: oneshot::Receiver<PooledConnection>,
}

impl Pool {
    /// A connection that is ready, or a way to wait for one.
    pub(crate) fn take(self: &Arc<Pool>, origin: &Origin) -> Result<PooledConnection, Waiting> {
        let mut hosts = self.lock();
        let found = hosts.get_mut(origin).and_then(|host| host.take_idle().or_else(|| host.take_shared()));
        if let Some((sender, state)) = found {
            return Ok(PooledConnection { sender, state, origin: origin.clone() });
        }
        let (sender, receiver) = oneshot::channel();
        hosts.entry(origin.clone()).or_default().waiting.push_back(sender);
        Err(Waiting { pool: self.clone(), origin: origin.clone(), receiver })
    }

    /// Takes a connection back, or a new one that nobody uses. It goes to the first request that waits.
    pub(crate) fn put(&self, connection: PooledConnection) {
        let PooledConnection { sender, state, origin } = connection;
        // Others have a handle to a shared one.
        let RequestSender::Http1(sender) = sender else { return };
        let mut hosts = self.lock();
        // Asked under the lock, under which one that ends is removed.
        if sender.is_closed() {
            return;
        }
        let host = hosts.entry(origin.clone()).or_default();
        let is_ready = sender.is_ready();
        let mut connection = PooledConnection { sender: RequestSender::Http1(sender), state, origin };
        while let Some(waiting) = is_ready.then(|| host.waiting.pop_front()).flatten() {
            match waiting.send(connection) {
                Ok(()) => return,
                Err(back) => connection = back,
            }
        }
        if let (RequestSender::Http1(sender), true) =
            (connection.sender, host.idle.len() < POOL_IDLE_PER_HOST)
        {
            host.idle.push((sender, connection.state));
        }
    }

    /// Shares a new HTTP/2 connection. If another request was faster, its connection is used, and this one ends.
    pub(crate) fn share(
        &self,
        origin: &Origin,
        sender: http2::SendRequest<AskedBody>,
        state: Arc<ConnectionState>,
    ) -> PooledConnection {
        let connection = |(sender, state)| PooledConnection { sender, state, origin: origin.clone() };
        let mut hosts = self.lock();
        // As above; its request says why.
        if sender.is_closed() {
            return connection((RequestSender::Http2(sender), state));
        }
        let host = hosts.entry(origin.clone()).or_default();
        if let Some(known) = host.take_shared() {
            return connection(known);
        }
        host.shared = Some(Shared { sender: sender.clone(), state: state.clone(), used_at: Instant::now() });
        let all = |sender: &http2::SendRequest<_>| (RequestSender::Http2(sender.clone()), state.clone());
        for waiting in host.waiting.drain(..) {
            // Who has gone needs none.
            let _ = waiting.send(connection(all(&sender)));
        }
        connection(all(&sender))
    }

    /// A connection has ended.
    fn remove(&self, origin: &Origin, state: &Arc<ConnectionState>) {
        let mut hosts = self.lock();
        if let Some(host) = hosts.get_mut(origin) {
            host.idle.retain(|(_, idle)| !Arc::ptr_eq(idle, state));
            host.shared.take_if(|shared| Arc::ptr_eq(&shared.state, state));
        }
        Pool::tidy(&mut hosts, origin);
    }

    /// Lets an HTTP/2 connection end, after its last response, that got no request for [`POOL_IDLE`].
    fn expire(&self, origin: &Origin, state: &Arc<ConnectionState>) {
        let mut hosts = self.lock();
        if let Some(host) = hosts.get_mut(origin) {
            let is_old = |shared: &mut Shared| {
                Arc::ptr_eq(&shared.state, state) && shared.used_at.elapsed() >= POOL_IDLE
            };
            host.shared.take_if(is_old);
        }
        Pool::tidy(&mut hosts, origin);
    }

    /// Forgets an origin without connections.
    fn tidy(hosts: &mut HashMap<Origin, Host>, origin: &Origin) {
        let is_empty = |host: &Host| host.idle.is_empty() && host.shared.is_none() && host.waiting.is_empty();
        if hosts.get(origin).is_some_and(is_empty) {
            hosts.remove(origin);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn origins(&self) -> usize {
        self.lock().len()
    }
}

impl Host {
    fn take_idle(&mut self) -> Option<(RequestSender, Arc<ConnectionState>)> {
        let ready = self.idle.iter().rposition(|(sender, _)| sender.is_ready())?;
        let (sender, state) = self.idle.remove(ready);
        Some((RequestSender::Http1(sender), state))
    }

    fn take_shared(&mut self) -> Option<(RequestSender, Arc<ConnectionState>)> {
        let shared = self.shared.as_mut().filter(|shared| shared.sender.is_ready())?;
        shared.used_at = Instant::now();
        Some((RequestSender::Http2(shared.sender.clone()), shared.state.clone()))
    }
}

impl Waiting {
    /// The connection that came back. Does not end if none does.
    pub(crate) async fn connection(&mut self) -> PooledConnection {
        match (&mut self.receiver).await {
            Ok(connection) => connection,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.receiver.close();
        // It may have been given one at this moment.
        if let Ok(connection) = self.receiver.try_recv() {
            self.pool.put(connection);
        }
        let mut hosts = self.pool.lock();
        if let Some(host) = hosts.get_mut(&self.origin) {
            host.waiting.retain(|waiting| !waiting.is_closed());
        }
        Pool::tidy(&mut hosts, &self.origin);
    }
}

/// Runs an HTTP/1 connection to its end.
pub(crate) async fn run_http1(
    connection: impl Future<Output = hyper::Result<()>>,
    pool: Weak<Pool>,
    origin: Origin,
    state: Arc<ConnectionState>,
) {
    log_end(connection.await);
    if let Some(pool) = pool.upgrade() {
        pool.remove(&origin, &state);
    }
}

/// Runs an HTTP/2 connection to its end. It is left to end when it has been idle for [`POOL_IDLE`].
pub(crate) async fn run_http2(
    connection: impl Future<Output = hyper::Result<()>>,
    pool: Weak<Pool>,
    origin: Origin,
    state: Arc<ConnectionState>,
) {
    let mut connection = std::pin::pin!(connection);
    let mut check = interval_at(Instant::now() + POOL_IDLE, POOL_IDLE / 4);
    loop {
        tokio::select! {
            ended = &mut connection => {
                log_end(ended);
                break;
            }
            _ = check.tick() => match pool.upgrade() {
                Some(pool) => pool.expire(&origin, &state),
                None => continue,
            },
        }
    }
    if let Some(pool) = pool.upgrade() {
        pool.remove(&origin, &state);
    }
}

/// Requests on the connection say themselves what has become of them.
fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection to a receiver broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sending::opening::Opened;
    use crate::delivery::sending::stream::ReceiverStream;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{DuplexStream, duplex};

    fn origin() -> Origin {
        "http://hooks.example".into()
    }

    /// An open HTTP/1 connection that is ready, and the receiver's side of it.
    async fn open(pool: &Arc<Pool>) -> (PooledConnection, DuplexStream) {
        let (ours, theirs) = duplex(1_024);
        let stream = ReceiverStream::new(ours, false, Opened::default());
        let state = stream.state();
        let (mut sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(run_http1(connection, Arc::downgrade(pool), origin(), state.clone()));
        sender.ready().await.unwrap();
        let sender = RequestSender::Http1(sender);
        (PooledConnection { sender, state, origin: origin() }, theirs)
    }

    fn waiting(pool: &Arc<Pool>) -> Waiting {
        pool.take(&origin()).err().expect("no connection is idle")
    }

    #[tokio::test]
    async fn a_connection_that_comes_back_goes_to_the_first_request_that_waits() {
        let pool = Arc::<Pool>::default();
        let (left, mut first, mut second) = (waiting(&pool), waiting(&pool), waiting(&pool));
        drop(left);
        let (connection, _theirs) = open(&pool).await;
        let state = connection.state.clone();
        pool.put(connection);
        let connection = first.connection().await;
        assert!(Arc::ptr_eq(&connection.state, &state));
        pool.put(connection);
        let connection = second.connection().await;
        assert!(Arc::ptr_eq(&connection.state, &state));
    }

    #[tokio::test]
    async fn a_connection_given_to_a_request_that_ends_at_this_moment_is_not_lost() {
        let pool = Arc::<Pool>::default();
        let waiting = waiting(&pool);
        let (connection, _theirs) = open(&pool).await;
        let state = connection.state.clone();
        pool.put(connection);
        drop(waiting);
        let connection = pool.take(&origin()).ok().expect("it is idle");
        assert!(Arc::ptr_eq(&connection.state, &state));
    }

    #[tokio::test]
    async fn the_connection_used_last_is_used_next_and_no_more_are_kept_than_may_be_idle() {
        let pool = Arc::<Pool>::default();
        let mut theirs = Vec::new();
        for _ in 0..=POOL_IDLE_PER_HOST {
            let (connection, end) = open(&pool).await;
            theirs.push((connection.state.clone(), end));
            pool.put(connection);
        }
        let mut states = Vec::new();
        while let Ok(connection) = pool.take(&origin()) {
            states.push(connection.state);
        }
        let expected = theirs.iter().take(POOL_IDLE_PER_HOST).rev();
        assert!(states.iter().map(Arc::as_ptr).eq(expected.map(|(state, _)| Arc::as_ptr(state))));
    }

    #[tokio::test]
    async fn nothing_is_left_of_an_origin_without_connections() {
        let pool = Arc::<Pool>::default();
        drop(waiting(&pool));
        assert_eq!(pool.origins(), 0);
        let (connection, theirs) = open(&pool).await;
        pool.put(connection);
        assert_eq!(pool.origins(), 1);
        // The receiver closes it.
        drop(theirs);
        while pool.origins() > 0 {
            tokio::task::yield_now().await;
        }
        // And one that is in use meanwhile.
        let (connection, theirs) = open(&pool).await;
        drop(theirs);
        let RequestSender::Http1(sender) = &connection.sender else { unreachable!() };
        while !sender.is_closed() {
            tokio::task::yield_now().await;
        }
        pool.put(connection);
        assert_eq!(pool.origins(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_connection_is_shared_and_ends_when_it_is_idle() {
        let pool = Arc::<Pool>::default();
        let mut waiting = waiting(&pool);
        let (ours, _theirs) = duplex(1_024);
        let stream = ReceiverStream::new(ours, true, Opened::default());
        let state = stream.state();
        let builder = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let running = tokio::spawn(run_http2(connection, Arc::downgrade(&pool), origin(), state.clone()));
        let opened = pool.share(&origin(), sender.clone(), state.clone());
        assert!(Arc::ptr_eq(&waiting.connection().await.state, &state));
        let other = ReceiverStream::new(duplex(1).0, true, Opened::default()).state();
        let kept = pool.share(&origin(), sender.clone(), other);
        assert!(Arc::ptr_eq(&kept.state, &state), "the first one is shared");
        drop((waiting, sender, opened, kept));
        tokio::time::advance(POOL_IDLE * 3 / 4).await;
        drop(pool.take(&origin()).ok().expect("it is shared"));
        tokio::time::advance(POOL_IDLE * 3 / 4).await;
        drop(pool.take(&origin()).ok().expect("it was used in the meantime"));
        running.await.unwrap();
        assert_eq!(pool.origins(), 0);
    }
}
