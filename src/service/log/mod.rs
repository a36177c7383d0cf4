//! The delivery log as its readers use it: [`deliveries`], [`export`] (workbooks in a process of their own:
//! [`workbooks`]), the [`live`] stream, [`statistics`] and the [`overview`].

pub mod deliveries;
pub mod export;
pub mod live;
pub mod overview;
pub mod statistics;
pub mod workbooks;
