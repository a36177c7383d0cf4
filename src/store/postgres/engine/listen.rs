//! Notifications: a connection that listens, and what is told through it.
//!
//! A transaction that notifies holds a lock of the whole server until it is committed, so all of them would stand in a
//! line for the disk. So these are transactions of their own, without anything else, and wait for no disk.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Connection, Statement};
use tokio_util::sync::CancellationToken;

use crate::store::NoticeListener;
use crate::store::postgres::engine::error::DbResult;

/// What is listened to.
const LISTEN: &str = "LISTEN postrider";
/// The session may be idle for long. Nothing here may do harm to others, to whom a pooler lends the session.
const SESSION: &str = "SET idle_session_timeout = 0; SET tcp_keepalives_idle = 10; \
     SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
/// Waits for no disk. On any connection: the setting ends with the statement.
pub(crate) const NOTIFY: &str = "SELECT set_config('synchronous_commit', 'off', true), pg_notify('postrider', n.text) \
     FROM unnest($1::text[]) AS n (text)";
/// Texts that may wait for who listens; the server keeps the others.
const WAITING: usize = 1_024;

/// The connection that listens, for who tells something through it.
#[derive(Clone, Default)]
pub(crate) struct Voice(Arc<Mutex<Weak<Speaker>>>);

/// A connection, and the statement that tells something.
pub(crate) struct Speaker {
    client: Client,
    notify: Statement,
}

impl Speaker {
    /// Tells all that listen.
    pub(crate) async fn tell(&self, texts: &[String]) -> DbResult<()> {
        Ok(self.client.query(&self.notify, &[&texts]).await.map(|_| ())?)
    }
}

impl Voice {
    /// The connection, as long as somebody listens.
    pub(crate) fn speaker(&self) -> Option<Arc<Speaker>> {
        let speaker = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        speaker.filter(|speaker| !speaker.client.is_closed())
    }

    fn set(&self, speaker: &Arc<Speaker>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(speaker);
    }
}

/// A connection that listens.
pub(crate) struct Listening {
    texts: mpsc::Receiver<String>,
    /// The connection ends with it.
    _speaker: Arc<Speaker>,
}

impl Listening {
    /// Listens on a new connection.
    pub(crate) async fn start<S, T>(
        client: Client,
        connection: Connection<S, T>,
        voice: &Voice,
        stopped: CancellationToken,
    ) -> DbResult<Listening>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, texts) = mpsc::channel(WAITING);
        tokio::spawn(drive(connection, sender, stopped));
        client.batch_execute(SESSION).await?;
        client.batch_execute(LISTEN).await?;
        let notify = client.prepare(NOTIFY).await?;
        let speaker = Arc::new(Speaker { client, notify });
        voice.set(&speaker);
        Ok(Listening { texts, _speaker: speaker })
    }
}

#[async_trait]
impl NoticeListener for Listening {
    async fn next(&mut self) -> Option<String> {
        self.texts.recv().await
    }
}

/// Passes on what arrives, until the connection ends.
async fn drive<S, T>(
    mut connection: Connection<S, T>,
    sender: mpsc::Sender<String>,
    stopped: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let message = tokio::select! {
            message = poll_fn(|context| connection.poll_message(context)) => message,
            () = stopped.cancelled() => return,
        };
        match message {
            Some(Ok(AsyncMessage::Notification(told))) => {
                if sender.send(told.payload().to_owned()).await.is_err() {
                    return;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}
