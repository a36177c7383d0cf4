//! The server as a process: starts it, queries it, kills it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::app::{client, json_body};
use crate::support::in_time;

/// The program and the directory that it works in.
pub(crate) struct Program {
    dir: TempDir,
    /// Where the data directory is; inside the other one unless a test puts it elsewhere.
    pub(crate) disk: PathBuf,
    /// The executable.
    pub(crate) binary: PathBuf,
    env: Vec<(String, String)>,
    client: reqwest::Client,
}

/// The program while it runs. It is killed when the test is over.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) base: String,
    client: reqwest::Client,
    token: String,
    started: Instant,
}

/// The executable: the one that was built with this test, or another build that the environment names.
pub(crate) fn binary() -> PathBuf {
    let other = std::env::var_os("POSTRIDER_FAULTS_BIN").map(|path| std::path::absolute(path).unwrap());
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_postrider").into())
}

impl Program {
    pub(crate) fn new() -> Program {
        let dir = TempDir::new().unwrap();
        let disk = dir.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let mut program = Program { dir, disk, binary: binary(), env: vec![], client: client() };
        program.set("POSTRIDER_NETWORK__ALLOW", "127.0.0.0/8,::1/128");
        program.set("POSTRIDER_LIMITS__REQUESTS_PER_MINUTE", "0");
        program.set("POSTRIDER_DELIVERY__JITTER", "0");
        // Commands do not create it. It is there before a test looks at the disk, as if it were synced.
        fs::create_dir(program.data()).unwrap();
        program
    }

    /// Sets something in its environment.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// What is set in its environment.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// Removes something from its environment.
    pub(crate) fn unset(&mut self, name: &str) {
        self.env.retain(|(known, _)| known != name);
    }

    /// Where a test puts its own files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.disk.join("data")
    }

    /// A command, with its standard error added to the file `log`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        let log = File::options().append(true).create(true).open(self.dir.path().join("log")).unwrap();
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("POSTRIDER_DATA_DIR", self.data())
            .env("POSTRIDER_LOG__LEVEL", "warn")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        command
    }

    /// Runs a command that must succeed; gives its output.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let (code, output) = self.end_of(arguments).await;
        assert_eq!(code, Some(0), "{}", self.log());
        output
    }

    /// Runs a command to its end; gives its exit code and output.
    pub(crate) async fn end_of(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = in_time("the end of the command", output).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// Creates a key with all scopes.
    pub(crate) async fn key(&self) -> String {
        // A test may have mounted another disk since.
        fs::create_dir_all(self.data()).unwrap();
        let made = self.run(&["key", "create", "--name", "faults", "--scope", "admin", "--json"]).await;
        serde_json::from_str::<Value>(&made).unwrap()["token"].as_str().unwrap().to_owned()
    }

    /// Starts the server and returns when it listens, which is before it is ready.
    pub(crate) async fn start(&self, token: &str) -> Running {
        self.start_by(self.command(&["serve", "--listen", "127.0.0.1:0"]), token).await
    }

    /// The same by another command that ends in the server, such as a tracer.
    pub(crate) async fn start_by(&self, mut command: Command, token: &str) -> Running {
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = tokio::sync::oneshot::channel();
        // Read to the end, so that the server never writes to a closed pipe.
        std::thread::spawn(move || {
            let mut tell = Some(tell);
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(health) = line.trim().strip_prefix("health")
                    && let Some(tell) = tell.take()
                {
                    tell.send(health.trim().strip_suffix("/healthz").unwrap().to_owned()).ok();
                }
            }
        });
        let base = in_time("the greeting", told).await;
        let base = base.unwrap_or_else(|_| panic!("it ended: {}", self.log()));
        Running { child, base, client: self.client.clone(), token: token.to_owned(), started }
    }

    /// Starts the server and waits until it is ready; says how long that took.
    pub(crate) async fn serve(&self, token: &str) -> (Running, Duration) {
        let running = self.start(token).await;
        let took = running.ready().await;
        (running, took)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Running {
    /// Waits for `/readyz`; gives the time since the start of the process.
    pub(crate) async fn ready(&self) -> Duration {
        in_time("readiness", async {
            while self.get("/readyz").await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        self.started.elapsed()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    /// Status and body of a GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = in_time("an answer", self.request(Method::GET, path).send()).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Status and body of a POST of JSON.
    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let sent = json_body(self.request(Method::POST, path), body.to_string()).send();
        let answer = in_time("an answer", sent).await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    /// Creates a webhook for the events of one type; gives its id.
    pub(crate) async fn webhook(&self, url: &str, event_type: &str, fields: Value) -> String {
        let mut body = json!({ "url": url, "events": [event_type] });
        for (name, value) in fields.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let (status, made) = self.post("/v1/webhooks", body).await;
        assert_eq!(status, 201, "{made}");
        made["data"]["id"].as_str().unwrap().to_owned()
    }

    /// A figure of `/metrics`; the first one whose line begins so.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("there is no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until nothing is pending.
    pub(crate) async fn drained(&self) {
        in_time("an empty queue", async {
            while self.metric("postrider_queue_depth").await > 0.0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// The peak of its memory so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// The CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let ticks = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
        // A tick is a hundredth of a second on every Linux.
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// The process that this one has started, when it is a tracer.
    pub(crate) fn traced(&self) -> u32 {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        children.trim().parse().unwrap()
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// Waits for its end by itself; gives its exit code.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        let waiting = tokio::task::spawn_blocking(move || self.child.wait().unwrap().code());
        in_time("the end of the server", waiting).await.unwrap()
    }

    /// Sends SIGTERM; the exit code must be 0.
    pub(crate) async fn stop(self) {
        self.signal("TERM");
        assert_eq!(self.ended().await, Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long since.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
