//! A block on its way from bytes to disk: [`Block`] is decoded, [`RecoveredBlock`] has senders and
//! a hash. Bodies are shared: sealing a block again never copies its transactions.

use crate::{RecoveredTransaction, TransactionEnvelope};
use alloy_consensus::Header;
use alloy_eips::{
    eip2718::Encodable2718,
    eip4895::{Withdrawal, Withdrawals},
};
use alloy_primitives::B256;
use alloy_rlp::{BufMut, Decodable, Encodable};
use std::{ops::Deref, sync::Arc};

/// A header with its block hash. How the hash is worked out depends on the engine
/// ([`crate::header_hash`]), so it is never derived silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHeader {
    header: Header,
    hash: B256,
}

impl SealedHeader {
    /// Pairs a header with its hash; the caller has worked it out by the engine's rule.
    #[must_use]
    pub const fn new(header: Header, hash: B256) -> Self {
        Self { header, hash }
    }

    /// The block hash.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }
}

impl Deref for SealedHeader {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.header
    }
}

/// A decoded block; nothing about it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The transactions, senders unknown.
    pub transactions: Vec<TransactionEnvelope>,
    /// Uncles; always empty under our engines.
    pub ommers: Vec<Header>,
    /// Withdrawals, from Shanghai on; always empty under our engines.
    pub withdrawals: Option<Withdrawals>,
}

#[derive(alloy_rlp::RlpDecodable)]
#[rlp(trailing)]
struct DecodedBlock {
    header: Header,
    transactions: Vec<TransactionEnvelope>,
    ommers: Vec<Header>,
    withdrawals: Option<Vec<Withdrawal>>,
}

impl Decodable for Block {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let DecodedBlock { header, transactions, ommers, withdrawals } = DecodedBlock::decode(buf)?;
        Ok(Self { header, transactions, ommers, withdrawals: withdrawals.map(Withdrawals::new) })
    }
}

/// What a block carries beside its header, senders known.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BlockBody {
    /// The transactions in order.
    pub transactions: Vec<Arc<RecoveredTransaction>>,
    /// Uncles; always empty under our engines.
    pub ommers: Vec<Header>,
    /// Withdrawals, from Shanghai on; always empty under our engines.
    pub withdrawals: Option<Withdrawals>,
}

/// A block whose senders and hash are known. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredBlock {
    /// The header and the block hash.
    pub header: SealedHeader,
    /// The body, shared between differently sealed forms of the block.
    pub body: Arc<BlockBody>,
}

impl RecoveredBlock {
    /// The same body under another header (other seals, another round).
    #[must_use]
    pub fn with_header(&self, header: SealedHeader) -> Self {
        Self { header, body: Arc::clone(&self.body) }
    }

    /// The block hash.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.header.hash()
    }

    /// The transactions in order.
    #[must_use]
    pub fn transactions(&self) -> &[Arc<RecoveredTransaction>] {
        &self.body.transactions
    }

    fn payload_length(&self) -> usize {
        let body = &self.body;
        let transactions: usize = body.transactions.iter().map(|tx| network_length(tx)).sum();
        self.header.header().length()
            + alloy_rlp::Header { list: true, payload_length: transactions }.length_with_payload()
            + body.ommers.length()
            + body.withdrawals.as_ref().map_or(0, Encodable::length)
    }
}

/// Length of a transaction inside a block: legacy as a list, typed ones wrapped in a string.
fn network_length(transaction: &RecoveredTransaction) -> usize {
    let bytes = transaction.encoded();
    if transaction.is_legacy() { bytes.len() } else { bytes.as_ref().length() }
}

/// Writes transactions as they stand in a block body or a gossip frame.
pub fn encode_transactions<'a, I>(transactions: I, out: &mut dyn BufMut)
where
    I: IntoIterator<Item = &'a Arc<RecoveredTransaction>> + Clone,
{
    let payload_length = transactions.clone().into_iter().map(|tx| network_length(tx)).sum();
    alloy_rlp::Header { list: true, payload_length }.encode(out);
    for transaction in transactions {
        if transaction.is_legacy() {
            out.put_slice(transaction.encoded());
        } else {
            transaction.encoded().as_ref().encode(out);
        }
    }
}

impl Encodable for RecoveredBlock {
    fn encode(&self, out: &mut dyn BufMut) {
        alloy_rlp::Header { list: true, payload_length: self.payload_length() }.encode(out);
        self.header.header().encode(out);
        encode_transactions(&self.body.transactions, out);
        self.body.ommers.encode(out);
        if let Some(withdrawals) = &self.body.withdrawals {
            withdrawals.encode(out);
        }
    }

    fn length(&self) -> usize {
        alloy_rlp::Header { list: true, payload_length: self.payload_length() }
            .length_with_payload()
    }
}

impl Encodable for Block {
    fn encode(&self, out: &mut dyn BufMut) {
        let payload_length = self.header.length()
            + self.transactions.length()
            + self.ommers.length()
            + self.withdrawals.as_ref().map_or(0, Encodable::length);
        alloy_rlp::Header { list: true, payload_length }.encode(out);
        self.header.encode(out);
        self.transactions.encode(out);
        self.ommers.encode(out);
        if let Some(withdrawals) = &self.withdrawals {
            withdrawals.encode(out);
        }
    }
}

/// The size in bytes of a transaction on the wire, EIP-2718 form.
#[must_use]
pub fn encoded_length(envelope: &TransactionEnvelope) -> usize {
    envelope.encode_2718_len()
}
