//! A newer version replaces the nodes, one after the other and under load. It has one more migration of the schema;
//! nodes of the version before go on, and restart, beside it.
//!
//! Two versions are two builds, or one: debug builds read further migrations from files. Where the tests themselves are
//! not a debug build, nothing is tried.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::NoTls;

use super::traffic::{Balancing, Traffic};
use super::{Cluster, Hooks, NAMES, arrived, longest_wait, plain, repeated};
use crate::sink::Sink;
use crate::{form, say};

/// Extends what every request and every result writes; programs of the version before may use it.
const EXTENDED: &str = "-- oldest: 1
ALTER TABLE queue ADD COLUMN later bigint NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN later text;
ALTER TABLE events ADD COLUMN later text;
ALTER TABLE endpoints ADD COLUMN later bigint NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN later text NOT NULL DEFAULT '';
CREATE TABLE laters (id bigint PRIMARY KEY, name text NOT NULL);
CREATE INDEX endpoints_later ON endpoints (later) WHERE later > 0;
";
/// Removes something that the version before that would use.
const CONTRACTED: &str = "-- oldest: 2
ALTER TABLE queue DROP COLUMN later;
";

/// What programs lock that bring the schema up to date.
const SCHEMA_LOCK: &str = "SELECT pg_advisory_lock(8101821198635721728)";
/// What any statement locks that reads the queue.
const READS_QUEUE: &str = "BEGIN; LOCK TABLE queue IN ACCESS SHARE MODE";

/// A session that holds a lock for this long.
async fn hold(cluster: &Cluster, sql: &str, how_long: Duration) {
    let (client, connection) =
        tokio_postgres::connect(&cluster.url, NoTls).await.expect("the server answers");
    tokio::spawn(connection);
    client.batch_execute(sql).await.expect("nobody else holds it");
    tokio::spawn(async move {
        // That it lasts is the fault: nothing is waited for.
        tokio::time::sleep(how_long).await;
        drop(client);
    });
}

/// What makes a program of so many more migrations.
fn newer(cluster: &Cluster, files: &[(&str, &str)]) -> Vec<(String, String)> {
    let directory = cluster.program.dir().join(format!("newer-{}", files.len()));
    fs::create_dir(&directory).unwrap();
    for (name, sql) in files {
        fs::write(directory.join(name), sql).unwrap();
    }
    vec![("FAULTS_MIGRATIONS".to_owned(), directory.to_str().unwrap().to_owned())]
}

/// The programs.
struct Versions {
    /// The version before: what the environment names, or this build.
    older: PathBuf,
    /// This build, which is a debug one.
    newer: PathBuf,
}

impl Versions {
    fn of(cluster: &Cluster) -> Versions {
        Versions { older: cluster.program.binary.clone(), newer: env!("CARGO_BIN_EXE_postrider").into() }
    }

    async fn replace(
        &self,
        cluster: &mut Cluster,
        nodes: &super::Nodes,
        at: usize,
        env: &[(String, String)],
    ) {
        nodes.take(at).stop().await;
        self.start(cluster, nodes, at, env).await;
    }

    async fn start(&self, cluster: &mut Cluster, nodes: &super::Nodes, at: usize, env: &[(String, String)]) {
        let binary = if env.is_empty() { &self.older } else { &self.newer };
        cluster.program.binary.clone_from(binary);
        nodes.put(at, cluster.start_with(NAMES[at], env).await);
        cluster.settled(3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_replaces_the_nodes_under_load_and_older_ones_restart_beside_it() {
    if !cfg!(debug_assertions) {
        println!("nodes, upgraded: not tried, because the tests are no debug build");
        return;
    }
    let Some(mut cluster) = Cluster::new().await else { return };
    let versions = Versions::of(&cluster);
    let next = newer(&cluster, &[("V2__extended.sql", EXTENDED)]);
    let after_next = newer(&cluster, &[("V2__extended.sql", EXTENDED), ("V3__contracted.sql", CONTRACTED)]);
    let sink = Sink::start().await;
    let nodes = cluster.three().await;
    let hooks = Hooks::create(&nodes, &sink, 3, plain()).await;
    let mut traffic = Traffic::start(&nodes, Balancing::ToReady, "u", Duration::from_millis(form(40, 15)));
    traffic.more(50).await;
    // The first has to wait: another node changes the schema, it seems, and somebody reads the queue for long.
    let others = form(Duration::from_millis(300), Duration::from_secs(12));
    nodes.take(0).stop().await;
    hold(&cluster, SCHEMA_LOCK, others).await;
    hold(&cluster, READS_QUEUE, others + Duration::from_millis(2_500)).await;
    versions.start(&mut cluster, &nodes, 0, &next).await;
    // One of the version before restarts, and goes on.
    versions.replace(&mut cluster, &nodes, 1, &[]).await;
    traffic.more(50).await;
    versions.replace(&mut cluster, &nodes, 1, &next).await;
    versions.replace(&mut cluster, &nodes, 2, &next).await;
    traffic.more(50).await;
    let posted = traffic.end().await;
    let keys = hooks.all_keys(&posted);
    arrived(&sink, &keys).await;
    cluster.drained().await;
    say(
        "nodes, upgraded",
        format!(
            "three nodes replaced and one of the version before restarted, over a migration of the busiest tables: {} \
             events accepted for {} webhooks each, none refused, none lost, none twice; the longest wait {:.1?}",
            posted.accepted.len(),
            hooks.of_each,
            longest_wait(&sink, &keys),
        ),
    );
    let told = "the database is in use; trying again to bring it up to date";
    assert!(cluster.program.log().contains(told), "{}", cluster.program.log());
    assert_eq!((&posted.refused, &posted.broken), (&vec![], &vec![]));
    assert_eq!(repeated(&sink).len(), 0, "nothing comes twice: {:?}", repeated(&sink));

    // The version after that removes something: it may run beside the version before it, and not beside older ones.
    versions.replace(&mut cluster, &nodes, 0, &after_next).await;
    versions.replace(&mut cluster, &nodes, 1, &next).await;
    let rows = cluster.rows("SELECT version, oldest FROM schema_programs ORDER BY version").await;
    let recorded: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(recorded, [(1, 1), (2, 1), (3, 2)]);
    nodes.stop().await;
    cluster.program.binary = versions.older;
    let (code, _) = cluster.program.end_of(&["serve", "--listen", "127.0.0.1:0"]).await;
    let log = cluster.program.log();
    assert_ne!(code, Some(0));
    let told = "the database has version 3, this program knows up to 1: use a newer postrider";
    assert!(log.contains(told), "{log}");
}
