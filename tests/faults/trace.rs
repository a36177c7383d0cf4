//! The system calls of a short run, as `strace` sees them: every 202 leaves after the WAL that holds its
//! event was synced. This checks the calls that the kernel got; [`crate::power`] checks their consequences.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::load::{Load, type_of};
use crate::program::{Program, binary};
use crate::sink::Sink;
use crate::{form, say};

/// A frame of the WAL: where in the trace its page was written, and whether it ends a transaction.
struct Frame {
    written: usize,
    is_commit: bool,
}

/// A sync of the WAL, from its call to its return.
struct Sync {
    begun: usize,
    ended: usize,
}

#[derive(Default)]
struct Trace {
    frames: Vec<Frame>,
    /// For each name: the place of the first frame with it.
    frame_of: BTreeMap<String, usize>,
    syncs: Vec<Sync>,
    answers: Vec<(String, usize)>,
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// The names in quotation marks that are in a line: in a page they stand in the payload, in an answer behind
/// `resource_id`.
fn names_in(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices(&hex("\"trace-")) {
        let bytes = line[at..].split("\\x").skip(2);
        let mut bytes = bytes.map_while(|two| u8::from_str_radix(two.get(..2)?, 16).ok()).map(char::from);
        let name: String = bytes.by_ref().take_while(|c| *c != '"').collect();
        names.push(name);
    }
    names
}

/// Reads the trace: a line is a call, or the begin or end of one that others came between.
fn read(text: &str) -> Trace {
    let mut trace = Trace::default();
    let mut is_commit = false;
    let mut open_syncs: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let is_wal = call.contains(&format!("{}>", hex("postrider.db-wal")));
        if is_wal && call.starts_with("pwrite64(") {
            let header = call.split_once('"').map(|(_, data)| data).unwrap_or_default();
            if call.contains("\", 24, ") {
                // Page number, then the size of the database after the commit: 0 when it is none.
                is_commit = header.get(16..32) != Some(hex("\0\0\0\0").as_str());
            } else if call.contains("\", 4096, ") {
                trace.frames.push(Frame { written: i, is_commit });
                for name in names_in(header) {
                    trace.frame_of.entry(name).or_insert(trace.frames.len() - 1);
                }
            }
        } else if is_wal && (call.starts_with("fdatasync(") || call.starts_with("fsync(")) {
            if call.contains("<unfinished") {
                open_syncs.insert(thread, i);
            } else if call.contains("= 0") {
                trace.syncs.push(Sync { begun: i, ended: i });
            }
        } else if call.contains("sync resumed>") && call.contains("= 0") {
            if let Some(begun) = open_syncs.remove(thread) {
                trace.syncs.push(Sync { begun, ended: i });
            }
        } else if call.contains(&hex("HTTP/1.1 202")) {
            let mut names = names_in(call);
            names.dedup();
            assert_eq!(names.len(), 1, "an answer names its event");
            trace.answers.push((names.remove(0), i));
        }
    }
    trace
}

impl Trace {
    /// Whether the commit of the event was synced before this place in the trace.
    fn was_synced(&self, name: &str, before: usize) -> bool {
        let Some(frame) = self.frame_of.get(name) else { return false };
        let Some(commit) = self.frames[*frame..].iter().find(|frame| frame.is_commit) else { return false };
        self.syncs.iter().any(|sync| sync.begun > commit.written && sync.ended < before)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_202_leaves_after_the_wal_that_holds_it_was_synced() {
    let probe = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("skipped: strace is not installed, or may not trace here");
        return;
    }
    let program = Program::new();
    let sink = Sink::start().await;
    let token = program.key().await;
    let file = program.dir().join("trace");
    let mut command = program.command(&[]);
    let environment: Vec<_> =
        command.get_envs().map(|(n, v)| (n.to_owned(), v.unwrap().to_owned())).collect();
    command = {
        let mut tracer = Command::new("strace");
        tracer.args(["-f", "-y", "-xx", "-s", "4096", "-e", "signal=none"]);
        tracer.args(["-e", "trace=pwrite64,fsync,fdatasync,write,writev,sendto,sendmsg", "-o"]);
        tracer.arg(&file).arg(binary()).args(["serve", "--listen", "127.0.0.1:0"]);
        tracer.current_dir(program.dir()).env_clear().envs(environment);
        tracer.env("PATH", std::env::var("PATH").unwrap_or_default());
        tracer.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        tracer
    };
    let running = program.start_by(command, &token).await;
    running.ready().await;
    running.webhook(&sink.url("/"), &type_of(0), json!({})).await;
    let mut load = Load::start(&running, "trace");
    load.accepted(form(60, 600)).await;
    let accepted = load.end().await.accepted;
    // The tracer ends when the server does; a signal to the tracer would only detach it.
    Command::new("kill").args(["-TERM", &running.traced().to_string()]).status().unwrap();
    running.ended().await;

    let trace = read(&fs::read_to_string(&file).unwrap());
    assert!(trace.answers.len() >= accepted.len(), "every answer is in the trace");
    for (name, at) in &trace.answers {
        assert!(trace.was_synced(name, *at), "the 202 for {name} left before its commit was synced");
    }
    say(
        "system calls",
        format!(
            "{} answers 202, each after one of {} syncs of the WAL",
            trace.answers.len(),
            trace.syncs.len()
        ),
    );
}
