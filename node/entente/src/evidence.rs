//! Provable breaches of the protocol: logged and counted.

use entente_consensus::engine::Evidence;

/// Logs and counts one piece of evidence.
pub(crate) fn record(evidence: &Evidence) {
    metrics::counter!("entente_evidence_total").increment(1);
    tracing::error!(
        validator = %evidence.validator,
        height = evidence.height,
        round = evidence.round,
        first = %evidence.digests.0,
        second = %evidence.digests.1,
        "validator {}",
        evidence.what
    );
}
