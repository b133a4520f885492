//! The one place where the node reads clocks.

use entente_consensus::Now;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time since the node started, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts counting.
    #[must_use]
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Both clocks in milliseconds.
    #[must_use]
    pub(crate) fn now(&self) -> Now {
        Now { elapsed: millis(self.started.elapsed()), unix: millis(unix_time()) }
    }

    /// Seconds since 1970.
    #[must_use]
    pub(crate) fn unix_seconds(&self) -> u64 {
        unix_time().as_secs()
    }

    /// The instant that `Now::elapsed` will be this many milliseconds.
    #[must_use]
    pub(crate) fn instant_at(&self, elapsed: u64) -> Instant {
        self.started + Duration::from_millis(elapsed)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the host's clock")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
