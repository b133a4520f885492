//! P1 to P7 of what blocks do: after every commit, who ran what, each receipt against the model and
//! those of the other parties, and whatever changed something against the terms of the contracts
//! that it touched. States: `agreement.rs`; frames: `frames.rs`; disks: `ending.rs`.

use super::{
    Unit, World,
    code::Call,
    machine::Machine,
    model::{Expected, Model},
    truth::{Meaning, Payload, PrivateContract, Standing},
};
use alloy_primitives::{Address, B256, U256};
use entente_chain::{
    RecoveredBlock,
    private::{PayloadHash, PrivacyFlag, PrivateReceipt, RecipientKey},
};
use entente_ledger::CommittedBlock;
use std::collections::{BTreeMap, BTreeSet};

/// An account of a private state as its trie has it: nonce, balance, storage root, code hash.
pub(super) type Leaf = (u64, U256, B256, B256);

/// Everything that is remembered to compare with.
#[derive(Default)]
pub(super) struct Judge {
    /// Whom each payload was sealed to, delivered or not.
    pub(super) requested: BTreeMap<PayloadHash, BTreeSet<RecipientKey>>,
    /// When each block was built.
    pub(super) decided_at: Vec<u64>,
    /// What parties told the others about a transaction.
    pub(super) said: BTreeMap<(PayloadHash, RecipientKey), BTreeSet<B256>>,
    pub(super) leaves: BTreeMap<Standing, (Unit, Leaf)>,
    receipts: BTreeMap<PayloadHash, Vec<(Unit, Expected, PrivateReceipt)>>,
}

/// A private transaction in one private state.
struct Placed<'a> {
    unit: Unit,
    number: u64,
    hash: PayloadHash,
    payload: &'a Payload,
    /// Where it creates, if it does.
    at: Address,
}

impl World {
    /// Follows what a decided block does in public.
    pub(super) fn follow_public(&mut self, block: &RecoveredBlock) {
        self.judge.decided_at.push(self.time);
        let number = block.header.number;
        let mut public = self.public.last().cloned().unwrap_or_default();
        for transaction in block.transactions() {
            let waits = Some(transaction.hash());
            for client in self.clients.iter_mut().filter(|client| client.waits == waits) {
                client.waits = None;
                client.nonce += 1;
            }
            let at = transaction.sender().create(transaction.slot().1);
            match self.truths.transactions.get(&transaction.hash()) {
                Some(Meaning::Public(call)) => self.follow_call(&mut public, at, *call),
                Some(Meaning::Private(hash)) => self.follow_payload(number, at, *hash),
                None => self.fail("P8", format!("nobody sent {}", transaction.hash())),
            }
        }
        self.public.push(public);
    }

    fn follow_call(&mut self, public: &mut Model, at: Address, call: Call) {
        public.run_public(at, &call);
        match call {
            Call::Create { .. } => self.truths.public_contracts.push(at),
            Call::Call { target: Some(target), .. } if self.truths.contract(target).is_some() => {
                self.coverage.saw("public call of a private contract found nothing");
            }
            Call::Call { .. } => {}
        }
    }

    fn follow_payload(&mut self, number: u64, at: Address, hash: PayloadHash) {
        self.truths.on_chain.push((number, hash));
        let Some(payload) = self.truths.payloads.get(&hash) else { return };
        if payload.lie.is_some() {
            self.coverage.saw("lie on the chain");
        }
        if payload.call.to().is_none() {
            self.truths.contracts.push(PrivateContract {
                address: at,
                creation: hash,
                flag: payload.terms.flag,
                parties: payload.parties.clone(),
                mandatory: payload.mandatory.clone(),
            });
        }
    }

    /// A node made a block canonical.
    pub(super) fn check_commit(&mut self, node: usize, committed: &CommittedBlock) {
        let residents = self.machines[node].models.len();
        if committed.private.len() > residents {
            let number = committed.block.header.number;
            return self.fail("P2", format!("node {node} has private receipts of {number}"));
        }
        for resident in 0..residents {
            if self.failure.is_none() {
                self.check_unit((node, resident), committed);
            }
        }
    }

    fn check_unit(&mut self, unit: Unit, committed: &CommittedBlock) {
        let id = Machine::state_id(unit.1);
        let number = committed.block.header.number;
        let own = committed.private.iter().filter(|(of, _)| *of == id);
        let receipts: BTreeMap<_, _> =
            own.flat_map(|(_, list)| list).map(|receipt| (receipt.index, receipt)).collect();
        let below = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        let mut public = self.public.get(below).cloned().unwrap_or_default();
        let mut touched = BTreeSet::new();
        for (index, transaction) in (0_u32..).zip(committed.block.transactions()) {
            let at = transaction.sender().create(transaction.slot().1);
            let receipt = receipts.get(&index).copied();
            match self.truths.transactions.get(&transaction.hash()).cloned() {
                Some(Meaning::Public(call)) => {
                    public.run_public(at, &call);
                    if receipt.is_some() {
                        let what = format!("{unit:?} keeps a public transaction of {number}");
                        return self.fail("P2", what);
                    }
                }
                Some(Meaning::Private(hash)) => {
                    let Some(payload) = self.truths.payloads.get(&hash).cloned() else { continue };
                    let placed = Placed { unit, number, hash, payload: &payload, at };
                    touched.extend(self.check_private(&placed, &public, receipt));
                }
                None => {}
            }
        }
        self.check_slots(unit, number, &touched);
    }

    /// Whether a private transaction must be run in a private state; `None`: it came so late that
    /// both are right, which only a liar's may.
    fn takes_part(&self, placed: &Placed<'_>) -> Option<bool> {
        let Placed { unit, number, hash, payload, .. } = *placed;
        let of_unit = |key: &&RecipientKey| self.units.get(*key) == Some(&unit);
        if payload.lie.is_none() {
            let lost = &self.truths.lost;
            let mut keys = payload.parties.iter().filter(of_unit);
            return Some(keys.any(|key| !lost.contains(&(hash, *key))));
        }
        let machine = &self.machines[unit.0];
        let Some((keys, since)) = machine.holds.get(&hash) else { return Some(false) };
        if !keys.iter().any(|key| of_unit(&key)) {
            return Some(false);
        }
        let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        let decided = self.judge.decided_at.get(index).copied().unwrap_or_default();
        (*since < decided).then_some(true)
    }

    fn check_private(
        &mut self,
        placed: &Placed<'_>,
        public: &Model,
        receipt: Option<&PrivateReceipt>,
    ) -> Vec<Address> {
        let Placed { unit, number, hash, payload, at } = *placed;
        let lie = payload.lie.unwrap_or("honest");
        let receipt = match (self.takes_part(placed), receipt) {
            (Some(false) | None, None) => return Vec::new(),
            (Some(false), Some(_)) => {
                self.fail("P2", format!("{unit:?} ran {hash} of {number} ({lie}), it is no party"));
                return Vec::new();
            }
            (Some(true), None) => {
                let what =
                    format!("{unit:?} did not run {hash} of {number} ({lie}), it is a party");
                self.fail("P3", what);
                return Vec::new();
            }
            (Some(true) | None, Some(receipt)) => receipt,
        };
        self.check_terms(placed, receipt);
        let call = payload.call;
        let Some(model) = self.machines[unit.0].models.get_mut(unit.1) else { return Vec::new() };
        let expected = model.run_private(public, at, &call, &payload.terms);
        self.cover(payload, &expected);
        let logs: Vec<_> = receipt
            .logs
            .iter()
            .map(|log| (log.address, U256::try_from_be_slice(&log.data.data).unwrap_or_default()))
            .collect();
        let same = receipt.success == expected.success
            && receipt.refused.is_empty() != expected.refused
            && logs == expected.logs;
        if !same {
            let what = format!(
                "{unit:?} ran {hash} of {number} ({lie}): {receipt:?}, expected {expected:?} of \
                 {call:?} under {:?}",
                payload.terms
            );
            self.fail("P1", what);
        }
        self.compare_receipts(placed, &expected, receipt);
        expected.touched.into_keys().chain([at]).collect()
    }

    /// P1: parties whose states were equal get equal receipts.
    fn compare_receipts(
        &mut self,
        placed: &Placed<'_>,
        expected: &Expected,
        receipt: &PrivateReceipt,
    ) {
        let Placed { unit, number, hash, .. } = *placed;
        let others = self.judge.receipts.entry(hash).or_default();
        let like = others.iter().find(|(_, other, _)| other == expected).cloned();
        match like {
            Some((other, _, theirs)) if theirs != *receipt => {
                let what =
                    format!("{hash} of {number}: {receipt:?} in {unit:?}, {theirs:?} in {other:?}");
                self.fail("P1", what);
            }
            Some(_) => {}
            None => others.push((unit, expected.clone(), receipt.clone())),
        }
    }

    /// P5, P6, P7: what changed something was sent by a party, to whom the contract's terms want.
    fn check_terms(&mut self, placed: &Placed<'_>, receipt: &PrivateReceipt) {
        let Placed { unit, number, hash, payload, .. } = *placed;
        if !receipt.success || !receipt.refused.is_empty() {
            return;
        }
        let mut broken = None;
        for address in &receipt.affected {
            let Some(contract) = self.truths.contract(*address) else { continue };
            if contract.creation == hash || contract.flag == PrivacyFlag::Standard {
                continue;
            }
            let parties = &payload.parties;
            let checker = if !contract.parties.contains(&payload.sender)
                || payload.terms.flag != contract.flag
            {
                "P7"
            } else if contract.flag == PrivacyFlag::StateValidation && contract.parties != *parties
            {
                "P5"
            } else if !contract.mandatory.is_subset(parties) {
                "P6"
            } else {
                continue;
            };
            broken = Some((checker, *address));
        }
        if let Some((checker, address)) = broken {
            let lie = payload.lie.unwrap_or("honest");
            self.fail(
                checker,
                format!("{unit:?} lets {hash} of {number} ({lie}) change {address}"),
            );
        }
    }

    fn cover(&mut self, payload: &Payload, expected: &Expected) {
        const CREATED: [&str; 4] = [
            "contract created under flag 0",
            "contract created under flag 1",
            "contract created under flag 2",
            "contract created under flag 3",
        ];
        const CALLED: [&str; 4] = [
            "contract called under flag 0",
            "contract called under flag 1",
            "contract called under flag 2",
            "contract called under flag 3",
        ];
        let flag = usize::from(payload.terms.flag.number());
        if expected.refused {
            let stale = payload.lie.is_none() && payload.forecast().is_some();
            self.coverage.saw(match stale {
                true => "state validation refused: another state",
                false => "terms refused on the chain",
            });
            return;
        }
        if !expected.success || expected.touched.is_empty() {
            return;
        }
        let names = if payload.call.to().is_none() { CREATED } else { CALLED };
        self.coverage.saw(names.get(flag).copied().unwrap_or("another flag"));
        let Call::Call { to, target, reader, .. } = payload.call else { return };
        let is_public = |address: Address| self.truths.public_contracts.contains(&address);
        let went = expected.touched.get(&to).map(|slots| slots[2]);
        let reads_public = reader.is_some_and(is_public);
        match target {
            Some(target) if is_public(target) && went == Some(U256::from(1)) => {
                self.coverage.saw("private call of a public contract failed");
            }
            Some(target) if expected.touched.contains_key(&target) => {
                self.coverage.saw("private call of a private contract");
            }
            _ => {}
        }
        if reads_public {
            self.coverage.saw("private read of a public contract");
        }
    }
}
