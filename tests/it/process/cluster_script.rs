//! `packaging/cluster.sh`, used as its page says: nodes are killed, stopped and started, the database goes and comes.

use std::io::Write as _;
use std::process::ChildStdin;

use super::*;
use crate::support::postgres::is_wanted;
use crate::support::programs::is_here;

/// The script while it takes commands. It removes everything when its input ends, also when the test fails.
struct Script {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Script {
    fn start() -> Script {
        let mut child = Command::new("bash")
            .arg("packaging/cluster.sh")
            .arg(env!("CARGO_BIN_EXE_postrider"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .envs([("NODES", "2"), ("LEASE", "3s"), ("WEBHOOKS", "8"), ("PORT", "0")])
            .env("no_proxy", "*")
            .env_remove("POSTRIDER_TEST_STORAGE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("bash starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        Script { child, input, output: BufReader::new(output) }
    }

    /// Reads up to a line with these words.
    fn read_to(&mut self, words: &str) -> String {
        let mut said = String::new();
        while !said.contains(words) {
            let at = said.len();
            let read = self.output.read_line(&mut said).expect("it says something");
            assert!(read > 0, "it ended without saying {words}: {said}");
            assert!(!said[at..].starts_with("missing: "), "{said}");
        }
        said
    }

    fn write(&mut self, command: &str) {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{command}").expect("it takes commands");
    }

    /// A command, and what it says up to a line with these words.
    fn tell(&mut self, command: &str, words: &str) -> String {
        self.write(command);
        self.read_to(words)
    }

    /// Asks for the nodes until they are as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let mut said = String::new();
        // Each question takes some programs their time: this is about a minute.
        for _ in 0..1_000 {
            said = self.tell("status", "\n\n");
            if wanted(&said) {
                return;
            }
        }
        panic!("{what} does not come: {said}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().ok();
    }
}

/// Whether a node of this name has so many shards.
fn holds(said: &str, node: &str, shards: u32) -> bool {
    let of_node = said.lines().find(|line| line.contains(&format!("\"name\":\"{node}\"")));
    of_node.is_some_and(|line| line.contains(&format!("\"shards\":{shards},")))
}

/// An answer with its head.
fn ask(url: &str) -> String {
    let asked =
        Command::new("curl").args(["-si", "-m", "20", "--noproxy", "*", url]).output().expect("curl runs");
    String::from_utf8_lossy(&asked.stdout).into_owned()
}

#[test]
fn the_cluster_to_try_does_what_its_page_says() {
    if !is_wanted() || !is_here("caddy") || !is_here("curl") {
        return;
    }
    let mut script = Script::start();
    let said = script.read_to("help, quit");
    let directory = said.lines().next().and_then(|line| line.rsplit_once(" in ")).expect("it names it").1;
    script.until("an even share", |said| holds(said, "node-1", 128) && holds(said, "node-2", 128));
    script.tell("post 16", "16 of 16 events accepted");

    script.tell("kill 2", "node-2 has ended");
    script.until("the takeover", |said| holds(said, "node-1", 256));
    script.tell("post 16", "16 of 16 events accepted");

    script.tell("start 2", "node-2 is ready");
    script.until("an even share", |said| holds(said, "node-1", 128) && holds(said, "node-2", 128));
    script.tell("stop 1", "node-1 has ended");
    script.tell("post 16", "16 of 16 events accepted");
    script.until("the handover", |said| holds(said, "node-2", 256));

    script.tell("down", "PostgreSQL has stopped");
    script.tell("post 1", "0 of 1 events accepted");
    // Once Caddy has seen it, it answers by itself, as the nodes do.
    let url =
        said.split("curl ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("it shows the API");
    let mut refused = String::new();
    for _ in 0..60 {
        refused = ask(url);
        if refused.contains("No node is ready") {
            break;
        }
    }
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("Retry-After: 2\r\n"), "{refused}");
    assert!(refused.contains("No node is ready"), "{refused}");
    script.tell("up", "PostgreSQL runs");
    while !script.tell("post 1", "of 1 events accepted").contains("1 of 1") {}
    script.until("nothing pending", |said| said.contains("\"in_flight\":0") && holds(said, "node-2", 256));
    script.write("quit");
    assert!(script.child.wait().unwrap().success());
    assert!(!Path::new(directory).exists(), "{directory} is removed");
}
