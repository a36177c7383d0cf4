//! The real program with a real clock: started, killed, stopped, and started again.
//!
//! What a rule says is tested elsewhere, in the process and by a fake clock. Here is what only a process
//! of its own shows: what survives `kill -9`, exit codes, file modes, and what goes to stdout and stderr.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::{client, json_body};
use crate::support::{Receiver, Reply, in_time, programs};

mod backup;
mod bench;
mod cluster_script;
mod crash;
mod docs;
mod doctor;
mod files;
mod gallery_pages;
mod greeting;
mod integration_leaks;
mod keys;
mod leaks;
mod listening;
mod logs;
mod mail;
mod moving;
mod packaging;
mod pages;
mod recipes;
mod sending;
mod signals;
mod start;
#[cfg(feature = "otel")]
mod traces;

/// The program, in a directory of its own.
struct Program {
    dir: TempDir,
    /// Its data directory, in the other one.
    data: String,
    /// What else is in its environment.
    env: Vec<(&'static str, String)>,
}

/// The program while it serves. It is killed when the test is over.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    greeting: String,
    base: String,
    client: reqwest::Client,
    token: String,
}

/// A program that is ended with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended long since.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a run that has ended has left.
struct Ended {
    code: Option<i32>,
    stdout: String,
}

impl Program {
    /// With an empty data directory.
    fn new() -> Program {
        let program = Program::empty();
        fs::create_dir(program.path().join("data")).unwrap();
        program
    }

    fn empty() -> Program {
        Program { dir: TempDir::new().unwrap(), data: "data".to_owned(), env: Vec::new() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.path())
            .env_clear()
            .env("POSTRIDER_NETWORK__ALLOW", "127.0.0.0/8")
            .env("POSTRIDER_DATA_DIR", &self.data)
            .env("POSTRIDER_LOG__LEVEL", "debug")
            .env("POSTRIDER_LIMITS__REQUESTS_PER_MINUTE", "0")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end: its code, stdout and stderr.
    async fn run(&self, arguments: &str) -> (Option<i32>, String, String) {
        let output = programs::ended(self.command(arguments)).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Makes a key with the command line.
    async fn key(&self) -> Value {
        let (code, stdout, stderr) = self.run("key create --name test --scope admin --json").await;
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    /// Starts the server on any port and waits until it is ready. Logs are added to the file `log`.
    async fn serve(&self) -> Running {
        self.start(client()).await
    }

    /// The same, asked by a client of another kind.
    async fn serve_for(
        &self,
        kind: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Running {
        // The provider is installed with the first client.
        drop(client());
        self.start(kind(reqwest::Client::builder()).build().unwrap()).await
    }

    async fn start(&self, client: reqwest::Client) -> Running {
        let log = File::options().append(true).create(true).open(self.path().join("log")).unwrap();
        let mut command = self.command("serve --listen 127.0.0.1:0");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let reading = tokio::task::spawn_blocking(move || {
            let mut greeting = String::new();
            while !greeting.contains("/healthz\n") {
                assert_ne!(stdout.read_line(&mut greeting).unwrap(), 0, "it ended: {greeting}");
            }
            (stdout, greeting)
        });
        let (stdout, greeting) = in_time("the greeting", reading).await.unwrap();
        let health = greeting.lines().find_map(|line| line.trim().strip_prefix("health")).unwrap().trim();
        let base = health.strip_suffix("/healthz").unwrap().to_owned();
        let token = self.key().await["token"].as_str().unwrap().to_owned();
        let running = Running { child, stdout, greeting, base, client, token };
        in_time("readiness", async {
            while running.get("/readyz").await != 200 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        running
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap()
    }
}

impl Running {
    async fn get(&self, path: &str) -> u16 {
        self.request(Method::GET, path).send().await.unwrap().status().as_u16()
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    /// POST of a JSON body that must be answered with 2xx.
    async fn post(&self, path: &str, body: Value) -> Value {
        let answer =
            in_time("an answer", json_body(self.request(Method::POST, path), body.to_string()).send());
        let answer = answer.await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// Sends a signal, such as `TERM`.
    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// Waits for its end.
    async fn ended(mut self) -> Ended {
        let waiting = tokio::task::spawn_blocking(move || {
            let code = self.child.wait().unwrap().code();
            let mut stdout = std::mem::take(&mut self.greeting);
            self.stdout.read_to_string(&mut stdout).unwrap();
            Ended { code, stdout }
        });
        in_time("the end of the server", waiting).await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long since.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
