//! Apps, keys, users, the activity log, and alerts.

mod activity;
mod alerts;
mod apps;
mod keys;
mod sign_ins;
mod users;

pub use activity::{ActivityEntry, ActivityFilter, ActivityStore};
pub use alerts::{AlertStore, LocalFailures, WatchedEndpoint};
pub use apps::{AppRenamed, AppStore};
pub use keys::KeyStore;
pub use sign_ins::{SignInDecision, SignInLevel, SignInStore};
pub use users::{UserChange, UserStore};
