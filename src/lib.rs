//! Postrider delivers webhooks.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod delivery;
pub mod domain;
pub mod http;
pub mod logging;
pub mod service;
pub mod store;
pub mod vault;
