//! Payloads that were opened lately, in memory. Wiped when they leave.

use entente_chain::private::{PayloadHash, PrivatePayload};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What an entry costs beside its bytes and keys, about.
const ENTRY_BYTES: usize = 256;
const KEY_BYTES: usize = 32;

/// What was removed until some moment. A payload that was read from the disk before a removal is not
/// taken in after it: it may be the one that was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Age(u64);

/// A bounded memory of opened payloads; the oldest leave first.
#[derive(Debug)]
pub(crate) struct OpenedPayloads {
    bytes_max: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_hash: BTreeMap<PayloadHash, Arc<PrivatePayload>>,
    oldest_first: VecDeque<PayloadHash>,
    bytes: usize,
    /// Grows with every removal.
    age: Age,
}

impl OpenedPayloads {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, entries: Mutex::default() }
    }

    pub(crate) fn get(&self, hash: PayloadHash) -> Option<Arc<PrivatePayload>> {
        self.lock().by_hash.get(&hash).cloned()
    }

    /// To be asked for before the disk is read.
    pub(crate) fn age(&self) -> Age {
        self.lock().age
    }

    /// Takes in what was read from the disk at some age.
    pub(crate) fn insert(&self, read: Age, hash: PayloadHash, payload: &Arc<PrivatePayload>) {
        let bytes = weight(payload);
        if bytes > self.bytes_max {
            return;
        }
        let mut entries = self.lock();
        if entries.age != read {
            return;
        }
        entries.remove(hash);
        while entries.bytes.saturating_add(bytes) > self.bytes_max {
            let Some(oldest) = entries.oldest_first.front().copied() else { break };
            entries.remove(oldest);
        }
        entries.bytes = entries.bytes.saturating_add(bytes);
        entries.oldest_first.push_back(hash);
        entries.by_hash.insert(hash, Arc::clone(payload));
    }

    pub(crate) fn remove(&self, hash: PayloadHash) {
        let mut entries = self.lock();
        entries.grow_older();
        entries.remove(hash);
    }

    pub(crate) fn clear(&self) {
        let mut entries = self.lock();
        entries.grow_older();
        *entries = Entries { age: entries.age, ..Entries::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    const fn grow_older(&mut self) {
        self.age = Age(self.age.0.saturating_add(1));
    }

    fn remove(&mut self, hash: PayloadHash) {
        let Some(removed) = self.by_hash.remove(&hash) else { return };
        self.bytes = self.bytes.saturating_sub(weight(&removed));
        self.oldest_first.retain(|one| *one != hash);
    }
}

fn weight(payload: &PrivatePayload) -> usize {
    let terms = &payload.terms;
    let keys = [payload.managed.len(), payload.parties.len(), terms.mandatory.len()];
    let keys = keys.into_iter().fold(terms.affected.len() * 2, usize::saturating_add);
    payload.plain.len().saturating_add(ENTRY_BYTES).saturating_add(keys.saturating_mul(KEY_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B512;
    use entente_chain::private::{PrivacyTerms, RecipientKey};
    use zeroize::Zeroizing;

    fn hash(number: u8) -> PayloadHash {
        PayloadHash(B512::repeat_byte(number))
    }

    fn payload(length: usize) -> Arc<PrivatePayload> {
        Arc::new(PrivatePayload {
            plain: Zeroizing::new(vec![1; length]),
            sender: RecipientKey([1; 32]),
            managed: Vec::new(),
            parties: Vec::new(),
            terms: PrivacyTerms::default(),
        })
    }

    #[test]
    fn the_oldest_leave_when_there_is_no_room() {
        let opened = OpenedPayloads::new(1000);
        opened.insert(opened.age(), hash(1), &payload(200));
        opened.insert(opened.age(), hash(2), &payload(200));
        opened.insert(opened.age(), hash(3), &payload(200));
        let held = |number| opened.get(hash(number)).is_some();
        assert_eq!([1, 2, 3].map(held), [false, true, true]);
        opened.insert(opened.age(), hash(4), &payload(1000));
        assert_eq!([2, 3, 4].map(held), [true, true, false], "what never fits is not taken");
    }

    #[test]
    fn what_was_read_before_a_removal_is_not_taken_in_after_it() {
        let opened = OpenedPayloads::new(1000);
        for removal in [|opened: &OpenedPayloads| opened.remove(hash(1)), OpenedPayloads::clear] {
            let read = opened.age();
            removal(&opened);
            opened.insert(read, hash(1), &payload(1));
            assert!(opened.get(hash(1)).is_none());
        }
    }

    #[test]
    fn room_is_given_back() {
        let opened = OpenedPayloads::new(600);
        opened.insert(opened.age(), hash(1), &payload(200));
        opened.insert(opened.age(), hash(1), &payload(300));
        opened.remove(hash(1));
        opened.remove(hash(1));
        opened.insert(opened.age(), hash(2), &payload(300));
        assert!(opened.get(hash(1)).is_none() && opened.get(hash(2)).is_some());
        opened.clear();
        assert!(opened.get(hash(2)).is_none());
        opened.insert(opened.age(), hash(3), &payload(300));
        assert!(opened.get(hash(3)).is_some());
    }
}
