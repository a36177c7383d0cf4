//! Connections: what a URL means, how a connection is set up, and what is said when there is none.

use std::net::IpAddr;
use std::str::FromStr as _;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio::time::{Instant, timeout};
use tokio_postgres::NoTls;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{self, DbError, DbResult, ErrorClass, cause_of};
use crate::store::postgres::engine::listen::{Listening, Voice};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::tls::{Tls, Verify};
use crate::store::{Result, StoreError};

/// How long a server may take to accept a connection. Short, because all goes on soon after one is reached again.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a connection may hear nothing before it counts as lost: a machine may go, or a network be cut, without
/// a word.
const SILENCE: Duration = Duration::from_secs(5);
/// How long an unreachable server is waited for at the start, and how often it is tried.
const START: Duration = Duration::from_secs(30);
const TRY_EVERY: Duration = Duration::from_millis(500);
/// Connections besides those for reading and writing.
pub(super) const LEASE_CONNECTIONS: i64 = 2;
/// The words of `sslmode`.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
/// The oldest server that is supported.
const SERVER_LEAST: i32 = 140_000;

/// Every session: commits are durable, nobody waits for a lock forever, and short statements are not compiled. Tables
/// are joined in the order in which statements name them, along indexes: what the server knows of the size of tables
/// that fill and empty within a second is wrong.
const SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '10s'; SET jit = off; \
     SET join_collapse_limit = 1; SET enable_seqscan = off; \
     SET idle_in_transaction_session_timeout = '60s'; SET timezone = 'UTC'; SET client_min_messages = warning";

/// How many connections the server allows this user in this database.
macro_rules! connections_allowed {
    () => {
        "(SELECT least(current_setting('max_connections')::int \
             - current_setting('superuser_reserved_connections')::int \
             - coalesce(current_setting('reserved_connections', true)::int, 0), \
             CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit END, \
             CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit END)::bigint \
         FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = session_user)"
    };
}
pub(super) use connections_allowed;

/// Opens connections to one database.
#[derive(Clone)]
pub(crate) struct Connector {
    /// The key of the configuration that holds the URL.
    key: &'static str,
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: Option<Tls>,
}

impl Connector {
    /// Reads the URL of a key, such as `postgres://user@host/db?sslmode=verify-full`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with a sentence; the URL is not in it, because it may hold a password.
    pub(crate) fn of_url(key: &'static str, text: &str) -> Result<Connector> {
        let refused = |what: String| StoreError::Refused { what: format!("{key} {what}") };
        let (text, mode, roots) = split(text).map_err(refused)?;
        let mut config = tokio_postgres::Config::from_str(&text).map_err(|e| refused(cause_of(&e)))?;
        if config.get_hosts().is_empty() {
            return Err(refused("names no host; for a Unix socket add ?host=/run/postgresql".to_owned()));
        }
        config.connect_timeout(CONNECT);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        if !text.contains("keepalives") {
            config.keepalives_idle(SILENCE);
            config.keepalives_interval(Duration::from_secs(2));
            config.keepalives_retries(3);
        }
        if config.get_application_name().is_none() {
            config.application_name("postrider");
        }
        let is_near = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            _ => true,
        };
        if mode.is_none() && !config.get_hosts().iter().all(is_near) {
            tracing::warn!(
                "{key} has no sslmode, so the connection may be readable by others; use verify-full"
            );
        }
        let is_socket = config.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_)));
        let (ssl, verify) = match mode.as_deref() {
            Some(word) if !SSL_MODES.contains(&word) => {
                return Err(refused(format!("has an sslmode that is not one of {}", SSL_MODES.join(", "))));
            }
            Some("disable") => (SslMode::Disable, None),
            _ if is_socket => (SslMode::Disable, None),
            None | Some("allow" | "prefer") => (SslMode::Prefer, Some(Verify::Nothing)),
            Some("require") => (SslMode::Require, Some(Verify::Nothing)),
            Some("verify-ca") => (SslMode::Require, Some(Verify::Authority)),
            Some(_) => (SslMode::Require, Some(Verify::Full)),
        };
        config.ssl_mode(ssl);
        let tls = verify.map(|verify| Tls::new(verify, roots.as_deref())).transpose().map_err(refused)?;
        Ok(Connector { key, config, tls })
    }

    fn manager(&self) -> Manager {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), settings),
            None => Manager::from_config(self.config.clone(), NoTls, settings),
        }
    }

    /// A connection that is set up.
    pub(crate) async fn connect(&self) -> DbResult<Conn> {
        let pool = Pool::builder(self.manager()).max_size(1).build();
        let pool = pool.map_err(|e| DbError::NoConnection(e.to_string()))?;
        let conn = Object::take(pool.get().await?);
        conn.script(SESSION).await?;
        Ok(conn)
    }

    /// A connection that listens to other nodes.
    pub(crate) async fn listen(&self, voice: &Voice, stopped: CancellationToken) -> DbResult<Listening> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                Listening::start(client, connection, voice, stopped).await
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                Listening::start(client, connection, voice, stopped).await
            }
        }
    }

    /// A pool of connections that are set up.
    pub(crate) fn pool(&self, most: usize) -> Result<Pool> {
        let set_up = Hook::async_fn(|conn: &mut Conn, _| {
            Box::pin(async move { conn.batch_execute(SESSION).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(self.manager()).max_size(most).post_create(set_up).build();
        pool.map_err(|e| StoreError::Failed { doing: "opening the readers", source: Box::new(e) })
    }

    /// The first two of so many connections: waits for a server that cannot be reached, and says what to change where
    /// waiting does not help.
    pub(crate) async fn connect_first(&self, connections: usize) -> Result<(Conn, Conn)> {
        let begun = Instant::now();
        let mut is_told = false;
        loop {
            let error = match self.try_first(connections).await {
                Ok(Ok(both)) => return Ok(both),
                Ok(Err(what)) => return Err(StoreError::Refused { what }),
                Err(error) => error,
            };
            if let Some(what) = self.refusal(&error) {
                return Err(StoreError::Refused { what });
            }
            if error::classify(&error) == ErrorClass::Other {
                return Err(error::of("looking at the database", error));
            }
            if begun.elapsed() >= START {
                return Err(StoreError::Unreachable { what: told(&error) });
            }
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(error = %cause_of(&error), "the database cannot be reached; waiting for it");
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Two connections, or what must change before the server can be used.
    async fn try_first(&self, connections: usize) -> DbResult<std::result::Result<(Conn, Conn), String>> {
        let conn = self.connect().await?;
        if let Some(what) = unfit(&conn, connections).await? {
            return Ok(Err(what));
        }
        let other = self.connect_besides(&conn).await?;
        Ok(Ok((conn, other)))
    }

    /// Another connection, which need not be another session: a pooler may lend sessions for single transactions.
    pub(super) async fn connect_besides(&self, conn: &Conn) -> DbResult<Conn> {
        let other = self.connect().await?;
        match timeout(2 * CONNECT, keeps_statements(conn, &other)).await {
            Ok(proven) => proven.map(|()| other),
            Err(_) => Err(DbError::NoConnection(
                "no second session is to be had; from a pooler each node needs storage.connections and two more"
                    .to_owned(),
            )),
        }
    }

    /// Looks whether the server lets this in. One that cannot be reached is tried again later by who needs it.
    pub(crate) async fn try_once(&self) -> Result<()> {
        match self.connect().await.err().and_then(|error| self.refusal(&error)) {
            Some(what) => Err(StoreError::Refused { what }),
            None => Ok(()),
        }
    }

    /// Why waiting does not help, and what to change.
    pub(super) fn refusal(&self, error: &DbError) -> Option<String> {
        let DbError::Postgres(error) = error else { return None };
        let (key, cause) = (self.key, cause_of(error));
        let advice = match error.code().map(SqlState::code) {
            _ if cause.contains("pg_hba.conf") => {
                format!(
                    "let this machine in (pg_hba.conf), or correct the user, the database or sslmode in {key}"
                )
            }
            Some("28P01" | "28000") => format!("check the user and the password in {key}"),
            Some("3D000") => format!("create the database, or correct its name in {key}"),
            // A statement is not there, or another client's is: sessions are lent, and statements do not go with them.
            Some("26000" | "42P05") => {
                return Some(format!(
                    "{key} leads to a pooler in transaction mode that loses prepared statements ({cause}); set \
                     max_prepared_statements there (PgBouncer 1.21 or newer), or use its session mode"
                ));
            }
            _ if cause.contains("statement pooling mode") => {
                return Some(format!(
                    "{key} leads to a pooler in statement mode, which has no transactions; use its session mode"
                ));
            }
            Some("42501") => "grant the user the rights to connect and to create tables".to_owned(),
            // What the driver says before the server has let it in.
            None if cause.ends_with("password missing") => format!("put the user's password into {key}"),
            None if cause.ends_with("server does not support TLS") => {
                format!("switch TLS on there (ssl = on), or change sslmode in {key}")
            }
            None if is_bad_certificate(error) => format!("check sslmode and sslrootcert in {key}"),
            _ => return None,
        };
        Some(format!("the database refuses: {cause}; {advice}"))
    }
}

/// Whether the server's certificate was not accepted.
fn is_bad_certificate(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let of_io = error.downcast_ref::<std::io::Error>();
        if of_io.is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Takes `sslmode` and `sslrootcert` out of a URL: the driver knows neither `verify-ca` nor `verify-full`.
fn split(text: &str) -> std::result::Result<(String, Option<String>, Option<String>), String> {
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err("must begin with postgres://".to_owned());
    }
    let Some((base, query)) = text.split_once('?') else { return Ok((text.to_owned(), None, None)) };
    let (mut mode, mut roots) = (None, None);
    let mut rest: Vec<String> = Vec::new();
    // Hosts separated by commas are no URL to a URL parser, but the query is one anywhere.
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let parsed = Url::parse(&format!("x:?{pair}")).map_err(|e| e.to_string())?;
        let found = parsed.query_pairs().next().map(|(name, value)| (name.into_owned(), value.into_owned()));
        match found {
            Some((name, value)) if name == "sslmode" => mode = Some(value),
            Some((name, value)) if name == "sslrootcert" => roots = Some(value),
            // The driver takes one host each time.
            Some((name, _)) if name == "host" => {
                let hosts = pair.split_once('=').map_or("", |(_, hosts)| hosts);
                rest.extend(hosts.split(',').map(|host| format!("host={host}")));
            }
            _ => rest.push(pair.to_owned()),
        }
    }
    let rest = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Ok((rest, mode, roots))
}

/// How often it is looked whether sessions are lent: a pooler mostly lends the one that was used last.
const LENT_LOOKS: u32 = 3;

/// Fails where sessions are lent and prepared statements do not go with them.
async fn keeps_statements(conn: &Conn, other: &Conn) -> DbResult<()> {
    const SESSION: &str = "SELECT pg_backend_pid()::bigint AS pid";
    for _ in 0..LENT_LOOKS {
        let before: i64 = conn.row(SESSION, &[]).await?.num("pid")?;
        // Keeps its session until the end of the transaction, so the other one gets a new one.
        other.script("BEGIN").await?;
        other.row(SESSION, &[]).await?;
        let meanwhile: i64 = conn.row(SESSION, &[]).await?.num("pid")?;
        other.script("COMMIT").await?;
        if before != meanwhile {
            return Ok(());
        }
    }
    Ok(())
}

/// Why there was no connection, and what may help.
fn told(error: &DbError) -> String {
    let cause = cause_of(error);
    match error {
        DbError::Postgres(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => format!(
            "{cause}; end other sessions, lower storage.connections of all nodes, or raise max_connections there"
        ),
        _ => cause,
    }
}

const FACTS: &str = concat!(
    "SELECT current_setting('server_version_num')::int AS version, \
     (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS durable, \
     current_user::text AS name, current_schema()::text AS place, \
     coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, ",
    connections_allowed!(),
    " AS room"
);

/// What must change before the server can be used.
async fn unfit(conn: &Conn, connections: usize) -> DbResult<Option<String>> {
    let row = conn.row(FACTS, &[]).await?;
    let (version, room): (i32, i64) = (row.col("version")?, row.num("room")?);
    let (durable, name): (&str, &str) = (row.col("durable")?, row.col("name")?);
    if version < SERVER_LEAST {
        return Ok(Some(format!("the database is PostgreSQL {}; 14 or newer is needed", version / 10_000)));
    }
    if durable == "off" {
        let what = "synchronous_commit is off in the database, so a crash of it would lose what was accepted; \
                    set it to on (ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf())";
        return Ok(Some(what.to_owned()));
    }
    if !row.col::<bool>("may_create")? {
        let place: Option<&str> = row.col("place")?;
        let place = place.unwrap_or("public");
        return Ok(Some(format!(
            "the user {name} may not create tables in the database, which holding the data there needs; grant it \
             (GRANT USAGE, CREATE ON SCHEMA {place} TO \"{name}\")"
        )));
    }
    let wanted = i64::try_from(connections).unwrap_or(i64::MAX).saturating_add(LEASE_CONNECTIONS);
    if wanted > room {
        return Ok(Some(format!(
            "storage.connections is {connections}, with {LEASE_CONNECTIONS} more for leases and notifications, and the \
             database allows {room}; lower it, or raise max_connections there (or the CONNECTION LIMIT of the user or \
             the database)"
        )));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_encryption_are_taken_out_of_a_url() {
        let (rest, mode, roots) = split(
            "postgres://u@a,b/db?sslmode=verify-full&target_session_attrs=read-write&sslrootcert=%2Fca.pem",
        )
        .unwrap();
        assert_eq!(rest, "postgres://u@a,b/db?target_session_attrs=read-write");
        assert_eq!((mode.as_deref(), roots.as_deref()), (Some("verify-full"), Some("/ca.pem")));
        let sockets = Connector::of_url("storage.url", "postgres://u@/db?host=/one,/two").unwrap();
        assert_eq!(sockets.config.get_hosts().len(), 2);
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_showing_it() {
        for url in ["http://secret/", "postgres:///db", "postgres://u:secret@h/db?sslmode=maybe"] {
            let Err(StoreError::Refused { what }) = Connector::of_url("storage.url", url) else {
                panic!("{url}")
            };
            assert!(!what.contains("secret"), "{what}");
        }
        assert!(Connector::of_url("storage.url", "postgres:///db?host=/run/postgresql").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_cannot_be_reached_is_waited_for_and_then_named_as_unreachable() {
        let begun = Instant::now();
        let nowhere = Connector::of_url("storage.url", "postgres://u@/db?host=/nowhere").unwrap();
        let Err(StoreError::Unreachable { what }) = nowhere.connect_first(2).await else { panic!("reached") };
        assert!(what.contains("No such file"), "{what}");
        let waited = begun.elapsed();
        assert!(waited >= START && waited < START + 2 * TRY_EVERY, "{waited:?}");
    }
}
