//! Integration tests, in one binary; the tree mirrors the parts of the program.

mod admin;
mod cli;
mod delivery;
mod dispatcher;
mod export;
mod jobs;
mod operations;
mod process;
mod sender;
mod store;
mod stream;
mod support;
mod tidy;
mod v0;
mod v1;
