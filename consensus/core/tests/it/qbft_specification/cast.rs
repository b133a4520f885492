//! Who takes part, and the way between the oracle's statements and signed messages.

use super::predicates::{
    Address, Block, QbftMessage, SignedCommit, SignedPrepare, SignedProposal, SignedRoundChange,
};
use crate::{
    ibft_chain::{ENVIRONMENT, build, genesis, set_of, signers},
    ibft_world::START_UNIX,
};
use alloy_primitives::{B256, U256};
use entente_chain::{
    EnvironmentId, RecoveredBlock, SealedHeader, ValidatorSet,
    extra_data::qbft::{QbftExtra, Seal},
    header_hash::qbft_commit_digest,
    seal::recover_seal,
    signer::SealSigner,
    spec::EngineKind,
};
use entente_consensus::{
    BuildAttributes,
    ibft::{
        self, CommitPayload, Payload, PreparePayload, Proposal, ProposalPayload, RoundChange,
        RoundChangePayload, Signed, View,
    },
};
use std::{collections::BTreeMap, time::Duration};

/// Keys that are in no validator set.
const STRANGERS: usize = 2;
/// Different blocks that each node could propose.
const BLOCKS_EACH: u64 = 3;
/// Which of them execution refuses.
const INVALID: u64 = 2;

/// All keys, and all blocks that were made so far.
pub(super) struct Cast {
    pub(super) validators: usize,
    pub(super) own: Address,
    pub(super) set: ValidatorSet,
    pub(super) head: SealedHeader,
    keys: Vec<SealSigner>,
    blocks: BTreeMap<B256, (RecoveredBlock, Address, bool)>,
    digests: Vec<B256>,
}

impl Cast {
    pub(super) fn new(validators: usize, own: Address) -> Self {
        let keys = signers(validators + STRANGERS);
        // The first keys of the ascending list are the validators: place and turn agree.
        let set = set_of(&keys[..validators]);
        let head = genesis(EngineKind::Qbft, &set, START_UNIX / 1000);
        let (blocks, digests) = (BTreeMap::new(), Vec::new());
        let mut cast = Self { validators, own, set, head, keys, blocks, digests };
        for proposer in 0..validators + STRANGERS {
            for content in 0..BLOCKS_EACH {
                let block = cast.make(proposer, content);
                cast.digests.push(block.hash());
                cast.add(block, proposer, content != INVALID);
            }
        }
        cast
    }

    pub(super) fn key(&self, address: Address) -> &SealSigner {
        &self.keys[address]
    }

    fn make(&self, proposer: Address, content: u64) -> RecoveredBlock {
        let validators = self.set.addresses().to_vec();
        let attributes = BuildAttributes {
            parent: self.head.hash(),
            number: 1,
            timestamp: self.head.timestamp + 1,
            beneficiary: self.keys[proposer].address(),
            extra_data: QbftExtra { validators, ..QbftExtra::default() }.encode(),
            nonce: 0,
            difficulty: U256::ONE,
            time_limit: Duration::ZERO,
        };
        build(EngineKind::Qbft, &attributes, content, false)
    }

    /// Makes a block known.
    pub(super) fn add(&mut self, block: RecoveredBlock, proposer: Address, is_valid: bool) {
        self.blocks.insert(block.hash(), (block, proposer, is_valid));
    }

    /// Digest of a block that a node could propose.
    pub(super) fn digest(&self, proposer: Address, choice: u64) -> B256 {
        let choice = usize::try_from(choice % BLOCKS_EACH).expect("few blocks");
        self.digests[proposer * usize::try_from(BLOCKS_EACH).expect("few blocks") + choice]
    }

    /// A block under a round.
    pub(super) fn block(&self, digest: B256, round: u64) -> Block {
        let (block, proposer, is_valid) = &self.blocks[&digest];
        Block {
            digest,
            height: block.header.number,
            round,
            proposer: *proposer,
            commit_hash: self.commit_hash(digest, round),
            is_valid: *is_valid,
        }
    }

    pub(super) fn commit_hash(&self, digest: B256, round: u64) -> B256 {
        let header = &self.blocks[&digest].0.header;
        let extra = QbftExtra::decode(&header.extra_data).expect("extraData");
        qbft_commit_digest(header, &QbftExtra { round, ..extra })
    }

    pub(super) fn is_valid(&self, digest: B256) -> bool {
        self.blocks[&digest].2
    }

    fn block_of(&self, block: &Block) -> RecoveredBlock {
        let recovered = &self.blocks[&block.digest].0;
        let mut header = recovered.header.header().clone();
        let extra = QbftExtra::decode(&header.extra_data).expect("extraData");
        header.extra_data = QbftExtra { round: block.round, ..extra }.encode();
        recovered.with_header(SealedHeader::new(header, block.digest))
    }

    /// The signed message; `environment` is that of the signatures.
    pub(super) fn sign(&self, message: &QbftMessage, environment: EnvironmentId) -> ibft::Message {
        let signer = Signer { cast: self, environment };
        match message {
            QbftMessage::Proposal { payload, block, round_changes, prepares } => {
                let view = View { height: payload.height, round: payload.round };
                let digest = payload.digest;
                let named = ProposalPayload { view, digest };
                ibft::Message::Proposal(Box::new(Proposal {
                    signed: signer.sign(payload.author, named),
                    block: self.block_of(block),
                    round_changes: round_changes.iter().map(|c| signer.change(c)).collect(),
                    prepares: prepares.iter().map(|p| signer.prepare(p)).collect(),
                }))
            }
            QbftMessage::Prepare(prepare) => ibft::Message::Prepare(signer.prepare(prepare)),
            QbftMessage::Commit(commit) => ibft::Message::Commit(Box::new(signer.commit(commit))),
            QbftMessage::RoundChange { payload, block, prepares } => {
                ibft::Message::RoundChange(Box::new(RoundChange {
                    signed: signer.change(payload),
                    block: block.as_ref().map(|block| self.block_of(block)),
                    prepares: prepares.iter().map(|p| signer.prepare(p)).collect(),
                }))
            }
        }
    }

    /// What a message of the engine says.
    pub(super) fn read(&self, message: &ibft::Message) -> QbftMessage {
        match message {
            ibft::Message::Proposal(proposal) => {
                let ProposalPayload { view, digest } = *proposal.signed.payload();
                let payload = SignedProposal {
                    author: self.address(&proposal.signed),
                    height: view.height,
                    round: view.round,
                    digest,
                };
                QbftMessage::Proposal {
                    payload,
                    block: self.read_block(&proposal.block),
                    round_changes: proposal.round_changes.iter().map(|c| self.change(c)).collect(),
                    prepares: proposal.prepares.iter().map(|p| self.prepare(p)).collect(),
                }
            }
            ibft::Message::Prepare(prepare) => QbftMessage::Prepare(self.prepare(prepare)),
            ibft::Message::Commit(commit) => {
                let CommitPayload { view, digest, seal_digest, seal } = *commit.payload();
                QbftMessage::Commit(SignedCommit {
                    author: self.address(commit),
                    height: view.height,
                    round: view.round,
                    digest,
                    sealer: self.sealer(&seal, seal_digest),
                    sealed: seal_digest,
                })
            }
            ibft::Message::RoundChange(change) => QbftMessage::RoundChange {
                payload: self.change(&change.signed),
                block: change.block.as_ref().map(|block| self.read_block(block)),
                prepares: change.prepares.iter().map(|p| self.prepare(p)).collect(),
            },
        }
    }

    /// A block of the engine's, with the round its header names.
    pub(super) fn read_block(&self, block: &RecoveredBlock) -> Block {
        let extra = QbftExtra::decode(&block.header.extra_data).expect("extraData");
        self.block(block.hash(), extra.round)
    }

    /// The seals in a header, each with who made it over this header.
    pub(super) fn seals(&self, block: &RecoveredBlock) -> Vec<(Address, B256)> {
        let extra = QbftExtra::decode(&block.header.extra_data).expect("extraData");
        let sealed = qbft_commit_digest(&block.header, &extra);
        extra.committed_seals.iter().map(|seal| (self.sealer(seal, sealed), sealed)).collect()
    }

    fn sealer(&self, seal: &Seal, sealed: B256) -> Address {
        let sealer = recover_seal(seal, sealed).expect("a seal of somebody");
        let place = self.keys.iter().position(|key| key.address() == sealer);
        place.unwrap_or(usize::MAX)
    }

    fn address<P: Payload>(&self, signed: &Signed<P>) -> Address {
        let place = self.keys.iter().position(|key| key.address() == signed.author());
        place.expect("a known key")
    }

    fn prepare(&self, prepare: &Signed<PreparePayload>) -> SignedPrepare {
        let PreparePayload { view, digest } = *prepare.payload();
        let author = self.address(prepare);
        SignedPrepare { author, height: view.height, round: view.round, digest }
    }

    fn change(&self, change: &Signed<RoundChangePayload>) -> SignedRoundChange {
        let RoundChangePayload { view, prepared } = *change.payload();
        let author = self.address(change);
        SignedRoundChange { author, height: view.height, round: view.round, prepared }
    }
}

/// Signs what the oracle has the others say.
struct Signer<'a> {
    cast: &'a Cast,
    environment: EnvironmentId,
}

impl Signer<'_> {
    fn sign<P: Payload>(&self, author: Address, payload: P) -> Signed<P> {
        Signed::sign(payload, self.environment, &self.cast.keys[author])
    }

    fn prepare(&self, prepare: &SignedPrepare) -> Signed<PreparePayload> {
        let view = View { height: prepare.height, round: prepare.round };
        self.sign(prepare.author, PreparePayload { view, digest: prepare.digest })
    }

    fn change(&self, change: &SignedRoundChange) -> Signed<RoundChangePayload> {
        let view = View { height: change.height, round: change.round };
        self.sign(change.author, RoundChangePayload { view, prepared: change.prepared })
    }

    fn commit(&self, commit: &SignedCommit) -> Signed<CommitPayload> {
        let view = View { height: commit.height, round: commit.round };
        let seal = self.cast.keys[commit.sealer].sign(commit.sealed);
        let (digest, seal_digest) = (commit.digest, commit.sealed);
        self.sign(commit.author, CommitPayload { view, digest, seal_digest, seal })
    }
}

/// Another environment than the chain's.
pub(super) const ELSEWHERE: EnvironmentId = EnvironmentId(B256::repeat_byte(9));
/// The chain's.
pub(super) const HERE: EnvironmentId = ENVIRONMENT;
