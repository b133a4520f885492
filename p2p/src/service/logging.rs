//! Says why connections fail, without letting anybody fill the log.

use crate::{codec::hello::Refusal, handshake::HandshakeError};
use entente_chain::NodeId;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// One line per source and reason in this time.
const QUIET: Duration = Duration::from_secs(60);
/// Sources remembered; beyond them all are quiet until the minute is over.
const SOURCES_MAX: usize = 256;

/// Remembers what was said.
#[derive(Default)]
pub(super) struct FailureLog {
    said: BTreeMap<(String, &'static str), Instant>,
}

impl FailureLog {
    /// Logs a failure: at `warn` what an operator can act on, once; else at `debug`.
    pub(super) fn failed(
        &mut self,
        source: &str,
        dialled: Option<NodeId>,
        failures: u32,
        error: &HandshakeError,
    ) {
        let notable = match error {
            // Two nodes dialled each other at once: one of the connections is meant to fail.
            HandshakeError::Refused(Refusal::Duplicate)
            | HandshakeError::RefusedByPeer(Refusal::Duplicate) => false,
            HandshakeError::Refused(_)
            | HandshakeError::RefusedByPeer(_)
            | HandshakeError::WrongNode { .. }
            | HandshakeError::Unresolved(_) => true,
            HandshakeError::TimedOut
            | HandshakeError::Malformed
            | HandshakeError::Unreachable(_)
            | HandshakeError::Io(_) => dialled.is_some() && failures >= 3,
        };
        if notable && self.first(source, error.label(), Instant::now()) {
            tracing::warn!(source, node = ?dialled, failures, "no session: {error}");
        } else {
            tracing::debug!(source, node = ?dialled, failures, "no session: {error}");
        }
    }

    fn first(&mut self, source: &str, reason: &'static str, now: Instant) -> bool {
        self.said.retain(|_, at| now.duration_since(*at) < QUIET);
        let key = (source.to_owned(), reason);
        if self.said.contains_key(&key) || self.said.len() >= SOURCES_MAX {
            return false;
        }
        self.said.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_per_source_and_minute() {
        let (mut log, now) = (FailureLog::default(), Instant::now());
        assert!(log.first("a", "timed out", now));
        assert!(!log.first("a", "timed out", now));
        assert!(log.first("a", "malformed", now));
        assert!(log.first("b", "timed out", now));
        assert!(log.first("a", "timed out", now + QUIET));
    }

    #[test]
    fn many_sources_do_not_grow_the_memory() {
        let (mut log, now) = (FailureLog::default(), Instant::now());
        let said = (0..1000).filter(|n| log.first(&n.to_string(), "timed out", now)).count();
        assert_eq!(said, SOURCES_MAX);
    }
}
