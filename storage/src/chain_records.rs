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
