//! Provable breaches of the protocol: logged, counted, and kept by a thread of their own, so that no
//! liar makes consensus wait for the disk.

use crate::clock::Clock;
use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use crossbeam_channel::{Receiver, Sender};
use entente_consensus::engine::Evidence;
use entente_rpc::EvidenceRecord;
use entente_storage::{EvidenceLog, EvidenceReader};

/// Breaches that wait to be written; more are logged and counted only.
const WAITING_MAX: usize = 256;

/// Where the engine's reports go.
#[derive(Clone)]
pub(crate) struct EvidencePort {
    sender: Sender<Evidence>,
}

impl EvidencePort {
    /// A bounded queue of reports.
    #[must_use]
    pub(crate) fn bounded() -> (Self, Receiver<Evidence>) {
        let (sender, receiver) = crossbeam_channel::bounded(WAITING_MAX);
        (Self { sender }, receiver)
    }

    /// Logs, counts and passes on one breach; never waits.
    pub(crate) fn report(&self, evidence: Evidence) {
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
        if self.sender.try_send(evidence).is_err() {
            metrics::counter!("entente_evidence_not_kept_total").increment(1);
        }
    }
}

/// Writes what is reported until nobody can report any more.
pub(crate) fn run(mut log: EvidenceLog, reports: &Receiver<Evidence>, clock: Clock) {
    for evidence in reports {
        let record = encode(&evidence, clock.now().unix);
        if let Err(error) = log.append(&record) {
            tracing::error!(%error, "evidence cannot be kept");
            metrics::counter!("entente_evidence_not_kept_total").increment(1);
        }
    }
}

/// At most `limit` kept breaches, newest first.
///
/// # Errors
/// When the disk fails or a record is not one of ours.
pub(crate) fn newest(reader: &EvidenceReader, limit: u64) -> anyhow::Result<Vec<EvidenceRecord>> {
    reader.newest(limit)?.iter().map(|bytes| Ok(decode(bytes)?)).collect()
}

/// A breach as it is stored.
#[derive(RlpEncodable, RlpDecodable)]
struct Stored {
    seen_ms: u64,
    validator: Address,
    height: u64,
    round: u64,
    what: String,
    first: B256,
    second: B256,
}

fn encode(evidence: &Evidence, seen_ms: u64) -> Vec<u8> {
    let Evidence { validator, height, round, what, digests: (first, second) } = *evidence;
    let what = what.to_owned();
    alloy_rlp::encode(Stored { seen_ms, validator, height, round, what, first, second })
}

fn decode(mut bytes: &[u8]) -> Result<EvidenceRecord, alloy_rlp::Error> {
    let Stored { seen_ms, validator, height, round, what, first, second } =
        Stored::decode(&mut bytes)?;
    if !bytes.is_empty() {
        return Err(alloy_rlp::Error::Custom("trailing bytes"));
    }
    Ok(EvidenceRecord { seen_ms, validator, height, round, what, digests: (first, second) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::genesis::{Genesis, GenesisBuilder};
    use entente_storage::{Database, StorageOptions};

    fn evidence(height: u64) -> Evidence {
        Evidence {
            validator: Address::repeat_byte(1),
            height,
            round: 2,
            what: "sealed two blocks",
            digests: (B256::repeat_byte(3), B256::repeat_byte(4)),
        }
    }

    /// Written down by hand from the RLP rules: a change of format breaks databases.
    #[test]
    fn stored_evidence_keeps_its_bytes() {
        let expected = [
            // 0x70 bytes: time 3, address 21, height 3, round 1, text 18, digests 33 each.
            "f870",
            "820101",
            &format!("94{}", "01".repeat(20)),
            "82012c",
            "02",
            &format!("91{}", hex::encode("sealed two blocks")),
            &format!("a0{}", "03".repeat(32)),
            &format!("a0{}", "04".repeat(32)),
        ]
        .concat();
        let bytes = encode(&evidence(300), 0x101);
        assert_eq!(hex::encode(&bytes), expected);
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn what_was_reported_is_there_after_a_restart_newest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let genesis = GenesisBuilder::new(7, vec![Address::repeat_byte(1)]).to_json();
        let open = || Database::open(folder.path(), &StorageOptions::default()).expect("opens");
        let database = open();
        let parsed = Genesis::parse(genesis.as_bytes()).expect("genesis");
        database.initialise(&parsed, genesis.as_bytes()).expect("stored");
        let (port, reports) = EvidencePort::bounded();
        // The last two find no room while nobody writes.
        for height in 0..(WAITING_MAX as u64 + 2) {
            port.report(evidence(height));
        }
        drop(port);
        run(database.evidence_log().expect("the log"), &reports, Clock::start());
        drop(database);
        let kept = newest(&open().evidence_reader(), 2).expect("readable");
        let heights: Vec<u64> = kept.iter().map(|record| record.height).collect();
        assert_eq!(heights, [WAITING_MAX as u64 - 1, WAITING_MAX as u64 - 2]);
        assert_eq!(kept[0].what, "sealed two blocks");
        assert_eq!(kept[0].digests, evidence(0).digests);
        assert!(kept[0].seen_ms > 0);
    }
}
