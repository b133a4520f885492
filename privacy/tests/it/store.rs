//! Payloads on disk: pages, tombstones, what belongs to a payload, damage.

use crate::disk::{MemoryDisk, environment, key, public, records};
use alloy_primitives::B512;
use entente_chain::private::{PayloadHash, PrivacyTerms};
use entente_privacy::{
    Enclave, EncryptedPayload, Envelope, PayloadStore, PayloadStoreError, RECEIPT_BYTES_MAX,
    Randomness, SealRandomness, Stored, Written,
};
use entente_storage::{Batch, Column, Durability, KeyValue as _};
use std::sync::Arc;

fn open(disk: &Arc<MemoryDisk>) -> PayloadStore {
    PayloadStore::new(records(disk, 7).unwrap())
}

fn enclave() -> Enclave {
    Enclave::new(environment(), [key(1)])
}

fn sealed(seed: u64) -> EncryptedPayload {
    let (recipients, terms) = ([public(2)], PrivacyTerms::default());
    let envelope = Envelope { recipients: &recipients, terms: &terms, creations: &[] };
    let randomness = SealRandomness::draw(&Randomness::from_seed(seed));
    enclave().seal(b"payload", &public(1), &envelope, &randomness).unwrap()
}

#[test]
fn payloads_come_in_pages_without_what_was_erased() {
    let disk = Arc::new(MemoryDisk::default());
    let store = open(&disk);
    let mut payloads: Vec<_> = (0..7).map(sealed).collect();
    payloads.sort_by_key(EncryptedPayload::hash);
    for payload in &payloads {
        assert_eq!(store.put(payload), Ok(Written::New));
        assert_eq!(store.put(payload), Ok(Written::Known));
    }
    let erased = payloads.remove(3);
    assert_eq!(store.erase(erased.hash()), Ok(true));
    let store = open(&disk);
    let (mut found, mut last) = (Vec::new(), None);
    loop {
        let page = store.after(last, 2).unwrap();
        let Some(end) = page.last() else { break };
        last = Some(end.hash());
        found.extend(page);
    }
    assert_eq!(found, payloads);
    assert_eq!(store.after(None, 0), Ok(vec![]));
    assert_eq!(store.put(&erased), Err(PayloadStoreError::Erased(erased.hash())));
}

#[test]
fn another_envelope_under_a_known_hash_is_refused() {
    let store = open(&Arc::new(MemoryDisk::default()));
    let randomness = SealRandomness::draw(&Randomness::from_seed(1));
    let raw = enclave().seal_raw(b"payload", &public(1), &randomness).unwrap();
    let terms = PrivacyTerms::default();
    let address = |number, seed| {
        let recipients = [public(number)];
        let envelope = Envelope { recipients: &recipients, terms: &terms, creations: &[] };
        let randomness = SealRandomness::draw(&Randomness::from_seed(seed));
        enclave().readdress(&raw, &envelope, &randomness).unwrap()
    };
    let (first, second) = (address(2, 2), address(3, 3));
    assert_eq!(first.hash(), second.hash());
    store.put(&first).unwrap();
    assert_eq!(store.put(&second), Err(PayloadStoreError::Contradiction(first.hash())));
    assert_eq!(store.get(first.hash()), Ok(Stored::Held(Box::new(first))));
}

#[test]
fn receipts_go_with_their_payload() {
    let store = open(&Arc::new(MemoryDisk::default()));
    let (payload, other) = (sealed(1), sealed(2));
    for one in [&payload, &other] {
        store.put(one).unwrap();
        store.put_receipt(one.hash(), public(2), b"first").unwrap();
        store.put_receipt(one.hash(), public(2), b"second").unwrap();
    }
    let expected = vec![(public(2), b"second".to_vec())];
    assert_eq!(store.receipts(payload.hash()), Ok(expected.clone()));
    store.erase(payload.hash()).unwrap();
    assert_eq!(store.receipts(payload.hash()), Ok(vec![]));
    assert_eq!(store.receipts(other.hash()), Ok(expected));
    let long = vec![0; RECEIPT_BYTES_MAX + 1];
    let refused = store.put_receipt(other.hash(), public(2), &long);
    assert_eq!(refused, Err(PayloadStoreError::ReceiptLength(RECEIPT_BYTES_MAX + 1)));
}

#[test]
fn a_record_that_was_changed_or_moved_is_an_error_and_not_an_absence() {
    let disk = Arc::new(MemoryDisk::default());
    let payload = sealed(1);
    open(&disk).put(&payload).unwrap();
    let at = |hash: PayloadHash| [&[1], hash.0.as_slice()].concat();
    let record = disk.get(Column::Payloads, &at(payload.hash())).unwrap().unwrap();
    let other = PayloadHash(B512::repeat_byte(9));
    let mut changed = record.to_vec();
    changed[40] ^= 1;
    let mut batch = Batch::default();
    batch.put(Column::Payloads, &at(payload.hash()), &changed);
    batch.put(Column::Payloads, &at(other), &record);
    disk.write(&batch, Durability::Synced).unwrap();
    let store = open(&disk);
    for hash in [payload.hash(), other] {
        assert!(matches!(store.get(hash), Err(PayloadStoreError::Database(_))), "{hash}");
    }
    assert!(store.after(None, 10).is_err());
}
