//! The address that the server listens on: an IP address and a port, or a Unix socket.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The prefix of a Unix socket.
const UNIX: &str = "unix:";

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Listen {
    /// The address for programs on this machine: loopback for an unspecified address.
    pub fn local(&self) -> Listen {
        match self {
            Listen::Tcp(address) if address.ip().is_unspecified() => {
                let loopback = match address {
                    SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                Listen::Tcp(SocketAddr::new(loopback, address.port()))
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = ();

    fn from_str(text: &str) -> Result<Listen, ()> {
        match text.strip_prefix(UNIX) {
            Some("") => Err(()),
            Some(path) => Ok(Listen::Unix(path.into())),
            None => {
                // Short forms that other servers take: all IPv4 addresses, and loopback.
                let short = [("", Ipv4Addr::UNSPECIFIED), ("localhost", Ipv4Addr::LOCALHOST)];
                let address = text.rsplit_once(':').and_then(|(host, port)| {
                    let (_, address) = short.iter().find(|(name, _)| host.eq_ignore_ascii_case(name))?;
                    Some(SocketAddr::from((*address, port.parse().ok()?)))
                });
                address.map_or_else(|| text.parse().map_err(|_| ()), Ok).map(Listen::Tcp)
            }
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen::Tcp(address)
    }
}

impl From<([u8; 4], u16)> for Listen {
    fn from(address: ([u8; 4], u16)) -> Listen {
        Listen::Tcp(address.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_socket_reads_back_as_it_was_written() {
        for text in ["127.0.0.1:8080", "[::]:80", "unix:/run/postrider.sock", "unix:relative"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for (text, full) in [(":8080", "0.0.0.0:8080"), ("localhost:80", "127.0.0.1:80")] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), full);
        }
        for text in ["", "8080", "unix:", "host:80", "/run/postrider.sock", ":", "localhost:"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
