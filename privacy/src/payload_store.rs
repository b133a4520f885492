//! Payloads on disk by their hash. Ciphertexts are sealed once more, so that a stolen disk does not
//! even tell who the parties are.

use crate::{imported, payload::EncryptedPayload};
use alloy_primitives::B512;
use entente_chain::private::{PayloadHash, PrivatePayload, RecipientKey};
use entente_storage::{PrivateRecords, RecordChange, RecordKind, StoreError};
use std::{
    ops::ControlFlow,
    sync::{Mutex, MutexGuard, PoisonError},
};
use zeroize::Zeroizing;

/// Hash to a payload or to the note that it was erased.
const PAYLOADS: RecordKind = RecordKind(1);
/// Hash to a payload that was stored before its recipients were known.
const RAW: RecordKind = RecordKind(2);
/// Hash, party to its receipt; opaque here.
const RECEIPTS: RecordKind = RecordKind(3);
/// Node to the keys that it has proven.
const DIRECTORY: RecordKind = RecordKind(4);
/// Single values by name.
const SINGLE: RecordKind = RecordKind(5);

/// First byte of a record of [`PAYLOADS`].
const HELD: u8 = 1;
const ERASED: u8 = 2;
const IMPORTED: u8 = 3;

/// Locks for writers; a hash has one of them.
const LOCKS: usize = 64;

/// Longest receipt of a party, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 64 * 1024;

/// What is known of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The payload.
    Held(Box<EncryptedPayload>),
    /// A payload that another transaction manager kept before.
    Imported(Box<PrivatePayload>),
    /// It was here and was deleted on request.
    Erased,
    /// Never seen.
    Unknown,
}

/// Whether a write changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was not there before, or knows more now.
    New,
    /// It was there already.
    Known,
}

/// Why a payload was not stored or not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadStoreError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// Another payload is stored under the hash.
    #[error("payload {0} is stored with other recipients or terms")]
    Contradiction(PayloadHash),
    /// A deleted payload does not come back.
    #[error("payload {0} was erased")]
    Erased(PayloadHash),
    /// A receipt that is too long.
    #[error("a private receipt of {0} bytes, at most {RECEIPT_BYTES_MAX} are kept")]
    ReceiptLength(usize),
}

impl PayloadStoreError {
    fn damaged(hash: PayloadHash) -> Self {
        Self::Database(StoreError::Record {
            column: entente_storage::Column::Payloads,
            key: hex::encode(hash.0).into(),
            cause: "not a payload".into(),
        })
    }
}

/// The payloads of a node.
#[derive(Debug)]
pub struct PayloadStore {
    records: PrivateRecords,
    /// Held from reading what is there of a hash to writing what follows from it. Many, so that
    /// writes of different payloads wait for the same sync of the disk.
    writing: [Mutex<()>; LOCKS],
}

impl PayloadStore {
    /// A store over the records of a database.
    #[must_use]
    pub const fn new(records: PrivateRecords) -> Self {
        Self { records, writing: [const { Mutex::new(()) }; LOCKS] }
    }

    /// What is known of a hash.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn get(&self, hash: PayloadHash) -> Result<Stored, PayloadStoreError> {
        let Some(value) = self.records.get(PAYLOADS, hash.0.as_slice())? else {
            return Ok(Stored::Unknown);
        };
        match value.split_first() {
            Some((&HELD, payload)) => {
                checked(hash, payload).ok_or_else(|| PayloadStoreError::damaged(hash))
            }
            Some((&IMPORTED, payload)) => imported::decode(payload)
                .map(|payload| Stored::Imported(Box::new(payload)))
                .ok_or_else(|| PayloadStoreError::damaged(hash)),
            Some((&ERASED, [])) => Ok(Stored::Erased),
            _ => Err(PayloadStoreError::damaged(hash)),
        }
    }

    /// Stores a payload that opens, or adds what this copy knows more. Durable on return.
    ///
    /// # Errors
    /// When another payload is stored under the hash, it was erased, or the disk fails.
    pub fn put(&self, payload: &EncryptedPayload) -> Result<Written, PayloadStoreError> {
        let hash = payload.hash();
        let _writing = self.lock(hash);
        let merged = match self.get(hash)? {
            Stored::Unknown => payload.clone(),
            Stored::Erased => return Err(PayloadStoreError::Erased(hash)),
            Stored::Imported(_) => return Err(PayloadStoreError::Contradiction(hash)),
            Stored::Held(held) => {
                let contradiction = PayloadStoreError::Contradiction(hash);
                let merged = held.merged_with(payload).ok_or(contradiction)?;
                if merged == *held {
                    return Ok(Written::Known);
                }
                merged
            }
        };
        let value = [&[HELD], merged.encode().as_slice()].concat();
        self.records.write(&[(PAYLOADS, hash.0.as_slice(), Some(&value))])?;
        Ok(Written::New)
    }

    /// Stores a payload that another transaction manager kept under this hash. Durable on return.
    ///
    /// # Errors
    /// When another payload is stored under the hash, it was erased, or the disk fails.
    pub fn put_imported(
        &self,
        hash: PayloadHash,
        payload: &PrivatePayload,
    ) -> Result<Written, PayloadStoreError> {
        let _writing = self.lock(hash);
        match self.get(hash)? {
            Stored::Unknown => {}
            Stored::Erased => return Err(PayloadStoreError::Erased(hash)),
            Stored::Imported(known) if *known == *payload => return Ok(Written::Known),
            Stored::Held(_) | Stored::Imported(_) => {
                return Err(PayloadStoreError::Contradiction(hash));
            }
        }
        let mut value = Zeroizing::new(vec![IMPORTED]);
        value.extend_from_slice(&imported::encode(payload));
        self.records.write(&[(PAYLOADS, hash.0.as_slice(), Some(&value))])?;
        Ok(Written::New)
    }

    /// Erases a payload and what belongs to it, and notes that it was here; false when it was not.
    /// Durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn erase(&self, hash: PayloadHash) -> Result<bool, PayloadStoreError> {
        let _writing = self.lock(hash);
        let key = hash.0.as_slice();
        let payload = self.records.get(PAYLOADS, key)?;
        let raw = self.records.get(RAW, key)?;
        let is_held =
            payload.is_some_and(|value| matches!(value.first(), Some(&(HELD | IMPORTED))));
        if !is_held && raw.is_none() {
            return Ok(false);
        }
        let receipts = self.receipts(hash)?;
        let receipts: Vec<_> =
            receipts.iter().map(|(party, _)| receipt_key(hash, *party)).collect();
        let mut changes: Vec<RecordChange<'_>> =
            vec![(PAYLOADS, key, Some(&[ERASED])), (RAW, key, None)];
        changes.extend(receipts.iter().map(|key| (RECEIPTS, key.as_slice(), None)));
        self.records.write(&changes)?;
        Ok(true)
    }

    /// Takes back what [`put`](Self::put) stored, as if it had never been: for a payload that did
    /// not reach its parties.
    pub(crate) fn take_back(&self, hash: PayloadHash) -> Result<(), PayloadStoreError> {
        let _writing = self.lock(hash);
        Ok(self.records.write(&[(PAYLOADS, hash.0.as_slice(), None)])?)
    }

    /// Up to `limit` payloads with hashes after `after`, ascending.
    ///
    /// # Errors
    /// When the disk fails or a record is damaged.
    pub fn after(
        &self,
        after: Option<PayloadHash>,
        limit: usize,
    ) -> Result<Vec<EncryptedPayload>, PayloadStoreError> {
        let from = after.map(|hash| [hash.0.as_slice(), &[0]].concat()).unwrap_or_default();
        let (mut found, mut damaged) = (Vec::new(), None);
        if limit == 0 {
            return Ok(found);
        }
        self.records.scan(PAYLOADS, &from, &mut |key, value| {
            let Some((&HELD, payload)) = value.split_first() else {
                return ControlFlow::Continue(());
            };
            let hash = PayloadHash::from_data(key).unwrap_or(PayloadHash(B512::ZERO));
            match checked(hash, payload) {
                Some(Stored::Held(payload)) => found.push(*payload),
                _ => damaged = Some(hash),
            }
            match found.len() < limit && damaged.is_none() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        damaged.map_or(Ok(found), |hash| Err(PayloadStoreError::damaged(hash)))
    }

    /// Stores a payload whose recipients are not known yet. Durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_raw(&self, payload: &EncryptedPayload) -> Result<(), PayloadStoreError> {
        let hash = payload.hash();
        Ok(self.records.write(&[(RAW, hash.0.as_slice(), Some(&payload.encode()))])?)
    }

    /// A payload of [`put_raw`](Self::put_raw).
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn raw(&self, hash: PayloadHash) -> Result<Option<EncryptedPayload>, PayloadStoreError> {
        let Some(value) = self.records.get(RAW, hash.0.as_slice())? else { return Ok(None) };
        match checked(hash, &value) {
            Some(Stored::Held(payload)) => Ok(Some(*payload)),
            _ => Err(PayloadStoreError::damaged(hash)),
        }
    }

    /// Keeps what a party said about a private transaction; a later one replaces it. Not synced, the
    /// next block is: a loss of power costs the comparison of a few transactions, their outcome not.
    ///
    /// # Errors
    /// When it is too long or the disk fails.
    pub fn put_receipt(
        &self,
        hash: PayloadHash,
        party: RecipientKey,
        receipt: &[u8],
    ) -> Result<(), PayloadStoreError> {
        if receipt.len() > RECEIPT_BYTES_MAX {
            return Err(PayloadStoreError::ReceiptLength(receipt.len()));
        }
        let change = (RECEIPTS, receipt_key(hash, party), Some(receipt));
        let (kind, key, value) = &change;
        Ok(self.records.write_unsynced(&[(*kind, key, *value)])?)
    }

    /// What parties said about a private transaction, ascending by party.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn receipts(&self, hash: PayloadHash) -> Result<Vec<(RecipientKey, Vec<u8>)>, StoreError> {
        let mut found = Vec::new();
        self.records.scan(RECEIPTS, hash.0.as_slice(), &mut |key, value| {
            let Some(party) = key.strip_prefix(hash.0.as_slice()) else {
                return ControlFlow::Break(());
            };
            if let Ok(party) = party.try_into() {
                found.push((RecipientKey(party), value));
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    pub(crate) fn put_statement(&self, node: &[u8; 32], value: &[u8]) -> Result<(), StoreError> {
        self.records.write(&[(DIRECTORY, node, Some(value))])
    }

    pub(crate) fn remove_statement(&self, node: &[u8; 32]) -> Result<(), StoreError> {
        self.records.write(&[(DIRECTORY, node, None)])
    }

    pub(crate) fn statements(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut found = Vec::new();
        self.records.scan(DIRECTORY, &[], &mut |_, value| {
            found.push(value);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    pub(crate) fn single(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.records.get(SINGLE, name.as_bytes())
    }

    pub(crate) fn put_single(&self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        self.records.write(&[(SINGLE, name.as_bytes(), value)])
    }

    fn lock(&self, hash: PayloadHash) -> MutexGuard<'_, ()> {
        let [first, ..] = hash.0.0;
        let lock = &self.writing[usize::from(first) % LOCKS];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn receipt_key(hash: PayloadHash, party: RecipientKey) -> Vec<u8> {
    [hash.0.as_slice(), &party.0].concat()
}

/// The hash is worked out anew: what is on disk is not believed.
fn checked(hash: PayloadHash, bytes: &[u8]) -> Option<Stored> {
    let payload = EncryptedPayload::decode(bytes).ok()?;
    (payload.hash() == hash).then(|| Stored::Held(Box::new(payload)))
}
