//! What nodes tell each other: NOTIFY and LISTEN.

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::store::postgres::engine::conn::Statements as _;
use crate::store::postgres::engine::error;
use crate::store::postgres::engine::listen::NOTIFY;
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::{NoticeBoard, NoticeListener, Result, StoreError};

const DOING: &str = "telling other nodes";

#[async_trait]
impl NoticeBoard for PostgresStore {
    async fn post(&self, texts: Vec<String>) -> Result<()> {
        match self.voice.speaker() {
            Some(speaker) => speaker.tell(&texts).await.map_err(|e| error::of(DOING, e)),
            None => self.post_aside(texts).await,
        }
    }

    async fn post_aside(&self, texts: Vec<String>) -> Result<()> {
        self.query(DOING, move |conn| async move { conn.rows(NOTIFY, &[&texts]).await.map(|_| ()) }.boxed())
            .await
    }

    async fn listen(&self) -> Result<Box<dyn NoticeListener>> {
        if self.stopped.is_cancelled() {
            return Err(StoreError::Closed);
        }
        let (connector, voice, stopped) = (self.listener.clone(), self.voice.clone(), self.stopped.clone());
        let listening = self.threads().spawn(async move { connector.listen(&voice, stopped).await });
        match listening.await {
            Ok(Ok(listening)) => Ok(Box::new(listening) as Box<dyn NoticeListener>),
            Ok(Err(e)) => Err(error::of("listening to other nodes", error::not_connected(&e))),
            Err(_) => Err(StoreError::Closed),
        }
    }
}
