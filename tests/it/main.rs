//! Integration tests, in one binary; the tree mirrors the parts of the program.

mod admin;
mod backups;
mod cli;
mod cluster;
mod delivery;
mod dispatcher;
mod export;
mod jobs;
mod metrics;
mod nodes;
mod openapi;
mod operations;
mod outage;
mod process;
mod retention;
mod security;
mod sender;
mod sources;
mod store;
mod stream;
mod support;
mod tidy;
mod v0;
mod v1;
