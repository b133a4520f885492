//! Keys, and the seals of every engine.

use alloy_primitives::{Address, B256, keccak256};
use entente_chain::{
    ChainSpec, Header, RecoveredBlock,
    extra_data::{clique::CliqueExtra, istanbul::IstanbulExtra, qbft::QbftExtra, raft::RaftExtra},
    header_hash::{
        istanbul_commit_digest, istanbul_proposer_digest, qbft_commit_digest, seal as hashed,
    },
    signer::SealSigner,
    spec::EngineKind,
};
use entente_consensus::rules::{clique_digest, raft_digest};
use zeroize::Zeroizing;

/// Keys in the order of their addresses.
pub(crate) fn keys(count: u8) -> Vec<SealSigner> {
    let key = |number| SealSigner::new(&Zeroizing::new(keccak256([number]).0)).unwrap();
    let mut keys: Vec<_> = (0..count).map(key).collect();
    keys.sort_by_key(SealSigner::address);
    keys
}

pub(crate) fn addresses(keys: &[SealSigner]) -> Vec<Address> {
    keys.iter().map(SealSigner::address).collect()
}

/// The block as `author` sealed it and, where there is a quorum, all of `keys` did.
pub(crate) fn seal(
    spec: &ChainSpec,
    block: &RecoveredBlock,
    author: &SealSigner,
    keys: &[SealSigner],
) -> RecoveredBlock {
    let engine = spec.engine_at(block.header.number);
    let mut header = block.header.header().clone();
    match engine {
        EngineKind::Qbft => {
            let mut extra = QbftExtra::decode(&header.extra_data).unwrap();
            let digest = qbft_commit_digest(&header, &extra);
            extra.committed_seals = keys.iter().map(|key| key.sign(digest)).collect();
            header.extra_data = extra.encode();
        }
        EngineKind::Istanbul => {
            let mut extra = IstanbulExtra::decode(&header.extra_data).unwrap();
            extra.proposer_seal = Some(author.sign(istanbul_proposer_digest(&header, &extra)));
            header.extra_data = extra.encode();
            let digest = istanbul_commit_digest(hash(engine, &header));
            extra.committed_seals = keys.iter().map(|key| key.sign(digest)).collect();
            header.extra_data = extra.encode();
        }
        EngineKind::Clique => {
            let mut extra = CliqueExtra::decode(&header.extra_data).unwrap();
            extra.seal = author.sign(clique_digest(&header, &extra));
            header.extra_data = extra.encode();
        }
        EngineKind::Raft => {
            let mut extra = RaftExtra::decode(&header.extra_data).unwrap();
            extra.signature = author.sign(raft_digest(&header, &extra));
            header.extra_data = extra.encode();
        }
        EngineKind::Ethereum => panic!("nobody seals plain Ethereum blocks"),
    }
    block.with_header(hashed(engine, header).unwrap())
}

fn hash(engine: EngineKind, header: &Header) -> B256 {
    hashed(engine, header.clone()).unwrap().hash()
}

/// Addresses of some of our keys.
pub(crate) fn some(indices: &[usize]) -> Vec<Address> {
    let all = addresses(&keys(9));
    indices.iter().map(|index| all[*index]).collect()
}
