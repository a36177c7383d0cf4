//! Row numbers: what tables refer to each other by. Nothing outside of storage sees them.

macro_rules! row_numbers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(pub(crate) i64);
    )*};
}
row_numbers!(
    /// Of the table `apps`.
    AppRow,
    /// Of the table `endpoints`.
    EndpointRow,
    /// Of the table `events`.
    EventRow,
    /// Of the table `event_types`.
    TypeRow,
    /// Of the table `jobs`.
    JobRow,
    /// Of the table `sources`.
    SourceRow,
);
