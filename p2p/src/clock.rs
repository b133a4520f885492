//! The wall clock; only for what is shown and for the estimate of a peer's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds now.
#[expect(clippy::disallowed_methods, reason = "nothing here is agreed upon or decided by it")]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
