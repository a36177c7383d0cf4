//! A path to the database that can be cut, with a word or without.

use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Whole,
    /// All connections are closed, and new ones are closed at once.
    Cut,
    /// Nothing passes and nobody is told, as when a network drops all packets.
    Silent,
}

/// The path, as a proxy.
pub(super) struct Cable {
    directory: TempDir,
    way: watch::Sender<Way>,
    carrying: JoinHandle<()>,
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl Cable {
    /// A whole one, to the server whose socket is in this directory.
    pub(super) fn new(to: &Path) -> Cable {
        const SOCKET: &str = ".s.PGSQL.5432";
        let (directory, to) = (TempDir::new().unwrap(), to.join(SOCKET));
        let listener = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let way = watch::Sender::new(Way::Whole);
        let ways = way.clone();
        let carrying = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to.clone(), ways.subscribe()));
            }
        });
        Cable { directory, way, carrying }
    }

    pub(super) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// The URL that leads through it.
    pub(super) fn url(&self, direct: &str) -> String {
        let (base, _) = direct.split_once("?host=").unwrap();
        format!("{base}?host={}", self.directory.path().display())
    }
}

async fn carry(near: UnixStream, to: std::path::PathBuf, mut way: watch::Receiver<Way>) {
    let (one, other) = (way.clone(), way.clone());
    let both = async {
        let Ok(far) = UnixStream::connect(to).await else { return };
        let ((near_reads, near_writes), (far_reads, far_writes)) = (near.into_split(), far.into_split());
        // The end of one direction is the end of both.
        tokio::select! {
            () = pass(near_reads, far_writes, one) => {}
            () = pass(far_reads, near_writes, other) => {}
        }
    };
    tokio::select! {
        _ = way.wait_for(|way| *way == Way::Cut) => {}
        () = both => {}
    }
}

async fn pass(
    mut from: tokio::net::unix::OwnedReadHalf,
    mut to: tokio::net::unix::OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if way.wait_for(|way| *way != Way::Silent).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}
