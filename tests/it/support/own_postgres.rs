//! A PostgreSQL of one test, which the test may stop, kill and start again. Otherwise as [`super::postgres`], and it
//! ends with the process in the same way.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use super::postgres::{ordinary_user, programs};

/// Does what each line of stdin says, and says when it is done.
const SCRIPT: &str = r#"
"$1/initdb" -D "$2/data" -U postgres -A trust -N -E UTF8 --locale=C > "$2/initdb.log" 2>&1 || exit 1
trap '' INT TERM
start() {
    for try in $(seq 1 100); do
        "$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c full_page_writes=off \
            -c max_connections=60 -c shared_buffers=32MB -c log_min_messages=fatal -c log_line_prefix='%p ' \
            >> "$2/server.log" 2>&1 < /dev/null &
        server=$!
        while kill -0 $server 2> /dev/null; do
            if "$1/pg_isready" -q -h "$2"; then return; fi
            sleep 0.1
        done
        # The processes of one that was killed may still end.
        sleep 0.1
    done
}
start "$1" "$2"
echo ready
while read -r order; do
    case $order in
        start) start "$1" "$2" ;;
        *) kill -$order $server 2> /dev/null; wait $server ;;
    esac
    echo done
done
kill -INT $server 2> /dev/null
wait $server
rm -rf "$2"
"#;

/// The server.
pub(crate) struct OwnPostgres {
    directory: PathBuf,
    /// Closing it ends the server.
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl OwnPostgres {
    /// A running one, with an empty database.
    pub(crate) fn start() -> OwnPostgres {
        OwnPostgres::start_with(|_| vec![])
    }

    /// One with something in its environment, made for its directory.
    #[allow(clippy::zombie_processes, reason = "the shell lives for as long as this")]
    pub(crate) fn start_with(env: impl FnOnce(&Path) -> Vec<(String, String)>) -> OwnPostgres {
        let directory = TempDir::new().expect("a temporary directory can be made").keep();
        let mut command = match ordinary_user() {
            None => Command::new("bash"),
            Some((uid, gid)) => {
                let ids = (uid.parse().ok(), gid.parse().ok());
                std::os::unix::fs::chown(&directory, ids.0, ids.1).expect("root may give files away");
                let mut command = Command::new("setpriv");
                command.args([
                    &format!("--reuid={uid}"),
                    &format!("--regid={gid}"),
                    "--clear-groups",
                    "bash",
                ]);
                command
            }
        };
        command.arg("-c").arg(SCRIPT).arg("bash").arg(programs()).arg(&directory);
        command.envs(env(&directory));
        command.current_dir(&directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a shell can be started");
        let orders = child.stdin.take().expect("it was asked for");
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut own = OwnPostgres { directory, orders, answers };
        own.hear("ready");
        own
    }

    /// How it is reached.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@/postgres?host={}", self.directory.display())
    }

    /// What it has logged; lines begin with the process.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("server.log")).expect("it has a log")
    }

    /// Ends it in order, and all sessions with it.
    pub(crate) fn stop(&mut self) {
        self.order("INT");
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.order("KILL");
    }

    /// Starts it again, and waits until it takes connections.
    pub(crate) fn begin(&mut self) {
        self.order("start");
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the shell runs");
        self.hear("done");
    }

    fn hear(&mut self, wanted: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the shell says something");
        let log = || std::fs::read_to_string(self.directory.join("server.log")).unwrap_or_default();
        assert_eq!(line.trim(), wanted, "PostgreSQL did not do it: {}", log());
    }
}
