//! E-mail: one message to a mail server.
//!
//! lettre writes the message and speaks SMTP. The connection and TLS are those of deliveries: the guard checks every
//! address that the host resolves to, and [`client::tls_config`] verifies the certificate. STARTTLS is said before
//! lettre gets the stream, which then looks to it like a server that greets over TLS.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::delivery::sending::client;
use crate::delivery::sending::guard::Guard;
use crate::domain::alert::{Smtp, SmtpTls};
use crate::domain::{Span, Timestamp};

/// The longest reply of a server before TLS, in bytes.
const REPLY_MAX: usize = 8 * 1_024;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    pub text: String,
    pub at: Timestamp,
}

/// Sends messages. Each opens a connection of its own: they are few.
pub(crate) struct Mailer {
    guard: Guard,
    timeout: Span,
    connect_timeout: Span,
    /// Made with the first message, because the certificates of the system are read for it.
    connector: OnceLock<TlsConnector>,
}

impl Mailer {
    /// A mailer that connects to what `guard` allows.
    pub(crate) fn new(guard: Guard, connect_timeout: Span, timeout: Span) -> Mailer {
        Mailer { guard, timeout, connect_timeout, connector: OnceLock::new() }
    }

    /// Sends a message. The error is a sentence.
    pub(crate) async fn send(&self, smtp: &Smtp, password: Option<&str>, mail: &Mail) -> Result<(), String> {
        let (envelope, message) = write(smtp, mail)?;
        let talk = async {
            let stream = self.connect(smtp).await?;
            let hello = hello(&stream);
            let stream = self.secure(smtp, stream, &hello).await?;
            self.speak(smtp, stream, &hello, password, &envelope, &message).await
        };
        match timeout(self.timeout.as_duration(), talk).await {
            Ok(sent) => sent,
            Err(_) => {
                Err(format!("the mail server {} did not take the message within {}", smtp.host, self.timeout))
            }
        }
    }

    /// Connects to an address that the guard has checked.
    async fn connect(&self, smtp: &Smtp) -> Result<TcpStream, String> {
        let found = match smtp.host.parse::<IpAddr>() {
            Ok(address) => {
                let host = SocketAddr::new(address, smtp.port);
                let url = Url::parse(&format!("http://{host}/")).map_err(|error| error.to_string())?;
                self.guard.check_url(&url).await.map_err(|error| error.to_string())?;
                vec![host]
            }
            Err(_) => self.guard.resolve_checked(&smtp.host).await.map_err(|error| error.to_string())?,
        };
        let place = format!("{}:{}", smtp.host, smtp.port);
        let connecting = async {
            let mut failed = String::new();
            for address in found {
                match TcpStream::connect(SocketAddr::new(address.ip(), smtp.port)).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failed = format!("cannot connect to {place}: {error}"),
                }
            }
            Err(failed)
        };
        match timeout(self.connect_timeout.as_duration(), connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("cannot connect to {place} within {}", self.connect_timeout)),
        }
    }

    async fn secure(&self, smtp: &Smtp, mut stream: TcpStream, hello: &ClientId) -> Result<Stream, String> {
        let broken =
            |error: io::Error| format!("the mail server {} closed the connection: {error}", smtp.host);
        let greeting = match smtp.tls {
            SmtpTls::None => return Ok(Stream { inner: Box::new(stream), greeting: vec![] }),
            SmtpTls::Implicit => vec![],
            SmtpTls::Starttls => {
                reply(&mut stream).await.map_err(broken)?;
                stream.write_all(format!("EHLO {hello}\r\n").as_bytes()).await.map_err(broken)?;
                let offers = reply(&mut stream).await.map_err(broken)?;
                let is_offered = offers
                    .lines()
                    .any(|line| line.get(4..).is_some_and(|o| o.eq_ignore_ascii_case("STARTTLS")));
                if !is_offered {
                    return Err(format!(
                        "the mail server {} does not offer STARTTLS; try tls \"implicit\" (port 465)",
                        smtp.host
                    ));
                }
                stream.write_all(b"STARTTLS\r\n").await.map_err(broken)?;
                let answer = reply(&mut stream).await.map_err(broken)?;
                if !answer.starts_with("220") {
                    return Err(format!("the mail server {} refused STARTTLS: {}", smtp.host, answer.trim()));
                }
                b"220 secured\r\n".to_vec()
            }
        };
        let name = ServerName::try_from(smtp.host.trim_end_matches('.').to_owned())
            .map_err(|_| format!("{} is not a name that a certificate can have", smtp.host))?;
        let connector = self.connector.get_or_init(|| {
            let mut config = client::tls_config();
            config.alpn_protocols.clear();
            TlsConnector::from(Arc::new(config))
        });
        let secured = connector.connect(name, stream).await;
        let secured =
            secured.map_err(|error| format!("no TLS with the mail server {}: {error}", smtp.host))?;
        Ok(Stream { inner: Box::new(secured), greeting })
    }

    async fn speak(
        &self,
        smtp: &Smtp,
        stream: Stream,
        hello: &ClientId,
        password: Option<&str>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<(), String> {
        let said = |error: lettre::transport::smtp::Error| format!("the mail server {}: {error}", smtp.host);
        let mut server =
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello).await.map_err(said)?;
        if let Some(user) = &smtp.user {
            let credentials = Credentials::new(user.clone(), password.unwrap_or_default().to_owned());
            server.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(said)?;
        }
        server.send(envelope, message).await.map_err(said)?;
        // The message is taken; how the server says goodbye changes nothing.
        let _ = server.quit().await;
        Ok(())
    }
}

/// What this side calls itself: its address, which needs no name to be set up.
fn hello(stream: &TcpStream) -> ClientId {
    match stream.local_addr().map(|address| address.ip()) {
        Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
        Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
        Err(_) => ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST),
    }
}

/// The message as it is sent, with its envelope.
fn write(smtp: &Smtp, mail: &Mail) -> Result<(Envelope, Vec<u8>), String> {
    let address = |text: &str| -> Result<Address, String> {
        text.parse().map_err(|_| format!("{text} is not an e-mail address"))
    };
    let ms = u64::try_from(mail.at.as_millis()).unwrap_or(0);
    let date = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    let from = address(&smtp.from)?;
    let id = format!("<{}@{}>", uuid::Uuid::new_v4(), from.domain());
    let mut builder =
        Message::builder().from(from.into()).subject(&*mail.subject).date(date).message_id(Some(id));
    for to in &smtp.to {
        builder = builder.to(address(to)?.into());
    }
    // RFC 3834: no out-of-office replies.
    let auto = HeaderName::new_from_ascii_str("Auto-Submitted");
    let message = builder
        .raw_header(HeaderValue::new(auto, "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.clone())
        .map_err(|error| format!("the message cannot be written: {error}"))?;
    Ok((message.envelope().clone(), message.formatted()))
}

/// Reads a reply of one or more lines, byte by byte: what follows it belongs to TLS.
async fn reply(stream: &mut TcpStream) -> io::Result<String> {
    let (mut all, mut line) = (String::new(), Vec::new());
    loop {
        let byte = stream.read_u8().await?;
        line.push(byte);
        if all.len() + line.len() > REPLY_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its reply is too long"));
        }
        if byte == b'\n' {
            let is_last = line.get(3).is_none_or(|b| *b != b'-');
            all.push_str(&String::from_utf8_lossy(&line));
            if is_last {
                return Ok(all);
            }
            line.clear();
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Duplex for T {}

/// A connection, with a greeting that is read before what it has.
#[derive(Debug)]
struct Stream {
    inner: Box<dyn Duplex>,
    greeting: Vec<u8>,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let n = buffer.remaining().min(self.greeting.len());
        let first: Vec<u8> = self.greeting.drain(..n).collect();
        buffer.put_slice(&first);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl AsyncTokioStream for Stream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_ascii_with_its_own_headers_whatever_a_webhook_is_called() {
        let smtp = Smtp {
            host: "mail.example.com".to_owned(),
            port: 587,
            tls: SmtpTls::Starttls,
            user: None,
            from: "postrider@example.com".to_owned(),
            to: vec!["ops@example.com".to_owned(), "b@example.com".to_owned()],
        };
        let at = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        let mail =
            Mail { subject: "Webhook \"Größe\" is failing".to_owned(), text: "Täglich.".to_owned(), at };
        let (envelope, bytes) = write(&smtp, &mail).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.is_ascii(), "{text}");
        for line in [
            "From: postrider@example.com",
            "To: ops@example.com, b@example.com",
            "Auto-Submitted: auto-generated",
        ] {
            assert!(text.contains(&format!("{line}\r\n")), "{text}");
        }
        assert!(text.contains("Date: Sun, 01 Mar 2026 12:00:00 +0000"), "{text}");
        assert!(text.contains("@example.com>\r\n"), "a message id: {text}");
        assert_eq!(envelope.to().len(), 2);
    }
}
