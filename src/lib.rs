//! Postrider delivers webhooks. A product posts an event; Postrider fans it out to the endpoints that
//! subscribe to it, signs each request, sends it, retries with backoff and logs every attempt. One process
//! on one SQLite file, or one or several on a PostgreSQL database.
//!
//! This page is the map of the source. `docs/architecture.md` is its long form.
//!
//! # The log is the queue
//!
//! A *delivery* is one event to one endpoint: a chain of *attempts*. An attempt is one HTTP request and one
//! row of one table. The row is inserted as `pending` when the event is accepted or a retry is scheduled, and
//! updated in place when the request has finished. The `pending` rows are the queue; the others are the log.
//! Nothing is stored twice, so nothing has to be reconciled, and after a crash the queue is still there.
//!
//! When attempt n fails and a retry is due, one transaction marks row n `failed` and inserts row n+1
//! `pending`. When no retry is left, row n becomes `exhausted`. So exactly one row of a delivery is not
//! `failed`, and statistics read only those rows. One pure function decides all of this:
//! [`domain::attempts::transition::apply`].
//!
//! # The life of a delivery
//!
//! 1. `POST /v1/events` ([`http::v1`]) requires a caller with a scope ([`http::request::auth`]) and passes the
//!    payload's bytes, unparsed, to [`service::events`].
//! 2. [`store::EventStore::event_insert`] inserts the event and one pending attempt for each subscribed
//!    endpoint ([`domain::pattern`]). Many such commands share one commit and one fsync (the writer in each
//!    backend's `engine`). The 202 is sent after it.
//! 3. [`delivery::scheduling`] is notified of the new attempts: on the node that holds the endpoint's shard
//!    ([`cluster::ownership`]; without other nodes this one holds all). It holds a bounded window of the queue for each
//!    endpoint and serves endpoints in turn. A lost notification costs time only: the table is polled too.
//! 4. [`delivery::courier`] loads the attempt; [`delivery::sending`] checks every address that the host resolves
//!    to, signs, and makes one request under one deadline.
//! 5. [`store::QueueStore::attempt_finish`] asks the transition function and commits, in one transaction, the
//!    row, request and response, the next row, the endpoint's failure counter, the roll-ups, and the
//!    consequences of a disabling. A result is never dropped: while it cannot be committed it is retried.
//! 6. A retry is a pending row with a later `due_at` ([`domain::attempts::retry`]); it continues at step 3.
//!
//! # Rooms
//!
//! ```text
//! main, cli ─▶ app ─┬▶ http ────▶ service ─┬▶ cluster ─▶ store ─▶ domain
//!                   ├▶ upkeep ─────────────┤
//!                   └▶ delivery ───────────┘            host, config, trace: below everything that needs them
//! ```
//!
//! | room | what lives there | it must not |
//! |---|---|---|
//! | [`domain`] | types and rules | use async, I/O, HTTP or SQL |
//! | [`store`] | traits: one method, one transaction; two backends implement them | expose SQL types |
//! | [`cluster`] | what a node knows of the others: leases, signals, leadership | know what is sent, or how |
//! | [`service`] | the use cases, once for all surfaces | know HTTP or SQL |
//! | [`delivery`] | what is due, and one request | know HTTP surfaces or services |
//! | [`http`] | transport, reading requests, documents, and the thin surfaces `v1`, `v0`, `admin` | use storage |
//! | [`export`] | CSV, XLSX and JSON Lines over pages of the store | hold a whole log in memory |
//! | [`upkeep`] | retention, alerts, backup, restore | know HTTP surfaces or services |
//! | [`app`] | starts and stops everything, in order | decide anything |
//! | [`cli`], [`demo`] | the command line, one file a command; a sample server with a receiver | |
//! | [`doctor`] | checks the machine and the connection to an endpoint | change anything |
//! | [`mod@bench`] | measures this machine with a temporary server, load generator and receiver | run in the server |
//! | [`config`], [`trace`] | typed settings; logs and spans | |
//! | [`host`] | clock, data directory, disk, process, encryption at rest, meters | know events or endpoints |
//! | [`metrics`] | the text of `/metrics` | take a lock for each attempt |
//!
//! Within a backend: `engine`, `people`, `queue`, `log`, `upkeep`, and on PostgreSQL `nodes`, each of which may use
//! those before it. `store/shared` has what both backends have in common; neither names the other one.
//!
//! `tests/it/tidy` reads the source and fails when a room uses what it may not.
//!
//! # Invariants
//!
//! * **At least once.** A 202 means fsynced; a result is committed before anything is forgotten.
//! * **Bytes are bytes.** A payload is stored, signed and sent as it came; nothing serializes it again.
//! * **No address unchecked.** Literal or resolved, before every attempt, and again when connecting.
//! * **Time is a parameter.** Only [`host::clock`] reads it, so tests drive every rule about time.
//! * **Secrets stay secret.** Encrypted at rest ([`host::vault`]), masked in the log, absent from log lines.
//! * **SQL stays in its backend.** Nothing above the traits of [`store`] names rusqlite or tokio-postgres, and
//!   only [`store::location`] names a backend.
//!
//! # API boundaries
//!
//! [`store`]'s traits (several backends implement them), [`service`] (several surfaces call it), and the
//! documents of `/v1`, `/api/v0` and `/admin/api` (clients are generated from them) change on purpose only.

pub mod app;
pub mod bench;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod doctor;
pub mod domain;
pub mod export;
pub mod host;
pub mod http;
pub mod metrics;
pub mod service;
pub mod store;
pub mod trace;
pub mod upkeep;
