//! S3, S10, C1, C2: a canonical block keeps the rules, judged anew.

use super::{Checker, Finding, finding, hash_with};
use crate::Coverage;
use alloy_primitives::{Address, B256, U256, keccak256};
use entente_chain::{
    Header, RecoveredBlock, ValidatorSet,
    extra_data::{
        clique::CliqueExtra,
        istanbul::IstanbulExtra,
        qbft::{QbftExtra, Seal},
        raft::RaftExtra,
    },
    seal::recover_seal,
    spec::EngineKind,
};
use std::collections::BTreeSet;

/// Counts distinct validators that sealed a digest.
fn sealers(seals: &[Seal], digest: B256, validators: &ValidatorSet) -> usize {
    let authors: BTreeSet<Address> =
        seals.iter().filter_map(|seal| recover_seal(seal, digest).ok()).collect();
    authors.into_iter().filter(|author| validators.contains(*author)).count()
}

/// Who sealed a Clique block.
pub(super) fn clique_signer(header: &Header) -> Option<Address> {
    let extra = CliqueExtra::decode(&header.extra_data).ok()?;
    recover_seal(&extra.seal, hash_with(header, extra.without_seal())).ok()
}

impl Checker {
    pub(super) fn check_block(
        &self,
        block: &RecoveredBlock,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        let header = block.header.header();
        let number = header.number;
        let broken = |what: &str| finding("S3", format!("block {number}: {what}"));
        // The first block's parent is genesis, whose validators need no proof.
        let Some(parent) = self.after.get(&header.parent_hash) else {
            let first = number == 1 && header.parent_hash == self.genesis;
            return if first { Ok(()) } else { broken("its parent was never seen") };
        };
        if parent.number + 1 != number {
            return broken("its height does not follow");
        }
        if header.timestamp < parent.timestamp {
            return finding("S10", format!("block {number} is older than its parent"));
        }
        let signers = &parent.validators;
        let sealed = match self.spec.engine_at(number) {
            EngineKind::Qbft => {
                let Ok(extra) = QbftExtra::decode(&header.extra_data) else {
                    return broken("extraData");
                };
                let digest = hash_with(header, extra.without_seals().encode());
                3 * sealers(&extra.committed_seals, digest, signers) >= 2 * signers.len()
            }
            EngineKind::Istanbul => {
                let Ok(extra) = IstanbulExtra::decode(&header.extra_data) else {
                    return broken("extraData");
                };
                let hash = hash_with(header, extra.without_committed_seals().encode());
                let digest = keccak256([hash.as_slice(), &[2]].concat());
                3 * sealers(&extra.committed_seals, digest, signers) >= 2 * signers.len()
            }
            EngineKind::Raft => {
                let Ok(extra) = RaftExtra::decode(&header.extra_data) else {
                    return broken("extraData");
                };
                let digest = hash_with(header, extra.without_signature().encode());
                recover_seal(&extra.signature, digest) == Ok(header.beneficiary)
                    && signers.contains(header.beneficiary)
            }
            EngineKind::Clique => return self.check_clique(header, coverage),
            EngineKind::Ethereum => false,
        };
        let small = !self.spec.rules_at(number).quorum_two_thirds;
        if sealed || small { Ok(()) } else { broken("too few validators stand behind it") }
    }

    /// C1: nobody twice within half of the signers. C2: weight 2 exactly in turn.
    fn check_clique(&self, header: &Header, coverage: &mut Coverage) -> Result<(), Finding> {
        let number = header.number;
        let Some(parent) = self.after.get(&header.parent_hash) else { return Ok(()) };
        let signers = parent.validators.addresses();
        let Some(signer) = clique_signer(header) else {
            return finding("S3", format!("block {number}: no seal"));
        };
        let Some(index) = signers.iter().position(|known| *known == signer) else {
            return finding("S3", format!("block {number} is of {signer}, no signer"));
        };
        let in_turn = number % signers.len() as u64 == index as u64;
        if !in_turn {
            coverage.saw("block out of turn");
        }
        let weight = header.difficulty;
        if weight != U256::from(1 + u8::from(in_turn)) {
            return finding("C2", format!("block {number} weighs {weight}"));
        }
        let recent = parent.tally.recent_signers().iter();
        let window = signers.len() as u64 / 2;
        let again = recent.filter(|recent| recent.signer == signer);
        if again.clone().any(|recent| recent.block + window >= number) {
            return finding("C1", format!("{signer} seals {number} and sealed before"));
        }
        Ok(())
    }
}
