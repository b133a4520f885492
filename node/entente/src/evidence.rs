//! Provable breaches of the protocol: logged, counted, and kept in a file of their own beside the
//! database, one JSON object a line, so that they outlive the process and can be handed to others.

use entente_consensus::engine::Evidence;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Pieces that are kept; a validator that goes on and on pushes older ones out.
const KEPT: usize = 1024;
/// The file is written anew with what is kept when it is larger than this, in bytes.
const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// What was found, newest last. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EvidenceBook {
    path: PathBuf,
    kept: Arc<Mutex<VecDeque<Value>>>,
}

impl EvidenceBook {
    /// Reads what earlier processes found. Lines that are no JSON are left out: the last one may
    /// have been cut off.
    #[must_use]
    pub(crate) fn open(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let older = lines.len().saturating_sub(KEPT);
        let kept = lines.into_iter().skip(older).collect();
        Self { path: path.to_path_buf(), kept: Arc::new(Mutex::new(kept)) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Value>> {
        // No code panics while it holds the lock, so the list is whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest pieces, newest first.
    #[must_use]
    pub(crate) fn newest(&self, limit: usize) -> Vec<Value> {
        self.lock().iter().rev().take(limit).cloned().collect()
    }

    /// Logs, counts and keeps one piece. A file that cannot be written is no reason to stop.
    pub(crate) fn record(&self, evidence: &Evidence) {
        metrics::counter!("entente_evidence_total").increment(1);
        let Evidence { validator, height, round, what, digests } = evidence;
        tracing::error!(%validator, height, round, first = %digests.0, second = %digests.1,
            "validator {what}");
        let seconds = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let piece = json!({
            "validator": validator,
            "blockNumber": height,
            "round": round,
            "what": what,
            "digests": [digests.0, digests.1],
            "timestamp": seconds,
        });
        let mut kept = self.lock();
        kept.push_back(piece.clone());
        if kept.len() > KEPT {
            kept.pop_front();
        }
        if let Err(error) = self.write(&piece, &kept) {
            tracing::warn!(path = %self.path.display(), %error, "evidence could not be written");
        }
    }

    fn write(&self, piece: &Value, kept: &VecDeque<Value>) -> std::io::Result<()> {
        let long = fs::metadata(&self.path).is_ok_and(|file| file.len() > FILE_BYTES_MAX);
        if long {
            let lines: String = kept.iter().map(|piece| format!("{piece}\n")).collect();
            let fresh = self.path.with_extension("new");
            fs::write(&fresh, lines)?;
            return fs::rename(&fresh, &self.path);
        }
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{piece}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256};

    fn piece(height: u64) -> Evidence {
        Evidence {
            validator: Address::repeat_byte(1),
            height,
            round: 2,
            what: "proposed two blocks in one round",
            digests: (B256::repeat_byte(3), B256::repeat_byte(4)),
        }
    }

    #[test]
    fn evidence_outlives_the_process_and_a_line_that_was_cut_off() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("evidence.jsonl");
        let book = EvidenceBook::open(&path);
        book.record(&piece(7));
        book.record(&piece(8));
        let mut file = File::options().append(true).open(&path).expect("file");
        file.write_all(b"{\"validator\":").expect("write");
        let again = EvidenceBook::open(&path);
        let heights: Vec<_> =
            again.newest(9).iter().map(|piece| piece["blockNumber"].as_u64()).collect();
        assert_eq!(heights, [Some(8), Some(7)]);
        assert_eq!(again.newest(1).len(), 1);
    }

    #[test]
    fn no_more_than_a_bound_is_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let book = EvidenceBook::open(&folder.path().join("evidence.jsonl"));
        for height in 0..KEPT as u64 + 5 {
            book.record(&piece(height));
        }
        let kept = book.newest(usize::MAX);
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0]["blockNumber"], KEPT as u64 + 4);
    }
}
