//! P1 and P8 of states, and what parties tell each other about transactions.

use super::{Unit, World, machine::Machine};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256, keccak256};
use entente_chain::{
    StateReader as _,
    private::{PayloadHash, RecipientKey},
};
use entente_ledger::CommittedBlock;
use std::{collections::BTreeSet, sync::Arc};

impl World {
    /// P1 and P8: a private state is its model, and where two are equal their tries are.
    pub(super) fn check_slots(&mut self, unit: Unit, number: u64, touched: &BTreeSet<Address>) {
        let id = Machine::state_id(unit.1);
        let store = self.private_side(unit.0).and_then(|side| side.states.store(&id));
        let (Some(store), Some(model)) = (store, self.machines[unit.0].models.get(unit.1)) else {
            return;
        };
        let mut findings = Vec::new();
        for address in touched {
            let addresses = [*address];
            let leaf = store.leaves_after(number, Arc::default(), &addresses);
            let leaf = leaf.ok().and_then(|leaves| leaves.first().copied().flatten());
            let expected = model.0.get(address);
            let (Some(expected), Some(leaf)) = (expected, leaf) else {
                if expected.is_some() != leaf.is_some() {
                    let there = if leaf.is_some() { "is" } else { "is not" };
                    findings.push(("P1", format!("{address} {there} in {unit:?} after {number}")));
                }
                continue;
            };
            let Ok(view) = store.at(number) else { continue };
            for (place, expected) in expected.slots.iter().enumerate() {
                let got = view.slot(*address, U256::from(place)).unwrap_or(U256::MAX);
                if got != *expected {
                    let checker = if place == 2 { "P8" } else { "P1" };
                    let what = format!(
                        "slot {place} of {address} in {unit:?} after {number}: {got:x}, not {expected:x}"
                    );
                    findings.push((checker, what));
                }
            }
            let leaf = (leaf.nonce, leaf.balance, leaf.storage_root, leaf.code_hash);
            let standing = (number, *address, expected.slots);
            let (other, known) = *self.judge.leaves.entry(standing).or_insert((unit, leaf));
            if known != leaf {
                let what = format!(
                    "{address} after {number}: {leaf:?} in {unit:?}, {known:?} in {other:?}"
                );
                findings.push(("P1", what));
            }
        }
        if let Some((checker, what)) = findings.into_iter().next() {
            self.fail(checker, what);
        }
    }

    /// Tells the other parties what a block's private transactions did here, as the node does.
    pub(super) fn state_receipts(&mut self, node: usize, committed: &CommittedBlock) {
        let Some(privacy) = self.privacy(node) else { return };
        for receipt in committed.private.iter().flat_map(|(_, receipts)| receipts) {
            let index = usize::try_from(receipt.index).unwrap_or(usize::MAX);
            let transaction = committed.block.transactions().get(index);
            let hash = transaction.and_then(|one| PayloadHash::from_data(one.input()));
            let Some(hash) = hash else { continue };
            let said = keccak256(format!("{receipt:?}"));
            let Ok(payload) = privacy.receive(hash) else { continue };
            let Some(party) = payload.managed.first().copied() else { continue };
            match privacy.send_receipt(hash, party, &said.0.into()) {
                Ok(actions) => {
                    self.judge.said.entry((hash, party)).or_default().insert(said);
                    self.perform(node, actions);
                }
                Err(error) => {
                    return self.fail("P1", format!("node {node} cannot tell of {hash}: {error}"));
                }
            }
        }
    }

    /// What a party is said to have said, it did say.
    pub(super) fn check_statement(&mut self, node: usize, hash: PayloadHash, party: RecipientKey) {
        self.coverage.saw("private receipt came");
        let Some(privacy) = self.privacy(node) else { return };
        let kept = privacy.receipts(hash).unwrap_or_default();
        let kept = kept.into_iter().find(|(key, _)| *key == party);
        let said = self.judge.said.get(&(hash, party));
        let is_theirs = kept.is_some_and(|(_, bytes)| {
            B256::try_from(bytes.as_slice())
                .is_ok_and(|kept| said.is_some_and(|said| said.contains(&kept)))
        });
        if !is_theirs {
            self.fail("P1", format!("node {node} has another receipt of {party} for {hash}"));
        }
    }
}
