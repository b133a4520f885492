//! The two header formats that this engine writes under one set of rules: QBFT's, and IBFT 1's of
//! GoQuorum. They differ in where a vote stands, in what is sealed, and in what the hash covers.

use crate::rules;
use alloy_primitives::{Address, B256, Bytes};
use entente_chain::{
    Header, RecoveredBlock, SealedHeader,
    extra_data::{
        ExtraDataError,
        istanbul::IstanbulExtra,
        qbft::{QbftExtra, Seal, Vote},
    },
    header_hash::{
        block_hash, istanbul_commit_digest, istanbul_proposer_digest, qbft_commit_digest,
    },
    signer::SealSigner,
    spec::EngineKind,
};

/// A header format of IBFT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Qbft,
    Istanbul,
}

/// What a vote and a validator set make of a header that is yet to be built.
pub(super) struct Draft {
    pub(super) extra_data: Bytes,
    pub(super) beneficiary: Address,
    pub(super) nonce: u64,
}

impl Format {
    /// The format of an engine's headers; `None` where IBFT does not seal.
    pub(super) const fn of(engine: EngineKind) -> Option<Self> {
        match engine {
            EngineKind::Qbft => Some(Self::Qbft),
            EngineKind::Istanbul => Some(Self::Istanbul),
            EngineKind::Clique | EngineKind::Raft | EngineKind::Ethereum => None,
        }
    }

    const fn engine(self) -> EngineKind {
        match self {
            Self::Qbft => EngineKind::Qbft,
            Self::Istanbul => EngineKind::Istanbul,
        }
    }

    /// A new header's fields. IBFT 1 votes in coinbase and nonce, as Clique does.
    pub(super) fn draft(
        self,
        vanity: B256,
        validators: Vec<Address>,
        vote: Option<Vote>,
        round: u64,
        proposer: Address,
    ) -> Draft {
        match self {
            Self::Qbft => {
                let extra = QbftExtra { vanity, validators, vote, round, ..QbftExtra::default() };
                Draft { extra_data: extra.encode(), beneficiary: proposer, nonce: 0 }
            }
            Self::Istanbul => {
                let extra = IstanbulExtra { vanity, validators, ..IstanbulExtra::default() };
                Draft {
                    extra_data: extra.encode(),
                    beneficiary: vote.map_or(Address::ZERO, |vote| vote.recipient),
                    nonce: if vote.is_some_and(|vote| vote.add) { u64::MAX } else { 0 },
                }
            }
        }
    }

    /// A block that was built for us, with the seal that a proposer owes.
    pub(super) fn propose(
        self,
        block: RecoveredBlock,
        signer: &SealSigner,
    ) -> Result<RecoveredBlock, ExtraDataError> {
        if self == Self::Qbft {
            return Ok(block);
        }
        let mut header = block.header.header().clone();
        let mut extra = IstanbulExtra::decode(&header.extra_data)?;
        extra.proposer_seal = Some(signer.sign(istanbul_proposer_digest(&header, &extra)));
        header.extra_data = extra.encode();
        let hash = block_hash(self.engine(), &header)?;
        Ok(block.with_header(SealedHeader::new(header, hash)))
    }

    /// The block under another round (QBFT) and other commit seals; its hash stays.
    pub(super) fn resealed(
        self,
        block: &RecoveredBlock,
        round: u64,
        committed_seals: Vec<Seal>,
    ) -> Result<RecoveredBlock, ExtraDataError> {
        let mut header = block.header.header().clone();
        header.extra_data = match self {
            Self::Qbft => {
                let extra = QbftExtra::decode(&header.extra_data)?;
                QbftExtra { round, committed_seals, ..extra }.encode()
            }
            Self::Istanbul => {
                let extra = IstanbulExtra::decode(&header.extra_data)?;
                IstanbulExtra { committed_seals, ..extra }.encode()
            }
        };
        Ok(block.with_header(SealedHeader::new(header, block.hash())))
    }

    /// What a commit seal for a block signs in a round. IBFT 1 seals say nothing of rounds.
    pub(super) fn commit_digest(self, block: &RecoveredBlock, round: u64) -> Option<B256> {
        match self {
            Self::Qbft => {
                let mut extra = QbftExtra::decode(&block.header.extra_data).ok()?;
                extra.round = round;
                Some(qbft_commit_digest(&block.header, &extra))
            }
            Self::Istanbul => Some(istanbul_commit_digest(block.hash())),
        }
    }

    /// Who proposed a header of this format first.
    pub(super) fn proposer(self, header: &Header) -> Option<Address> {
        match self {
            Self::Qbft => Some(header.beneficiary),
            Self::Istanbul => rules::istanbul_author(header).ok(),
        }
    }

    /// Checks what consensus itself relies on in a proposal's extraData, votes and hash.
    pub(super) fn check(
        self,
        header: &SealedHeader,
        round: u64,
        validators: &[Address],
    ) -> Result<(), &'static str> {
        if block_hash(self.engine(), header) != Ok(header.hash()) {
            return Err("the block's hash is not of this chain's header format");
        }
        let (listed, unsealed) = match self {
            Self::Qbft => {
                let extra =
                    QbftExtra::decode(&header.extra_data).map_err(|_| "extraData is not QBFT's")?;
                if extra.round != round || !header.nonce.is_zero() {
                    return Err("extraData names another round, or there is a nonce");
                }
                (extra.validators, extra.committed_seals.is_empty())
            }
            Self::Istanbul => {
                let extra = IstanbulExtra::decode(&header.extra_data)
                    .map_err(|_| "extraData is not IBFT 1's")?;
                (extra.validators, extra.committed_seals.is_empty())
            }
        };
        if !unsealed {
            return Err("a proposal has commit seals already");
        }
        if listed != validators {
            return Err("extraData names other validators");
        }
        Ok(())
    }
}
