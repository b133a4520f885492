//! Codecs of headers, bodies, senders and receipts. A body is stored as it follows the header in
//! an encoded block, so that the block is served to peers without decoding it.

use crate::{Batch, Column, KeyValue, error::StoreError};
use alloy_consensus::Header;
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use entente_chain::{
    BlockBody, BlockNumber, Receipt, RecoveredBlock, RecoveredTransaction, SealedHeader,
    TransactionEnvelope, block::encode_transactions,
};
use std::sync::Arc;

/// A record of [`Column::Headers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderRecord {
    pub(crate) header: SealedHeader,
    pub(crate) total_difficulty: U256,
}

pub(crate) fn put_header(batch: &mut Batch, header: &SealedHeader, total_difficulty: U256) {
    let key = header.number.to_be_bytes();
    let mut value = Vec::with_capacity(64 + header.header().length());
    value.extend_from_slice(header.hash().as_slice());
    value.extend_from_slice(&total_difficulty.to_be_bytes::<32>());
    header.header().encode(&mut value);
    batch.put(Column::Headers, &key, &value);
    batch.put(Column::Numbers, header.hash().as_slice(), &key);
}

pub(crate) fn header(
    disk: &dyn KeyValue,
    number: BlockNumber,
) -> Result<Option<HeaderRecord>, StoreError> {
    let key = number.to_be_bytes();
    let Some(value) = disk.get(Column::Headers, &key)? else { return Ok(None) };
    let (hash, total_difficulty, mut rlp) = split_header(&key, &value)?;
    let header = Header::decode(&mut rlp)
        .map_err(|cause| StoreError::record(Column::Headers, &key, cause))?;
    if !rlp.is_empty() || header.number != number {
        return Err(StoreError::record(Column::Headers, &key, "not the header of this number"));
    }
    Ok(Some(HeaderRecord { header: SealedHeader::new(header, hash), total_difficulty }))
}

/// Splits a header record: hash, total difficulty, RLP.
pub(crate) fn split_header<'a>(
    key: &[u8],
    value: &'a [u8],
) -> Result<(B256, U256, &'a [u8]), StoreError> {
    let parts = || {
        let (hash, rest) = value.split_first_chunk::<32>()?;
        let (difficulty, rlp) = rest.split_first_chunk::<32>()?;
        Some((B256::from(*hash), U256::from_be_bytes(*difficulty), rlp))
    };
    parts().ok_or_else(|| StoreError::record(Column::Headers, key, "too short"))
}

pub(crate) fn put_body(batch: &mut Batch, block: &RecoveredBlock) {
    let key = block.header.number.to_be_bytes();
    let mut value = Vec::new();
    encode_transactions(block.transactions(), &mut value);
    block.body.ommers.encode(&mut value);
    if let Some(withdrawals) = &block.body.withdrawals {
        withdrawals.encode(&mut value);
    }
    batch.put(Column::Bodies, &key, &value);
    let senders: Vec<u8> =
        block.transactions().iter().flat_map(|transaction| transaction.sender().0.0).collect();
    batch.put(Column::Senders, &key, &senders);
}

pub(crate) fn body(
    disk: &dyn KeyValue,
    number: BlockNumber,
) -> Result<Option<BlockBody>, StoreError> {
    let key = number.to_be_bytes();
    let Some(value) = disk.get(Column::Bodies, &key)? else { return Ok(None) };
    let senders = disk
        .get(Column::Senders, &key)?
        .ok_or_else(|| StoreError::record(Column::Senders, &key, "missing"))?;
    decode_body(&value, &senders)
        .map(Some)
        .map_err(|cause| StoreError::record(Column::Bodies, &key, cause))
}

fn decode_body(mut value: &[u8], senders: &[u8]) -> alloy_rlp::Result<BlockBody> {
    let envelopes = Vec::<TransactionEnvelope>::decode(&mut value)?;
    let ommers = Vec::<Header>::decode(&mut value)?;
    let withdrawals = if value.is_empty() {
        None
    } else {
        Some(Withdrawals::new(Vec::<Withdrawal>::decode(&mut value)?))
    };
    if !value.is_empty() {
        return Err(alloy_rlp::Error::Custom("bytes after the body"));
    }
    let (senders, rest) = senders.as_chunks::<20>();
    if senders.len() != envelopes.len() || !rest.is_empty() {
        return Err(alloy_rlp::Error::Custom("not one sender per transaction"));
    }
    let transactions = envelopes.into_iter().zip(senders).map(|(envelope, sender)| {
        Arc::new(RecoveredTransaction::with_sender(envelope, Address::from(*sender)))
    });
    Ok(BlockBody { transactions: transactions.collect(), ommers, withdrawals })
}

/// An encoded block from its stored parts.
pub(crate) fn raw_block(
    disk: &dyn KeyValue,
    number: BlockNumber,
) -> Result<Option<Bytes>, StoreError> {
    let key = number.to_be_bytes();
    let (Some(header), Some(body)) =
        (disk.get(Column::Headers, &key)?, disk.get(Column::Bodies, &key)?)
    else {
        return Ok(None);
    };
    let (_, _, header) = split_header(&key, &header)?;
    let list = alloy_rlp::Header { list: true, payload_length: header.len() + body.len() };
    let mut out = Vec::with_capacity(list.length_with_payload());
    list.encode(&mut out);
    out.extend_from_slice(header);
    out.extend_from_slice(&body);
    Ok(Some(out.into()))
}

pub(crate) fn put_receipts(batch: &mut Batch, number: BlockNumber, receipts: &[Receipt]) {
    let mut value = Vec::new();
    alloy_rlp::encode_list::<Receipt, Receipt>(receipts, &mut value);
    batch.put(Column::Receipts, &number.to_be_bytes(), &value);
}

pub(crate) fn receipts(
    disk: &dyn KeyValue,
    number: BlockNumber,
) -> Result<Option<Vec<Receipt>>, StoreError> {
    let key = number.to_be_bytes();
    let Some(value) = disk.get(Column::Receipts, &key)? else { return Ok(None) };
    alloy_rlp::decode_exact(&value)
        .map(Some)
        .map_err(|cause| StoreError::record(Column::Receipts, &key, cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, memory::MemoryDisk};
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::{Signature, hex};
    use proptest::prelude::*;

    fn block() -> RecoveredBlock {
        let header = Header { number: 0x102, ..Header::default() };
        let signed = TxLegacy::default().into_signed(Signature::test_signature());
        let sender = Address::repeat_byte(0xaa);
        let transaction = Arc::new(RecoveredTransaction::with_sender(signed.into(), sender));
        let withdrawals = Some(Withdrawals::default());
        let body = BlockBody { transactions: vec![transaction], ommers: Vec::new(), withdrawals };
        let header = SealedHeader::new(header, B256::repeat_byte(0xbb));
        RecoveredBlock { header, body: Arc::new(body) }
    }

    fn stored() -> MemoryDisk {
        let disk = MemoryDisk::default();
        let mut batch = Batch::default();
        put_header(&mut batch, &block().header, U256::from(5));
        put_body(&mut batch, &block());
        put_receipts(&mut batch, 0x102, &[]);
        disk.write(&batch, Durability::Synced).unwrap();
        disk
    }

    /// Golden bytes: hash, total difficulty, then the header as in a block.
    #[test]
    fn header_record_has_golden_bytes() {
        let disk = stored();
        let key = hex!("0000000000000102");
        let value = disk.get(Column::Headers, &key).unwrap().unwrap();
        let expected = format!("{}{}05", "bb".repeat(32), "00".repeat(31));
        let rlp = hex::encode(alloy_rlp::encode(block().header.header()));
        assert_eq!(hex::encode(value), expected + &rlp);
        assert_eq!(disk.get(Column::Numbers, &[0xbb; 32]).unwrap().unwrap()[..], key);
    }

    /// Golden bytes: lists of transactions, ommers and withdrawals; one sender.
    #[test]
    fn body_and_senders_have_golden_bytes() {
        let disk = stored();
        let key = hex!("0000000000000102");
        let value = disk.get(Column::Bodies, &key).unwrap().unwrap();
        let expected = concat!(
            "f84bf849808080808080",
            "1b",
            "a0840cfc572845f5786e702984c2a582528cad4b49b2a10b9db1be7fca90058565",
            "a025e7109ceb98168d95b09b18bbf6b685130e0562f233877d492b94eee0c5b6d1",
            "c0c0",
        );
        assert_eq!(hex::encode(value), expected);
        assert_eq!(disk.get(Column::Senders, &key).unwrap().unwrap()[..], [0xaa; 20]);
        assert_eq!(disk.get(Column::Receipts, &key).unwrap().unwrap()[..], [0xc0]);
    }

    #[test]
    fn block_survives_a_round_trip_and_is_served_as_encoded() {
        let disk = stored();
        assert_eq!(body(&disk, 0x102).unwrap().unwrap(), *block().body);
        assert_eq!(header(&disk, 0x102).unwrap().unwrap().header, block().header);
        let raw = raw_block(&disk, 0x102).unwrap().unwrap();
        assert_eq!(raw, Bytes::from(alloy_rlp::encode(block())));
    }

    #[test]
    fn body_with_a_sender_too_few_is_damage() {
        let disk = stored();
        let mut batch = Batch::default();
        batch.put(Column::Senders, &0x102_u64.to_be_bytes(), &[]);
        disk.write(&batch, Durability::Synced).unwrap();
        assert!(matches!(body(&disk, 0x102), Err(StoreError::Record { .. })));
    }

    proptest! {
        #[test]
        fn damaged_bodies_never_panic(at: usize, bit in 0_u8..8, end: usize) {
            let disk = stored();
            let key = 0x102_u64.to_be_bytes();
            let mut bytes = disk.get(Column::Bodies, &key).unwrap().unwrap().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            bytes.truncate(end % (bytes.len() + 1));
            drop(decode_body(&bytes, &[0xaa; 20]));
        }
    }
}
