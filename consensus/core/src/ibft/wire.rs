//! Whole messages: a signed payload and what stands beside it. Nothing beside the payload is
//! covered by the author's signature, so everything there is bound to it here: blocks by their
//! hash and body roots, justifications by signatures of their own.

use super::payload::{
    CommitPayload, Kind, Payload, PreparePayload, ProposalPayload, RoundChangePayload, Signed,
    Unverified, View, nothing_left,
};
use crate::message::{AdmissionError, Gate, RecoverSenders};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, constants::EMPTY_WITHDRAWALS, proofs::calculate_transaction_root,
};
use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable, Header};
use entente_chain::{
    Block, BlockBody, EnvironmentId, RecoveredBlock, header_hash,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX},
    seal::recover_seal,
    spec::EngineKind,
};
use std::sync::Arc;

/// A proposal with its block and, from round 1 on, its justification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What the proposer signed.
    pub signed: Signed<ProposalPayload>,
    /// The block: this round in extraData, no seals.
    pub block: RecoveredBlock,
    /// A quorum of validators asked for this round.
    pub round_changes: Vec<Signed<RoundChangePayload>>,
    /// When one of them had a prepared block: the quorum of prepares for it.
    pub prepares: Vec<Signed<PreparePayload>>,
}

/// A round change with the certificate of the prepared block it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundChange {
    /// What its author signed.
    pub signed: Signed<RoundChangePayload>,
    /// The prepared block, when one is named.
    pub block: Option<RecoveredBlock>,
    /// The quorum of prepares for it.
    pub prepares: Vec<Signed<PreparePayload>>,
}

/// A message of the IBFT engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// 0x12
    Proposal(Box<Proposal>),
    /// 0x13
    Prepare(Signed<PreparePayload>),
    /// 0x14
    Commit(Box<Signed<CommitPayload>>),
    /// 0x15
    RoundChange(Box<RoundChange>),
}

impl Message {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Proposal(_) => Kind::Proposal,
            Self::Prepare(_) => Kind::Prepare,
            Self::Commit(_) => Kind::Commit,
            Self::RoundChange(_) => Kind::RoundChange,
        }
    }

    /// Who signed it.
    #[must_use]
    pub const fn author(&self) -> Address {
        match self {
            Self::Proposal(proposal) => proposal.signed.author(),
            Self::Prepare(prepare) => prepare.author(),
            Self::Commit(commit) => commit.author(),
            Self::RoundChange(change) => change.signed.author(),
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn view(&self) -> View {
        match self {
            Self::Proposal(proposal) => proposal.signed.payload().view,
            Self::Prepare(prepare) => prepare.payload().view,
            Self::Commit(commit) => commit.payload().view,
            Self::RoundChange(change) => change.signed.payload().view,
        }
    }

    /// RLP of `[code, signed, ..]`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut fields = Vec::with_capacity(512);
        self.kind().code().encode(&mut fields);
        match self {
            Self::Prepare(prepare) => prepare.encode(&mut fields),
            Self::Commit(commit) => commit.encode(&mut fields),
            Self::Proposal(proposal) => {
                proposal.signed.encode(&mut fields);
                proposal.block.encode(&mut fields);
                encode_list(&proposal.round_changes, &mut fields);
                encode_list(&proposal.prepares, &mut fields);
            }
            Self::RoundChange(change) => {
                change.signed.encode(&mut fields);
                let payload_length = change.block.as_ref().map_or(0, Encodable::length);
                Header { list: true, payload_length }.encode(&mut fields);
                if let Some(block) = &change.block {
                    block.encode(&mut fields);
                }
                encode_list(&change.prepares, &mut fields);
            }
        }
        Header { list: true, payload_length: fields.len() }.encode(out);
        out.extend_from_slice(&fields);
    }

    /// Decodes a message and checks everything that needs no state.
    pub(crate) fn admit(
        mut body: &[u8],
        gate: &Gate<'_>,
        recover: RecoverSenders<'_>,
    ) -> Result<Self, AdmissionError> {
        let mut fields = Header::decode_bytes(&mut body, true)?;
        nothing_left(body)?;
        let code = u8::decode(&mut fields)?;
        match Kind::from_code(code).ok_or(AdmissionError::UnknownCode(code))? {
            Kind::Proposal => admit_proposal(fields, gate, recover),
            Kind::Prepare => {
                let prepare = decode_outer(&mut fields, gate)?;
                nothing_left(fields)?;
                Ok(Self::Prepare(verify_outer(prepare, gate)?))
            }
            Kind::Commit => {
                let commit = decode_outer::<CommitPayload>(&mut fields, gate)?;
                nothing_left(fields)?;
                let commit = verify_outer(commit, gate)?;
                check_seal(&commit)?;
                Ok(Self::Commit(Box::new(commit)))
            }
            Kind::RoundChange => admit_round_change(fields, gate, recover),
        }
    }
}

fn admit_proposal(
    mut fields: &[u8],
    gate: &Gate<'_>,
    recover: RecoverSenders<'_>,
) -> Result<Message, AdmissionError> {
    let signed = decode_outer::<ProposalPayload>(&mut fields, gate)?;
    let height = signed.payload.view.height;
    let block = decode_block(&mut fields)?;
    let round_changes = decode_list(&mut fields, "round changes", height, gate)?;
    let prepares = decode_list(&mut fields, "prepares", height, gate)?;
    nothing_left(fields)?;
    let digest = signed.payload.digest;
    check_header(&block, height, digest)?;
    let signed = verify_outer(signed, gate)?;
    let round_changes = verify_list(round_changes)?;
    let prepares = verify_list(prepares)?;
    let block = recover_block(block, digest, recover)?;
    Ok(Message::Proposal(Box::new(Proposal { signed, block, round_changes, prepares })))
}

fn admit_round_change(
    mut fields: &[u8],
    gate: &Gate<'_>,
    recover: RecoverSenders<'_>,
) -> Result<Message, AdmissionError> {
    let signed = decode_outer::<RoundChangePayload>(&mut fields, gate)?;
    let height = signed.payload.view.height;
    let mut inner = Header::decode_bytes(&mut fields, true)?;
    let block = if inner.is_empty() { None } else { Some(decode_block(&mut inner)?) };
    nothing_left(inner)?;
    let prepares = decode_list(&mut fields, "prepares", height, gate)?;
    nothing_left(fields)?;
    let block = match (signed.payload.prepared, block) {
        (None, None) if prepares.is_empty() => None,
        (Some((_, digest)), Some(block)) => {
            check_header(&block, height, digest)?;
            Some((block, digest))
        }
        _ => return Err(AdmissionError::Mismatch("a prepared block needs its certificate")),
    };
    let signed = verify_outer(signed, gate)?;
    let prepares = verify_list(prepares)?;
    let block = match block {
        Some((block, digest)) => Some(recover_block(block, digest, recover)?),
        None => None,
    };
    Ok(Message::RoundChange(Box::new(RoundChange { signed, block, prepares })))
}

fn decode_outer<P: Payload>(
    fields: &mut &[u8],
    gate: &Gate<'_>,
) -> Result<Unverified<P>, AdmissionError> {
    let unverified = Unverified::<P>::decode(fields, gate.environment)?;
    gate.check_height(unverified.payload.view().height)?;
    Ok(unverified)
}

fn verify_outer<P: Payload>(
    unverified: Unverified<P>,
    gate: &Gate<'_>,
) -> Result<Signed<P>, AdmissionError> {
    let height = unverified.payload.view().height;
    let signed = unverified.verify()?;
    gate.check_author(height, signed.author())?;
    Ok(signed)
}

fn check_seal(commit: &Signed<CommitPayload>) -> Result<(), AdmissionError> {
    let payload = commit.payload();
    let sealer =
        recover_seal(&payload.seal, payload.seal_digest).map_err(|_| AdmissionError::Signature)?;
    let author = commit.author();
    match sealer == author {
        true => Ok(()),
        false => Err(AdmissionError::SealAuthor { sealer, author }),
    }
}

/// besu PR 11214: lists are bounded by the number of validators while they are decoded.
/// charon#1923: what justifies a message speaks of the same height.
fn decode_list<P: Payload>(
    fields: &mut &[u8],
    what: &'static str,
    height: u64,
    gate: &Gate<'_>,
) -> Result<Vec<Unverified<P>>, AdmissionError> {
    let mut list = Header::decode_bytes(fields, true)?;
    let allowed = gate.list_limit(height);
    let mut entries = Vec::new();
    while !list.is_empty() {
        if entries.len() == allowed {
            return Err(AdmissionError::TooMany { what, got: allowed + 1, allowed });
        }
        let entry = Unverified::<P>::decode(&mut list, gate.environment)?;
        if entry.payload.view().height != height {
            return Err(AdmissionError::Mismatch("a justification speaks of another height"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn verify_list<P: Payload>(list: Vec<Unverified<P>>) -> Result<Vec<Signed<P>>, AdmissionError> {
    list.into_iter().map(Unverified::verify).collect()
}

pub(super) fn encode_list<P: Payload>(list: &[Signed<P>], out: &mut Vec<u8>) {
    let payload_length = list.iter().map(Signed::encoded_length).sum();
    Header { list: true, payload_length }.encode(out);
    for signed in list {
        signed.encode(out);
    }
}

/// Reads prepares that this node wrote itself.
pub(super) fn decode_prepares(
    fields: &mut &[u8],
    environment: EnvironmentId,
    allowed: usize,
) -> Result<Vec<Signed<PreparePayload>>, AdmissionError> {
    let mut list = Header::decode_bytes(fields, true)?;
    let mut prepares = Vec::new();
    while !list.is_empty() {
        if prepares.len() == allowed {
            let got = allowed + 1;
            return Err(AdmissionError::TooMany { what: "prepares", got, allowed });
        }
        prepares.push(Unverified::decode(&mut list, environment)?.verify()?);
    }
    Ok(prepares)
}

fn decode_block(fields: &mut &[u8]) -> Result<Block, AdmissionError> {
    let before = fields.len();
    let block = Block::decode(fields)?;
    let got = before - fields.len();
    if got > BLOCK_BYTES_MAX {
        let what = "bytes of a block";
        return Err(AdmissionError::TooMany { what, got, allowed: BLOCK_BYTES_MAX });
    }
    let (got, allowed) = (block.transactions.len(), BLOCK_TRANSACTIONS_MAX);
    if got > allowed {
        return Err(AdmissionError::TooMany { what: "transactions", got, allowed });
    }
    Ok(block)
}

/// The header is what the payload names. Closed world (GHSA-p4h2): no uncles, no withdrawals.
fn check_header(block: &Block, height: u64, digest: B256) -> Result<(), AdmissionError> {
    if block.header.number != height {
        return Err(AdmissionError::Mismatch("the block is of another height"));
    }
    // Either format: which one the chain writes is known to the engine, and checked there.
    let is = |engine| header_hash::block_hash(engine, &block.header) == Ok(digest);
    if !is(EngineKind::Qbft) && !is(EngineKind::Istanbul) {
        return Err(AdmissionError::Mismatch("the block is not the one that was signed"));
    }
    if !block.ommers.is_empty() || block.header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return Err(AdmissionError::Mismatch("the block has uncles"));
    }
    let withdrawals = block.withdrawals.as_ref().map(|list| list.is_empty());
    let expected = match block.header.withdrawals_root {
        None => None,
        Some(EMPTY_WITHDRAWALS) => Some(true),
        Some(_) => Some(false),
    };
    match withdrawals == expected && expected != Some(false) {
        true => Ok(()),
        false => Err(AdmissionError::Mismatch("the block has withdrawals")),
    }
}

/// The body belongs to the header: else a relay could make an honest proposer look dishonest.
fn recover_block(
    block: Block,
    digest: B256,
    recover: RecoverSenders<'_>,
) -> Result<RecoveredBlock, AdmissionError> {
    if calculate_transaction_root(&block.transactions) != block.header.transactions_root {
        return Err(AdmissionError::Mismatch("the transactions are not those of the header"));
    }
    let Block { header, transactions, ommers, withdrawals } = block;
    let transactions = recover(transactions).map_err(AdmissionError::Senders)?;
    Ok(RecoveredBlock {
        header: entente_chain::SealedHeader::new(header, digest),
        body: Arc::new(BlockBody { transactions, ommers, withdrawals }),
    })
}
