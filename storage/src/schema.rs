//! Single values of the database: schema version, genesis, head, oldest state. Refuses databases
//! that a newer version has written.

use crate::{Batch, Column, KeyValue, columns::number_value, error::StoreError};
use alloy_primitives::{B256, Bytes};
use entente_chain::BlockNumber;

/// Version of the layout in [`crate::columns`]. A change needs a migration here.
pub const SCHEMA_VERSION: u32 = 1;

const VERSION: &[u8] = b"schema";
const GENESIS_HASH: &[u8] = b"genesis_hash";
const GENESIS_JSON: &[u8] = b"genesis_json";
const HEAD: &[u8] = b"head";
const OLDEST_STATE: &[u8] = b"oldest_state";

/// The schema version, or `None` for a new database.
///
/// # Errors
/// When a newer version of the software wrote the database.
pub(crate) fn check_version(disk: &dyn KeyValue) -> Result<Option<u32>, StoreError> {
    let Some(value) = disk.get(Column::Meta, VERSION)? else { return Ok(None) };
    let bytes = value
        .as_ref()
        .try_into()
        .map_err(|_| StoreError::record(Column::Meta, VERSION, "not a schema version"))?;
    match u32::from_be_bytes(bytes) {
        got if got > SCHEMA_VERSION => Err(StoreError::Schema { got, supported: SCHEMA_VERSION }),
        0 => Err(StoreError::record(Column::Meta, VERSION, "schema version 0 never existed")),
        got => Ok(Some(got)),
    }
}

/// Notes the schema version and the genesis; the rest of the genesis is in the same batch.
pub(crate) fn put_genesis(batch: &mut Batch, hash: B256, json: &[u8]) {
    batch.put(Column::Meta, VERSION, &SCHEMA_VERSION.to_be_bytes());
    batch.put(Column::Meta, GENESIS_HASH, hash.as_slice());
    put_genesis_json(batch, json);
}

pub(crate) fn put_genesis_json(batch: &mut Batch, json: &[u8]) {
    batch.put(Column::Meta, GENESIS_JSON, json);
}

pub(crate) fn genesis_hash(disk: &dyn KeyValue) -> Result<Option<B256>, StoreError> {
    let value = disk.get(Column::Meta, GENESIS_HASH)?;
    value
        .map(|value| {
            B256::try_from(value.as_ref())
                .map_err(|_| StoreError::record(Column::Meta, GENESIS_HASH, "not a hash"))
        })
        .transpose()
}

pub(crate) fn genesis_json(disk: &dyn KeyValue) -> Result<Option<Bytes>, StoreError> {
    disk.get(Column::Meta, GENESIS_JSON)
}

pub(crate) fn put_head(batch: &mut Batch, number: BlockNumber) {
    batch.put(Column::Meta, HEAD, &number.to_be_bytes());
}

pub(crate) fn head_number(disk: &dyn KeyValue) -> Result<Option<BlockNumber>, StoreError> {
    let value = disk.get(Column::Meta, HEAD)?;
    value.map(|value| number_value(Column::Meta, HEAD, &value)).transpose()
}

pub(crate) fn put_oldest_state(batch: &mut Batch, number: BlockNumber) {
    batch.put(Column::Meta, OLDEST_STATE, &number.to_be_bytes());
}

/// The oldest block whose state can be read.
pub(crate) fn oldest_state(disk: &dyn KeyValue) -> Result<BlockNumber, StoreError> {
    let value = disk.get(Column::Meta, OLDEST_STATE)?;
    value.map_or(Ok(0), |value| number_value(Column::Meta, OLDEST_STATE, &value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, memory::MemoryDisk};

    #[test]
    fn newer_schema_is_refused_with_both_versions() {
        let disk = MemoryDisk::default();
        let mut batch = Batch::default();
        batch.put(Column::Meta, b"schema", &2_u32.to_be_bytes());
        disk.write(&batch, Durability::Synced).unwrap();
        assert_eq!(check_version(&disk), Err(StoreError::Schema { got: 2, supported: 1 }));
    }

    /// Golden bytes of every single value.
    #[test]
    fn values_have_golden_bytes() {
        let mut batch = Batch::default();
        put_genesis(&mut batch, B256::repeat_byte(1), b"{}");
        put_head(&mut batch, 0x102);
        put_oldest_state(&mut batch, 3);
        let written: Vec<_> = batch.iter().map(|(_, key, value)| (key, value.unwrap())).collect();
        assert_eq!(
            written,
            [
                (&b"schema"[..], &[0, 0, 0, 1][..]),
                (b"genesis_hash", &[1; 32]),
                (b"genesis_json", b"{}"),
                (b"head", &[0, 0, 0, 0, 0, 0, 1, 2]),
                (b"oldest_state", &[0, 0, 0, 0, 0, 0, 0, 3]),
            ]
        );
    }
}
