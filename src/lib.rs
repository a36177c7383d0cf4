//! Postrider delivers webhooks. A product posts an event; Postrider fans it out to the endpoints that
//! want it, signs each request, sends it, retries with backoff and logs every attempt. One process, one
//! SQLite file.
//!
//! # The log is the queue
//!
//! A *delivery* is one event on its way to one endpoint: a chain of *attempts*. An attempt is one HTTP
//! request and one row of one table. It is written as `pending` when the event is accepted or a retry is
//! scheduled, and completed in place when the request is done. The rows that are `pending` are the queue;
//! the rest is the log. Nothing is kept twice, so nothing has to be reconciled, and after a crash the
//! queue is simply still there.
//!
//! When attempt n fails and a retry is due, one transaction marks row n `failed` and inserts row n+1
//! `pending`. When none is due, row n becomes `exhausted`. So exactly one row of a delivery is not
//! `failed`, and statistics read just those rows. All of this is said by one pure function:
//! [`domain::transition::apply`].
//!
//! # The life of a delivery
//!
//! 1. `POST /v1/events` ([`http::v1`]) names a caller and a scope ([`http::auth`]) and hands the payload's
//!    bytes, unparsed, to [`service::events`].
//! 2. [`store::EventStore::event_insert`] writes the event and one pending attempt for each endpoint that
//!    wants it ([`domain::pattern`]). Many such commands share one commit and one fsync (the writer in
//!    [`store::sqlite`]). The 202 leaves after it.
//! 3. The new attempts are hinted to [`delivery::dispatcher`], which holds a bounded window of the queue
//!    for each endpoint and serves endpoints in turn. A lost hint costs time only: it asks the table too.
//! 4. [`delivery::courier`] loads the attempt; [`delivery::guard`] judges every address the host resolves
//!    to; [`domain::signature`] signs; [`delivery::sender`] makes one request under one deadline.
//! 5. [`store::QueueStore::attempt_finish`] asks the transition function and writes, in one transaction,
//!    the row, request and response, the next row, the endpoint's failure counter, the roll-ups, and what
//!    a disabling brings with it. The result is never dropped: while it cannot be written it is tried again.
//! 6. A retry is a pending row with a later `due_at` ([`domain::retry`]); it goes on at 3.
//!
//! # Layers
//!
//! ```text
//! main, cli ─▶ app ─┬▶ http ────▶ service ─┬▶ store ─▶ domain
//!                   └▶ delivery ───────────┘
//! ```
//!
//! | layer | what it is for | what it must not do |
//! |---|---|---|
//! | [`domain`] | types and rules | async, I/O, HTTP, SQL |
//! | [`store`] | traits: one method, one intent, one transaction; [`store::sqlite`] is the implementation | let a connection or an SQL type out |
//! | [`service`] | the use cases, once for every surface | know HTTP or SQL |
//! | [`delivery`] | what is due, and one request | know HTTP surfaces or services |
//! | [`http`] | surfaces: translate, and nothing else | reach storage |
//! | [`app`] | starts and stops all of it, in order | decide anything |
//! | [`doctor`] | looks at the machine and at the way to an endpoint | change anything |
//! | [`mod@bench`] | what this machine can do: the server in a process of its own, a load, a receiver | be part of the server |
//! | [`backup`] | made, brought back, by the clock | |
//! | [`alerts`] | looks once a minute, and tells people of troubles | judge by what has just happened |
//! | [`cli`], [`config`], [`data_dir`], [`logging`], [`systemd`] | how an operator meets it | |
//! | [`clock`], [`vault`] | time and chance; encryption at rest | |
//! | [`trace`] | spans, where the program is built with the feature `otel` | cost anything without it |
//! | [`process`], [`throw_away`] | figures of a process; a directory that goes away | |
//! | [`meter`], [`metrics`] | what is counted, by whoever does it; what `/metrics` shows of it | take a lock for each attempt |
//!
//! `tests/it/tidy.rs` reads the `use` lines and fails when a layer names what it may not.
//!
//! # Promises that the code keeps everywhere
//!
//! * **At least once.** A 202 means fsynced; a result is written before anything is forgotten.
//! * **Bytes are bytes.** A payload is stored, signed and sent as it came; nothing serialises it anew.
//! * **No address unjudged.** Literal or resolved, before every attempt, and again when connecting.
//! * **Time is a parameter.** Only [`clock`] asks for it, so every rule about time is driven by tests.
//! * **Secrets stay secret.** Sealed at rest ([`vault`]), masked in the log, absent from log lines.

pub mod alerts;
pub mod app;
pub mod backup;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod delivery;
pub mod demo;
pub mod disk;
pub mod doctor;
pub mod domain;
pub mod export;
pub mod http;
pub mod logging;
pub mod meter;
pub mod metrics;
pub mod process;
pub mod restore;
pub mod retention;
pub mod service;
pub mod store;
pub mod systemd;
pub mod throw_away;
pub mod trace;
pub mod vault;
