//! Listening sockets: TCP or Unix, opened here or passed by systemd.

use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Who may connect to a Unix socket: owner and group, of which the reverse proxy is made a member.
const SOCKET_MODE: u32 = 0o660;

/// A socket that listens.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

/// A Unix socket. Its file goes with it, if it was made here.
pub struct UnixSocket {
    listener: UnixListener,
    made: Option<PathBuf>,
}

/// A connection that has come in.
pub(crate) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Accepted {
    /// The address of the other end; `None` over a Unix socket.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        match self {
            Accepted::Tcp(_, remote) => Some(remote.ip().to_canonical()),
            Accepted::Unix(_) => None,
        }
    }
}

impl Listener {
    /// Listens at an address.
    pub async fn tcp(address: SocketAddr) -> io::Result<Listener> {
        TcpListener::bind(address).await.map(Listener::Tcp)
    }

    /// Listens at a path. A socket there that nobody listens at any more is replaced; nothing else is.
    pub fn unix(path: &Path) -> io::Result<Listener> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"));
                }
                Err(_) => fs::remove_file(path)?,
            }
        }
        let listener = UnixListener::bind(path)?;
        let made = Some(path.to_owned());
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
        Ok(Listener::Unix(UnixSocket { listener, made }))
    }

    /// Takes a socket that someone else has made, whose file is theirs.
    pub fn inherited_tcp(listener: std::net::TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Listener::Tcp)
    }

    /// The same for a Unix socket.
    pub fn inherited_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        Ok(Listener::Unix(UnixSocket { listener, made: None }))
    }

    /// The address, or `Err` with the path of a Unix socket.
    pub fn address(&self) -> io::Result<Result<SocketAddr, PathBuf>> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(Ok),
            Listener::Unix(socket) => {
                let address = socket.listener.local_addr()?;
                Ok(Err(address.as_pathname().unwrap_or(Path::new("")).to_owned()))
            }
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                // Answers are small and written whole; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream, remote))
            }
            Listener::Unix(socket) => Ok(Accepted::Unix(socket.listener.accept().await?.0)),
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            let _ = fs::remove_file(path);
        }
    }
}
