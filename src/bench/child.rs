//! The measured server: this program in another process.

use std::fs::File;
use std::io::{self, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::load;
use crate::host::process::Process as Figures;

/// Timeout of the start and of the stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// The default of `limits.endpoints_per_app`.
const WEBHOOKS_BY_DEFAULT: usize = 5_000;
/// Interval between checks.
const POLL: Duration = Duration::from_millis(10);

/// The reason why the server failed.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("the server could not be started")]
    Start(#[from] io::Error),
    #[error("the server did not start: {0}")]
    Ended(String),
    #[error("cannot create a key: {0}")]
    Key(String),
    #[error("the server was not ready within {} s", PATIENCE.as_secs())]
    NotReady,
    #[error("the server did not stop within {} s", PATIENCE.as_secs())]
    NotStopped,
}

/// A running server, which is killed when this is dropped.
pub(super) struct Child {
    process: Process,
    data: PathBuf,
    address: SocketAddr,
    token: String,
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How the server differs from one with the default configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChildSettings<'a> {
    /// `retention.logs` and `retention.events`.
    pub(super) retention: Option<&'a str>,
    /// So many webhooks fit into its app, if the default is lower.
    pub(super) webhooks: usize,
}

/// This program with a data directory and an empty environment, which could configure it.
fn program(data: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env_clear().env("POSTRIDER_NETWORK__ALLOW", "127.0.0.0/8").arg("--data").arg(data);
    command.stdin(Stdio::null());
    Ok(command)
}

impl Child {
    /// Starts a server in a directory and waits until it is ready.
    pub(super) async fn start(directory: &Path, settings: ChildSettings<'_>) -> Result<Child, ChildError> {
        let data = directory.join("data");
        let log = directory.join("log");
        let mut command = program(&data)?;
        command.args(["--listen", "127.0.0.1:0", "serve"]);
        if let Some(retention) = settings.retention {
            command.env("POSTRIDER_RETENTION__LOGS", retention).env("POSTRIDER_RETENTION__EVENTS", retention);
        }
        if settings.webhooks > WEBHOOKS_BY_DEFAULT {
            command.env("POSTRIDER_LIMITS__ENDPOINTS_PER_APP", settings.webhooks.to_string());
        }
        // Creating webhooks is not what is measured.
        command.env("POSTRIDER_LIMITS__REQUESTS_PER_MINUTE", "0");
        let mut process = command.stdout(Stdio::piped()).stderr(File::create(&log)?).spawn()?;
        let stdout = process.stdout.take().expect("stdout is piped");
        let found = tokio::task::spawn_blocking(move || address_in(BufReader::new(stdout)));
        let address = found.await.ok().flatten();
        let mut child = Child {
            process,
            data,
            address: address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            token: String::new(),
        };
        if address.is_none() {
            return Err(ChildError::Ended(
                std::fs::read_to_string(&log).unwrap_or_default().trim().to_owned(),
            ));
        }
        child.token = create_key(&child.data)?;
        let begun = Instant::now();
        while !load::is_ready(child.address).await {
            if begun.elapsed() > PATIENCE {
                return Err(ChildError::NotReady);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(child)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A token with scope admin.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn figures(&self) -> Figures {
        Figures::of(self.process.id())
    }

    /// Size of its database and the write-ahead log in bytes.
    pub(super) fn disk_bytes(&self) -> u64 {
        let size = |end: &str| {
            let name = format!("{}{end}", crate::host::data_dir::DATABASE);
            std::fs::metadata(self.data.join(name)).map_or(0, |metadata| metadata.len())
        };
        size("") + size("-wal")
    }

    /// Stops it and returns the size of its database in bytes.
    pub(super) async fn stop(mut self) -> Result<u64, ChildError> {
        let pid = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(io::Error::from)?;
        }
        let begun = Instant::now();
        while self.process.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                return Err(ChildError::NotStopped);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(std::fs::metadata(self.data.join(crate::host::data_dir::DATABASE))?.len())
    }
}

/// The address in the server's greeting; the rest of its output is discarded.
fn address_in(mut output: impl io::BufRead + Send + 'static) -> Option<SocketAddr> {
    let mut line = String::new();
    while output.read_line(&mut line).ok()? > 0 {
        let health = line.trim().strip_prefix("health").map(str::trim_start);
        if let Some(url) = health.and_then(|rest| url::Url::parse(rest).ok()) {
            let _ = std::thread::Builder::new()
                .name("bench-stdout".to_owned())
                .spawn(move || io::copy(&mut output, &mut io::sink()));
            return url.socket_addrs(|| None).ok()?.into_iter().next();
        }
        line.clear();
    }
    None
}

fn create_key(data: &Path) -> Result<String, ChildError> {
    let created =
        program(data)?.args(["key", "create", "--name", "bench", "--scope", "admin", "--json"]).output()?;
    let key: Option<serde_json::Value> = serde_json::from_slice(&created.stdout).ok();
    let token = key.as_ref().and_then(|key| key["token"].as_str());
    token
        .map(str::to_owned)
        .ok_or_else(|| ChildError::Key(String::from_utf8_lossy(&created.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_greeting() {
        let greeting = "Postrider 0.1.0\n  data       /d\n  health     http://127.0.0.1:4711/healthz\nmore\n";
        let found = address_in(io::Cursor::new(greeting));
        assert_eq!(found, Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
        assert_eq!(address_in(io::Cursor::new("error: no\n")), None);
    }
}
