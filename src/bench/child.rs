//! The server under measurement: this program once more, in a process of its own.

use std::fs::File;
use std::io::{self, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::load;
use crate::host::process::Process as Figures;

/// How long it may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether it is ready.
const LOOK: Duration = Duration::from_millis(10);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("the server could not be started")]
    Start(#[from] io::Error),
    #[error("the server did not start: {0}")]
    Ended(String),
    #[error("a key could not be made: {0}")]
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
        // Neither fails but for a process that has ended and was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program with a data directory and nothing of our environment, which may configure it.
fn program(data: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env_clear().env("POSTRIDER_NETWORK__ALLOW", "127.0.0.0/8").arg("--data").arg(data);
    command.stdin(Stdio::null());
    Ok(command)
}

impl Child {
    /// Starts one in a directory, and waits until it is ready.
    pub(super) async fn start(directory: &Path) -> Result<Child, ChildError> {
        let data = directory.join("data");
        let log = directory.join("log");
        let mut command = program(&data)?;
        command.args(["--listen", "127.0.0.1:0", "serve"]);
        let mut process = command.stdout(Stdio::piped()).stderr(File::create(&log)?).spawn()?;
        let stdout = process.stdout.take().expect("it was asked for");
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
        child.token = make_key(&child.data)?;
        let begun = Instant::now();
        while !load::is_ready(child.address).await {
            if begun.elapsed() > PATIENCE {
                return Err(ChildError::NotReady);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(child)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A key that may do everything.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn figures(&self) -> Figures {
        Figures::of(self.process.id())
    }

    /// Stops it in an orderly way; says how many bytes its database has then.
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
            tokio::time::sleep(LOOK).await;
        }
        Ok(std::fs::metadata(self.data.join(crate::host::data_dir::DATABASE))?.len())
    }
}

/// Where it listens, as it says at its start; what it says after that is let go.
fn address_in(mut said: impl io::BufRead + Send + 'static) -> Option<SocketAddr> {
    let mut line = String::new();
    while said.read_line(&mut line).ok()? > 0 {
        let health = line.trim().strip_prefix("health").map(str::trim_start);
        if let Some(url) = health.and_then(|rest| url::Url::parse(rest).ok()) {
            let _ = std::thread::Builder::new()
                .name("bench-stdout".to_owned())
                .spawn(move || io::copy(&mut said, &mut io::sink()));
            return url.socket_addrs(|| None).ok()?.into_iter().next();
        }
        line.clear();
    }
    None
}

fn make_key(data: &Path) -> Result<String, ChildError> {
    let made =
        program(data)?.args(["key", "create", "--name", "bench", "--scope", "admin", "--json"]).output()?;
    let key: Option<serde_json::Value> = serde_json::from_slice(&made.stdout).ok();
    let token = key.as_ref().and_then(|key| key["token"].as_str());
    token
        .map(str::to_owned)
        .ok_or_else(|| ChildError::Key(String::from_utf8_lossy(&made.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_what_the_server_says() {
        let said = "Postrider 0.1.0\n  data       /d\n  health     http://127.0.0.1:4711/healthz\nmore\n";
        let found = address_in(io::Cursor::new(said));
        assert_eq!(found, Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
        assert_eq!(address_in(io::Cursor::new("error: no\n")), None);
    }
}
