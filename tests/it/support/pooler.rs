//! A PgBouncer of one test, between nodes and the database of the test, on a Unix socket. It ends with the test.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::postgres::{Database, ordinary_user};

/// The pooler.
pub(crate) struct Pooler {
    directory: TempDir,
    child: Child,
}

/// What clients get a session for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    Session,
    /// Prepared statements are lost between transactions.
    Transaction,
    /// Prepared statements go with their client.
    TransactionWithStatements,
}

/// The version of PgBouncer, as (major, minor); says so when there is none.
pub(crate) fn version() -> Option<(u32, u32)> {
    let found = program();
    if found.is_none() {
        eprintln!("skipped: there is no pgbouncer on this machine");
    }
    let said = Command::new(found?).arg("--version").output().expect("pgbouncer tells its version");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let numbers = said.strip_prefix("PgBouncer ").and_then(|text| text.lines().next()?.split_once('.'));
    let (major, rest) = numbers.expect("pgbouncer tells its version");
    let minor = rest.split('.').next().and_then(|minor| minor.parse().ok());
    Some((major.parse().expect("it is a number"), minor.expect("it is a number")))
}

/// Whether it can keep prepared statements; says so when it cannot.
pub(crate) fn keeps_statements() -> bool {
    let Some(version) = version() else { return false };
    if version < (1, 21) {
        eprintln!("skipped: pgbouncer {}.{} has no max_prepared_statements", version.0, version.1);
    }
    version >= (1, 21)
}

fn program() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    // A service of the system, which an ordinary user's PATH does not name.
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    dirs.into_iter().chain(more).map(|dir| dir.join("pgbouncer")).find(|path| path.is_file())
}

impl Pooler {
    /// One that lends up to so many sessions of the database's server.
    pub(crate) fn start(database: &Database, mode: Mode, sessions: u32) -> Pooler {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path();
        let config = config(path, &database.socket_directory(), mode, sessions);
        let write =
            |name: &str, text: &str| std::fs::write(path.join(name), text).expect("it can be written");
        write("pgbouncer.ini", &config);
        write("users.txt", "\"postgres\" \"\"\n");
        let program = program().expect("it was looked for");
        let mut command = match ordinary_user() {
            None => Command::new(&program),
            Some((uid, gid)) => {
                let (owner, group) = (uid.parse().ok(), gid.parse().ok());
                chown(path, owner, group).expect("root may give files away");
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
                command.arg(&program);
                command
            }
        };
        command.arg(path.join("pgbouncer.ini")).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("pgbouncer starts");
        let mut log = BufReader::new(child.stderr.take().expect("it was asked for"));
        let mut said = String::new();
        while !said.contains("process up") {
            assert_ne!(log.read_line(&mut said).expect("it says something"), 0, "it ended: {said}");
        }
        // It stops when nobody reads what it says.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Pooler { directory, child }
    }

    /// How a database is reached through it.
    pub(crate) fn url(&self, database: &Database) -> String {
        format!("postgres://postgres@/{}?host={}&port=6432", database.name(), self.directory.path().display())
    }
}

fn config(directory: &Path, server: &Path, mode: Mode, sessions: u32) -> String {
    let (mode, statements) = match mode {
        Mode::Session => ("session", ""),
        // Older ones know no such setting.
        Mode::Transaction if version() < Some((1, 21)) => ("transaction", ""),
        Mode::Transaction => ("transaction", "max_prepared_statements = 0\n"),
        Mode::TransactionWithStatements => ("transaction", "max_prepared_statements = 200\n"),
    };
    format!(
        "[databases]\n* = host={}\n[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {}\nauth_type = trust\n\
         auth_file = {}/users.txt\npool_mode = {mode}\ndefault_pool_size = {sessions}\nmax_client_conn = 200\n\
         {statements}",
        server.display(),
        directory.display(),
        directory.display()
    )
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
