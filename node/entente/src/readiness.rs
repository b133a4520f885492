//! Whether this node should get traffic, and why a chain stands still.

use entente_consensus::EngineStatus;

/// A chain is called stalled after this many times the time a block should take.
const STALLED_AFTER_PERIODS: u64 = 3;
/// Milliseconds added, so that a short period does not cry wolf.
const STALLED_GRACE_MS: u64 = 4_000;

/// Reasons why the node is not ready; empty when it is. How far behind is too far is the question's
/// own business (`blocks_behind`).
#[must_use]
pub(crate) fn reasons(status: &EngineStatus, peers: usize) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(reason) = stalled(status) {
        reasons.push(reason);
    }
    if peers == 0 && status.validators.len() > 1 {
        reasons.push("no peer is connected".to_owned());
    }
    reasons
}

/// One line that says who is missing when the chain stands still.
#[must_use]
pub(crate) fn stalled(status: &EngineStatus) -> Option<String> {
    let missing: Vec<_> = status
        .validators
        .iter()
        .filter(|validator| !validator.reachable)
        .map(|validator| validator.address.to_string())
        .collect();
    let have = status.validators.len() - missing.len();
    if have < status.quorum {
        return Some(format!(
            "quorum lost: have {have} of {} needed, missing {}",
            status.quorum,
            missing.join(", ")
        ));
    }
    let expected = status.expected_within?;
    let limit = expected.saturating_mul(STALLED_AFTER_PERIODS).saturating_add(STALLED_GRACE_MS);
    (status.since_commit > limit).then(|| {
        format!(
            "no block for {} s at height {} round {}: {}",
            status.since_commit / 1000,
            status.height,
            status.round,
            status.phase
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use entente_consensus::engine::ValidatorStatus;

    fn status(reachable: usize) -> EngineStatus {
        let validator = |index: usize| ValidatorStatus {
            address: Address::repeat_byte(u8::try_from(index).unwrap_or(0) + 1),
            reachable: index < reachable,
            last_seen: None,
            since_seen: None,
            clock_offset: None,
        };
        EngineStatus {
            quorum: 3,
            validators: (0..4).map(validator).collect(),
            expected_within: Some(1000),
            ..EngineStatus::default()
        }
    }

    #[test]
    fn a_lost_quorum_names_who_is_missing() {
        let text = stalled(&status(2)).unwrap_or_default();
        assert!(text.starts_with("quorum lost: have 2 of 3 needed, missing 0x0303"), "{text}");
    }

    #[test]
    fn three_of_four_are_enough() {
        assert_eq!(stalled(&status(3)), None);
        assert!(reasons(&status(3), 2).is_empty());
    }
}
