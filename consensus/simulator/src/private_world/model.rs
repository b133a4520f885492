//! What private and public states must be, in our own words: no EVM, no trie, no database. Every
//! private state of every node is compared with its model after every block.

use super::code::{Call, as_slot};
use alloy_primitives::{Address, U256};
use entente_chain::private::{PayloadHash, PrivacyFlag};
use std::collections::BTreeMap;

/// The slots of a contract.
pub(super) type Slots = [U256; 4];
/// Slot 2: the call of the target failed, or did not.
const FAILED: u64 = 1;
const DONE: u64 = 2;

/// A contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contract {
    pub(super) slots: Slots,
    /// The payload that created it and its flag, where that is not 0.
    pub(super) terms: Option<(PayloadHash, PrivacyFlag)>,
}

/// A state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model(pub(super) BTreeMap<Address, Contract>);

/// The contracts that took part as they stand afterwards, where the terms fix them.
pub(super) type Forecast = BTreeMap<Address, Slots>;

/// A private transaction as its sender fixed it.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) hash: PayloadHash,
    pub(super) flag: PrivacyFlag,
    pub(super) affected: Vec<PayloadHash>,
    /// What its sender saw in a simulation; flag 3 only.
    pub(super) forecast: Option<Forecast>,
}

/// What a transaction must come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) success: bool,
    /// The terms were not kept: nothing changed.
    pub(super) refused: bool,
    /// Whose logs, with which word.
    pub(super) logs: Vec<(Address, U256)>,
    /// Contracts that took part and what their slots hold afterwards.
    pub(super) touched: Forecast,
}

/// Who reads: a private transaction sees its private state first, a public one none.
struct Frames<'a> {
    private: Option<&'a mut Model>,
    public: &'a mut Model,
    expected: Expected,
}

impl Frames<'_> {
    fn read(&self, address: Address) -> Option<&Contract> {
        let private = self.private.as_ref().and_then(|private| private.0.get(&address));
        private.or_else(|| self.public.0.get(&address))
    }

    fn touch(&mut self, address: Address) {
        if self.read(address).is_some() {
            self.expected.touched.insert(address, Slots::default());
        }
    }

    fn contract(&mut self, address: Address) -> Option<&mut Contract> {
        match &mut self.private {
            Some(private) => private.0.get_mut(&address),
            None => self.public.0.get_mut(&address),
        }
    }

    /// Whether a call with data ends well. A private transaction finds public code read-only.
    fn call(&mut self, to: Address, word: U256) -> bool {
        if self.read(to).is_none() {
            return true;
        }
        self.touch(to);
        let Some(contract) = self.contract(to) else { return false };
        contract.slots[0] = word;
        contract.slots[1] += U256::from(1);
        self.expected.logs.push((to, word));
        true
    }

    fn run(&mut self, at: Address, call: &Call) {
        match *call {
            Call::Create { word } => {
                let contract = Contract {
                    slots: [as_slot(word), U256::ZERO, U256::ZERO, U256::ZERO],
                    terms: None,
                };
                let state = match &mut self.private {
                    Some(private) => private,
                    None => &mut *self.public,
                };
                state.0.insert(at, contract);
                self.expected.success = true;
                self.touch(at);
            }
            Call::Call { to, word, target, reader } => {
                let exists = self.read(to).is_some();
                self.expected.success = self.call(to, as_slot(word));
                if !exists || !self.expected.success {
                    return;
                }
                if let Some(target) = target {
                    let done = self.call(target, as_slot(word));
                    let went = U256::from(if done { DONE } else { FAILED });
                    self.set(to, 2, went);
                }
                if let Some(reader) = reader {
                    self.touch(reader);
                    let answer = self.read(reader).map_or(U256::ZERO, |read| read.slots[0]);
                    self.set(to, 3, answer);
                }
            }
        }
    }

    fn set(&mut self, address: Address, slot: usize, value: U256) {
        if let Some(place) = self.contract(address).and_then(|one| one.slots.get_mut(slot)) {
            *place = value;
        }
    }

    fn finish(mut self) -> Expected {
        let touched: Vec<_> = self.expected.touched.keys().copied().collect();
        for address in touched {
            let slots = self.read(address).map(|contract| contract.slots).unwrap_or_default();
            self.expected.touched.insert(address, slots);
        }
        self.expected
    }
}

impl Model {
    /// A public transaction.
    pub(super) fn run_public(&mut self, at: Address, call: &Call) -> Expected {
        let mut frames = Frames { private: None, public: self, expected: Expected::default() };
        frames.run(at, call);
        frames.finish()
    }

    /// What a private transaction would do, whatever its terms.
    pub(super) fn forecast(&self, public: &Self, at: Address, call: &Call) -> Expected {
        self.tried(public, at, call).1
    }

    fn tried(&self, public: &Self, at: Address, call: &Call) -> (Self, Expected) {
        let (mut private, mut public) = (self.clone(), public.clone());
        let expected = Expected::default();
        let mut frames = Frames { private: Some(&mut private), public: &mut public, expected };
        frames.run(at, call);
        let expected = frames.finish();
        (private, expected)
    }

    /// A private transaction: its contracts keep their terms, or nothing happens.
    pub(super) fn run_private(
        &mut self,
        public: &Self,
        at: Address,
        call: &Call,
        terms: &Terms,
    ) -> Expected {
        let (mut after, expected) = self.tried(public, at, call);
        let called = expected.touched.keys().filter_map(|address| self.0.get(address));
        let kept = called.into_iter().all(|contract| match &contract.terms {
            None => terms.flag == PrivacyFlag::Standard,
            Some((creation, flag)) => *flag == terms.flag && terms.affected.contains(creation),
        });
        let as_seen = terms.forecast.as_ref().is_none_or(|seen| *seen == expected.touched);
        if !kept || !as_seen {
            return Expected { refused: true, touched: expected.touched, ..Expected::default() };
        }
        if let (Call::Create { .. }, true) = (call, terms.flag != PrivacyFlag::Standard)
            && let Some(created) = after.0.get_mut(&at)
        {
            created.terms = Some((terms.hash, terms.flag));
        }
        *self = after;
        expected
    }
}
