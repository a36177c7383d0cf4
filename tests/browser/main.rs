//! The dashboard in a real browser: Debian's chromium, driven through chromedriver.
//!
//! Each test has a server of its own in this process and a browser with nothing remembered; what a person
//! does (clicks, keys) goes through the browser, what the world does (events, receivers that break) goes
//! through [`support`], which is that of the integration tests.
//!
//! * [`driver`]: starts chromedriver once and lets it end with this process.
//! * [`page`]: one browser; finds what a person would find, waits for it, never sleeps.
//! * [`stage`]: the server, its people and a receiver.
//!
//! A test closes its page at the end, which fails if the page has complained: an error in the console, a violation of
//! the Content-Security-Policy, an exception.

#[path = "../it/support/mod.rs"]
mod support;

mod driver;
mod page;
mod stage;

mod alerts;
mod base_path;
mod bodies;
mod docs;
mod every_page;
mod export;
mod first_rows;
mod hostile;
mod integrations;
mod keyboard;
mod live;
mod log_address;
mod many_webhooks;
mod nodes;
mod outages;
mod overview;
mod protection;
mod recovery;
mod roles;
mod rows;
mod screenshots;
mod secrets;
mod shaping;
mod signing_in;
mod sources;
mod trouble;
mod troubleshooting;
mod verifying;
mod weight;
