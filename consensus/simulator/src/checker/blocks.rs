//! S3, S10, B6, C1, C2, C3: a canonical block keeps the rules, judged anew.

use super::{Checker, Finding, finding, hash_with};
use crate::Coverage;
use alloy_primitives::{Address, B64, B256, Bytes, U256, keccak256};
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
use entente_consensus::rules::rules_for;
use std::{collections::BTreeSet, sync::Arc};

/// Seconds that a header may be ahead of true time: the rules' fifteen, and a clock that is ahead.
const AHEAD_MAX: u64 = 16;

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
        unix: u64,
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
        self.check_time(header, parent.timestamp, unix)?;
        let signers = &parent.validators;
        let sealed = match self.spec.engine_at(number) {
            EngineKind::Qbft => {
                let Ok(extra) = QbftExtra::decode(&header.extra_data) else {
                    return broken("extraData");
                };
                let digest = hash_with(header, extra.without_seals().encode());
                self.check_seals(header, signers, &extra.committed_seals, |seals| {
                    QbftExtra { committed_seals: seals, ..extra.clone() }.encode()
                })?;
                3 * sealers(&extra.committed_seals, digest, signers) >= 2 * signers.len()
            }
            EngineKind::Istanbul => {
                let Ok(extra) = IstanbulExtra::decode(&header.extra_data) else {
                    return broken("extraData");
                };
                let hash = hash_with(header, extra.without_committed_seals().encode());
                let digest = keccak256([hash.as_slice(), &[2]].concat());
                self.check_seals(header, signers, &extra.committed_seals, |seals| {
                    IstanbulExtra { committed_seals: seals, ..extra.clone() }.encode()
                })?;
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

    /// S10: no earlier than the parent and its period, no later than the furthest clock allows.
    fn check_time(&self, header: &Header, parent: u64, unix: u64) -> Result<(), Finding> {
        let (number, time) = (header.number, header.timestamp);
        let period = match self.spec.engine_at(number) {
            EngineKind::Raft | EngineKind::Ethereum => 0,
            _ => self.spec.rules_at(number).block_period_ms / 1000,
        };
        let earliest = parent.saturating_add(period.saturating_mul(self.spec.ticks_per_second()));
        let ahead = self.spec.seconds(time).saturating_sub(unix);
        if time < earliest || ahead > AHEAD_MAX {
            let what = format!("block {number} is of {time}, parent {parent}, clock {unix}");
            return finding("S10", what);
        }
        Ok(())
    }

    /// B6: as many seals as are listed are of different validators, and one less than a quorum makes
    /// the header invalid.
    fn check_seals(
        &self,
        header: &Header,
        signers: &ValidatorSet,
        seals: &[Seal],
        encode: impl Fn(Vec<Seal>) -> Bytes,
    ) -> Result<(), Finding> {
        let number = header.number;
        let different: BTreeSet<_> = seals.iter().collect();
        if different.len() != seals.len() || seals.len() > signers.len() {
            return finding("B6", format!("block {number} lists {} seals", seals.len()));
        }
        if !self.spec.rules_at(number).quorum_two_thirds {
            return Ok(());
        }
        let too_few = (2 * signers.len()).div_ceil(3).saturating_sub(1);
        let fewer = seals.iter().take(too_few).copied().collect();
        let weak = Header { extra_data: encode(fewer), ..header.clone() };
        let rules = rules_for(Arc::new(self.spec.clone()));
        match rules.check_seals(&weak, signers) {
            Err(_) => Ok(()),
            Ok(()) => finding("B6", format!("block {number} is valid with {too_few} seals")),
        }
    }

    /// C3: votes have one of two nonces, and a checkpoint lists who signs, in order, without a vote.
    fn check_checkpoint(&self, header: &Header, signers: &[Address]) -> Result<(), Finding> {
        let number = header.number;
        let epoch = self.spec.rules_at(number).epoch_length;
        let checkpoint = epoch > 0 && number.is_multiple_of(epoch);
        let listed = CliqueExtra::decode(&header.extra_data).map(|extra| extra.signers);
        let expected = if checkpoint { signers } else { &[] };
        let votes = !header.beneficiary.is_zero() || !header.nonce.is_zero();
        let legal = header.nonce.is_zero() || header.nonce == B64::repeat_byte(0xff);
        if listed.as_deref() != Ok(expected) || !legal || checkpoint && votes {
            return finding("C3", format!("block {number}: {listed:?}, nonce {}", header.nonce));
        }
        Ok(())
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
        self.check_checkpoint(header, signers)?;
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
