//! What takes note of arrivals.

/// Takes note of what arrives at the receiver.
pub(super) trait Arrivals: Send + Sync + 'static {
    /// An event has arrived at a webhook; both as numbers.
    fn arrive(&self, event: usize, endpoint: usize);
}
