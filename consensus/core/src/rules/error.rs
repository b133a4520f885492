//! Why a header is refused. Every variant is one rule.

use alloy_primitives::{Address, B64, B256, U256};
use entente_chain::{
    BlockNumber, extra_data::ExtraDataError, seal::SealError, validators::ValidatorSetError,
};
use std::fmt;

/// What stands, or should stand, in an optional header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// No field.
    Absent,
    /// A field whose value is not told.
    Present,
    /// A number.
    Number(u64),
    /// A hash.
    Hash(B256),
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Present => f.write_str("present"),
            Self::Number(number) => number.fmt(f),
            Self::Hash(hash) => hash.fmt(f),
        }
    }
}

/// A header field that came with a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderField {
    /// EIP-1559.
    BaseFeePerGas,
    /// EIP-4895.
    WithdrawalsRoot,
    /// EIP-4844.
    BlobGasUsed,
    /// EIP-4844.
    ExcessBlobGas,
    /// EIP-4788.
    ParentBeaconBlockRoot,
    /// EIP-7685.
    RequestsHash,
    /// EIP-7928.
    BlockAccessListHash,
    /// EIP-7843.
    SlotNumber,
}

impl fmt::Display for HeaderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BaseFeePerGas => "baseFeePerGas",
            Self::WithdrawalsRoot => "withdrawalsRoot",
            Self::BlobGasUsed => "blobGasUsed",
            Self::ExcessBlobGas => "excessBlobGas",
            Self::ParentBeaconBlockRoot => "parentBeaconBlockRoot",
            Self::RequestsHash => "requestsHash",
            Self::BlockAccessListHash => "blockAccessListHash",
            Self::SlotNumber => "slotNumber",
        })
    }
}

/// The rule that a header breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "got and expected of the rule that the variant names")]
pub enum HeaderError {
    /// The height is not the parent's plus one.
    #[error("number is {got}, expected {expected}")]
    Number { got: BlockNumber, expected: BlockNumber },
    /// The header names another parent.
    #[error("parent hash is {got}, expected {expected}")]
    ParentHash { got: B256, expected: B256 },
    /// extraData is not what the engine writes.
    #[error(transparent)]
    ExtraData(#[from] ExtraDataError),
    /// Yellow paper: extraData has at most 32 bytes.
    #[error("extraData has {got} bytes, at most {allowed} are allowed")]
    ExtraDataTooLong { got: usize, allowed: usize },
    /// BFT headers are known by one constant.
    #[error("mixHash is {got}, expected {expected}")]
    MixHash { got: B256, expected: B256 },
    /// Difficulty is not what the rules work out.
    #[error("difficulty is {got}, expected {expected}")]
    Difficulty { got: U256, expected: U256 },
    /// Only genesis goes without.
    #[error("extraData has no proposer seal")]
    ProposerSealMissing,
    /// A vote has one of two nonces.
    #[error("nonce is {got}, expected all ff (add) or 0 (drop)")]
    VoteNonce { got: B64 },
    /// Only blocks that GoQuorum made go without.
    #[error("extraData has no term; only chains that began under GoQuorum's Raft have such blocks")]
    RaftTermMissing,
    /// Terms never go back along a chain.
    #[error("term is {got}, at least {least} is expected")]
    RaftTermFell { got: u64, least: u64 },
    /// The leader's number in the cluster is another one.
    #[error("raft id is {got}, expected {expected}")]
    RaftId { got: u64, expected: u64 },
    /// A change that does not fit the members.
    #[error("the change of member {member} does not fit the members")]
    MemberChange { member: Address },
    /// EIP-225: checkpoints cast no votes.
    #[error("a checkpoint block has a vote in coinbase and nonce")]
    CheckpointVote,
    /// EIP-225: only checkpoints list signers.
    #[error("block {number} lists signers and is no checkpoint")]
    CheckpointSigners { number: BlockNumber },
    /// EIP-225: one block within half of the signers.
    #[error("{0} sealed one of the last blocks and must wait")]
    SealedRecently(Address),
    /// The hash covers the seal, so its other form would be another block.
    #[error("the seal does not have the lower s and a v of 0 or 1")]
    SealForm,
    /// A nonce where there is none.
    #[error("nonce is {got}, expected 0")]
    Nonce { got: B64 },
    /// Uncles where there are none.
    #[error("sha3Uncles is {got}, expected the hash of no uncles")]
    OmmersHash { got: B256 },
    /// Below the protocol's minimum or above 2^63-1.
    #[error("gas limit is {got}, expected between {least} and {most}")]
    GasLimitRange { got: u64, least: u64, most: u64 },
    /// The gas limit moved too far.
    #[error("gas limit is {got}, parent's {parent} may move by less than {bound}")]
    GasLimitStep { got: u64, parent: u64, bound: u64 },
    /// More gas used than there is.
    #[error("gas used is {got}, the gas limit is {limit}")]
    GasUsed { got: u64, limit: u64 },
    /// Too early after the parent, in the chain's unit.
    #[error("timestamp is {got}, the earliest is {earliest}")]
    TimestampTooEarly { got: u64, earliest: u64 },
    /// Ahead of our clock by more than the drift allowed, in seconds.
    #[error("timestamp {got} is in the future, the latest is {latest}")]
    TimestampInFuture { got: u64, latest: u64 },
    /// The coinbase is no validator.
    #[error("coinbase {0} is not a validator of this block")]
    UnknownProposer(Address),
    /// extraData lists other validators than those who vote.
    #[error("extraData lists {got:?} as validator {index}, expected {expected:?}")]
    Validators { index: usize, got: Option<Address>, expected: Option<Address> },
    /// A vote about nobody.
    #[error("the vote is about the zero address")]
    VoteForNobody,
    /// No honest chain gets so far.
    #[error("round is {got}, at most {allowed} is allowed")]
    Round { got: u64, allowed: u64 },
    /// No quorum.
    #[error("{got} committed seals, a quorum has {expected}")]
    TooFewSeals { got: usize, expected: usize },
    /// More seals than validators.
    #[error("{got} committed seals of {allowed} validators")]
    TooManySeals { got: usize, allowed: usize },
    /// No key made the seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The seal is valid but not of a validator, or over another block or round.
    #[error("a committed seal is of {0}, who is not a validator of this block")]
    SealOfStranger(Address),
    /// The same validator twice.
    #[error("validator {0} sealed twice")]
    DuplicateSeal(Address),
    /// A list of validators is no validator set.
    #[error(transparent)]
    ValidatorSet(#[from] ValidatorSetError),
    /// A field of a fork is missing, there too early, or wrong.
    #[error("{field} is {got}, expected {expected}")]
    Field { field: HeaderField, got: FieldValue, expected: FieldValue },
    /// EIP-4844: whole blobs, at most the maximum.
    #[error("blobGasUsed is {got}, expected a multiple of {blob} up to {most}")]
    BlobGasUsed { got: u64, blob: u64, most: u64 },
    /// At most two uncles, none under BFT engines and after the merge.
    #[error("{got} uncles, at most {allowed} are allowed")]
    TooManyUncles { got: usize, allowed: usize },
    /// The uncles are not those that the header names.
    #[error("the uncles hash to {got}, the header says {expected}")]
    UnclesHash { got: B256, expected: B256 },
    /// Included before, or twice in this block.
    #[error("uncle {0} was included before")]
    DuplicateUncle(B256),
    /// An uncle may not be on the chain itself.
    #[error("uncle {0} is an ancestor of the block")]
    UncleIsAncestor(B256),
    /// Parent unknown, too deep, or the block's own.
    #[error("uncle {uncle} has parent {parent}, which is not the second to seventh ancestor")]
    UncleParent { uncle: B256, parent: B256 },
    /// The uncle's own header breaks a rule.
    #[error("uncle {uncle}: {cause}")]
    Uncle { uncle: B256, cause: Box<Self> },
}
