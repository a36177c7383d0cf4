//! A PostgreSQL of the test's own: one server for each process, started when it is first asked for, and a database for
//! each test. Nothing else on the machine is touched: it runs as an ordinary user, in a temporary directory, on a Unix
//! socket. It ends with the process, however that ends, because a shell waits for the end of a pipe that only this
//! process holds.
//!
//! `POSTRIDER_TEST_STORAGE=postgres` has the suites use it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postrider::domain::Timestamp;
use postrider::store::location::{Location, Purpose, Server};
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// Whether the environment asks for PostgreSQL.
pub(crate) fn is_wanted() -> bool {
    std::env::var("POSTRIDER_TEST_STORAGE").is_ok_and(|name| name == "postgres")
}

/// The name of the database that others are copies of: the schema, and the first app.
const TEMPLATE: &str = "template_postrider";

/// The running server.
struct Cluster {
    directory: PathBuf,
    /// How a database is copied: as files, which takes half as long as through the WAL. Version 14 knows nothing else.
    strategy: &'static str,
    /// Closing it ends the server.
    _pipe: ChildStdin,
}

/// Starts the server, waits until it takes connections, and ends it, with its directory, at the end of stdin. Who is
/// called `with_password` needs one.
const SCRIPT: &str = r#"
set -e
"$1/initdb" -D "$2/data" -U postgres -A trust -N -E UTF8 --locale=C > "$2/initdb.log" 2>&1
sed -i '1i local all with_password scram-sha-256' "$2/data/pg_hba.conf"
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c wal_level=minimal -c max_wal_senders=0 -c max_connections=400 -c shared_buffers=64MB \
    -c autovacuum_naptime=5s -c log_min_messages=fatal > "$2/server.log" 2>&1 < /dev/null &
server=$!
trap '' INT TERM
for try in $(seq 1 300); do
    if "$1/pg_isready" -q -h "$2"; then echo ready; break; fi
    sleep 0.1
done
cat > /dev/null || true
kill -INT $server 2> /dev/null || true
wait $server || true
rm -rf "$2"
"#;

/// Where the programs of PostgreSQL are: the newest version.
pub(super) fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("POSTRIDER_TEST_POSTGRES") {
        return named.into();
    }
    newest().expect("PostgreSQL is installed, or POSTRIDER_TEST_POSTGRES names the directory of its programs")
}

/// Whether PostgreSQL is there, for tests that need it whatever the environment asks for.
pub(crate) fn is_installed() -> bool {
    std::env::var_os("POSTRIDER_TEST_POSTGRES").is_some() || newest().is_some()
}

/// The server's major version.
fn version() -> u32 {
    let told = Command::new(programs().join("postgres")).arg("--version").output().expect("postgres starts");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let number = told.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{told:?} names no version"))
}

fn newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| number(path));
    newest.map(|path| path.join("bin")).filter(|bin| bin.join("postgres").exists())
}

/// The numbers of an ordinary user, which PostgreSQL insists on, when this is root.
pub(super) fn ordinary_user() -> Option<(String, String)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("there is a list of users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("there is a user besides root"))
}

/// Where the server's files are: in memory, where there is room. A database is some hundreds of files that are soon
/// removed, and file systems on disks look for new ones slowly after that (a quarter of all CPU was ext4's search).
fn place() -> PathBuf {
    const MEMORY: &str = "/dev/shm";
    const ROOM: u64 = 2 << 30;
    let has_room = rustix::fs::statvfs(MEMORY).is_ok_and(|found| found.f_bavail * found.f_frsize >= ROOM);
    if has_room { MEMORY.into() } else { std::env::temp_dir() }
}

impl Cluster {
    #[allow(clippy::zombie_processes, reason = "the shell lives for as long as this process")]
    fn start() -> Cluster {
        let directory = TempDir::new_in(place()).expect("a temporary directory can be made").keep();
        let mut command = match ordinary_user() {
            None => Command::new("sh"),
            Some((uid, gid)) => {
                let ids = (uid.parse().ok(), gid.parse().ok());
                std::os::unix::fs::chown(&directory, ids.0, ids.1).expect("root may give files away");
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "sh"]);
                command
            }
        };
        command.arg("-c").arg(SCRIPT).arg("sh").arg(programs()).arg(&directory);
        command.current_dir(&directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a shell can be started");
        let (pipe, told) = (child.stdin.take().expect("it was asked for"), child.stdout.take());
        let mut line = String::new();
        BufReader::new(told.expect("it was asked for"))
            .read_line(&mut line)
            .expect("the shell says something");
        let log = || std::fs::read_to_string(directory.join("server.log")).unwrap_or_default();
        assert_eq!(line.trim(), "ready", "PostgreSQL did not start: {}", log());
        let strategy = if version() >= 15 { "STRATEGY file_copy" } else { "" };
        let cluster = Cluster { directory, strategy, _pipe: pipe };
        cluster.run(&format!("CREATE DATABASE {TEMPLATE}"));
        cluster.make_template();
        cluster
    }

    fn run(&self, sql: &str) {
        self.run_in("postgres", sql);
    }

    /// The schema is made once.
    fn make_template(&self) {
        let days = (0..7).map(|day| super::app::start_time().plus_ms(day * 86_400_000));
        // With the partitions of the days on which tests begin.
        for at in std::iter::once(made_at()).chain(days) {
            let store = Location::Server(self.server(TEMPLATE)).open(Purpose::Command, at);
            let store = store.expect("the schema can be made");
            block_on(async move { store.close().await });
        }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}", self.directory.display())
    }

    fn server(&self, database: &str) -> Server {
        Server { url: self.url(database), listen_url: None, connections: 6 }
    }

    /// Runs statements in a database.
    fn run_in(&self, database: &str, sql: &str) {
        let (url, sql) = (self.url(database), sql.to_owned());
        block_on(async move {
            let (client, connection) =
                tokio_postgres::connect(&url, NoTls).await.expect("the server answers");
            tokio::spawn(connection);
            // The last session in the template may take a moment to end.
            for last in [false, true] {
                match client.batch_execute(&sql).await {
                    Ok(()) => return,
                    Err(error) if last => panic!("{sql}: {error:?}"),
                    Err(_) => {
                        let ends = format!(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{TEMPLATE}'"
                        );
                        client.batch_execute(&ends).await.expect("sessions can be ended");
                    }
                }
            }
        });
    }
}

/// Runs a future wherever this is, also on a runtime.
fn block_on(future: impl Future<Output = ()> + Send + 'static) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(future);
    };
    std::thread::spawn(run).join().expect("what was run did not panic");
}

/// When the first app of every database was made.
fn made_at() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

/// A database of a test; it goes with this.
pub(crate) struct Database {
    name: String,
}

impl Database {
    /// A new one, with the schema and the first app.
    pub(crate) fn new() -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let (name, cluster) = (format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed)), cluster());
        cluster.run(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} {}", cluster.strategy));
        Database { name }
    }

    /// Its name on the server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements in it.
    pub(crate) fn run(&self, sql: &str) {
        cluster().run_in(&self.name, sql);
    }

    /// Ends all sessions and allows no new ones, or allows them again.
    pub(crate) fn allow_connections(&self, is_allowed: bool) {
        cluster().run(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS {is_allowed}", self.name));
        if !is_allowed {
            cluster().run(&format!(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{}'",
                self.name
            ));
        }
    }

    /// The directory of the server's socket.
    pub(crate) fn socket_directory(&self) -> PathBuf {
        cluster().directory.clone()
    }

    /// The rows of a query.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<tokio_postgres::Row> {
        let (client, connection) =
            tokio_postgres::connect(&self.server().url, NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client.query(sql, &[]).await.expect("it is a query")
    }

    /// How it is reached.
    pub(crate) fn server(&self) -> Server {
        cluster().server(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            cluster().run(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
