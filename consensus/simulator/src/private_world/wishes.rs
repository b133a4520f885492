//! What clients ask for: contracts of every flag between drawn parties, calls of them as their terms
//! want it, and calls that break the terms (P5, P6, P7), which the client's own node must refuse.

use super::{World, client::Wish, code::Call, truth::PrivateContract};
use alloy_primitives::Address;
use entente_chain::private::{PrivacyFlag, RecipientKey};
use std::collections::BTreeSet;

const FLAGS: [PrivacyFlag; 5] = [
    PrivacyFlag::Standard,
    PrivacyFlag::PartyProtection,
    PrivacyFlag::MandatoryRecipients,
    PrivacyFlag::StateValidation,
    PrivacyFlag::StateValidation,
];
/// Contracts of a seed; later requests call them.
const CONTRACTS: usize = 7;

impl World {
    pub(super) fn draw_wish(&mut self, client: usize) -> Wish {
        let own = self.own_keys(client);
        let sender = self.pick_key(&own);
        let contracts = self.truths.contracts.len();
        if contracts < 2 || contracts < CONTRACTS && self.random.percent(25) {
            return self.creation(sender);
        }
        let (mine, others): (Vec<_>, Vec<_>) = self
            .truths
            .contracts
            .iter()
            .cloned()
            .partition(|contract| own.iter().any(|key| contract.parties.contains(key)));
        if let (true, Some(contract)) = (self.random.percent(12), self.pick(&others)) {
            return self.call_of(&contract, sender);
        }
        let Some(contract) = self.pick(&mine) else { return self.creation(sender) };
        let keys: Vec<_> = own.into_iter().filter(|key| contract.parties.contains(key)).collect();
        let sender = self.pick_key(&keys);
        let mut wish = self.call_of(&contract, sender);
        match self.random.below(100) {
            0..12 => self.leave_somebody_out(&mut wish, &contract.mandatory),
            12..19 => {
                let mandatory = contract.mandatory.first().copied().filter(|key| *key != sender);
                if let Some(mandatory) = mandatory {
                    wish.recipients.remove(&mandatory);
                    wish.mandatory = BTreeSet::from([sender]);
                }
            }
            19..25 => self.use_another_flag(&mut wish),
            25..32 => {
                let stranger = self.any_key();
                if stranger != sender {
                    wish.recipients.insert(stranger);
                }
            }
            _ => {}
        }
        wish
    }

    pub(super) fn own_keys(&self, client: usize) -> Vec<RecipientKey> {
        let node = self.clients[client].node;
        self.units.iter().filter(|(_, unit)| unit.0 == node).map(|(key, _)| *key).collect()
    }

    pub(super) fn pick_key(&mut self, keys: &[RecipientKey]) -> RecipientKey {
        self.random.pick(keys, RecipientKey([0; 32]))
    }

    pub(super) fn pick(&mut self, from: &[PrivateContract]) -> Option<PrivateContract> {
        from.get(self.random.index(from.len())).cloned()
    }

    fn any_key(&mut self) -> RecipientKey {
        let keys: Vec<_> = self.units.keys().copied().collect();
        self.pick_key(&keys)
    }

    fn creation(&mut self, sender: RecipientKey) -> Wish {
        let flag = self.random.pick(&FLAGS, PrivacyFlag::Standard);
        let count = 1 + self.random.index(3);
        let drawn: Vec<_> = (0..count).map(|_| self.any_key()).collect();
        let recipients: BTreeSet<_> = drawn.into_iter().filter(|key| *key != sender).collect();
        let mandatory = match flag {
            PrivacyFlag::MandatoryRecipients => {
                let all: Vec<_> = recipients.iter().chain([&sender]).copied().collect();
                BTreeSet::from([self.pick_key(&all)])
            }
            _ => BTreeSet::new(),
        };
        let call = Call::Create { word: self.word() };
        Wish { sender, recipients, flag, mandatory, call }
    }

    /// A call as a contract's terms want it.
    pub(super) fn call_of(&mut self, contract: &PrivateContract, sender: RecipientKey) -> Wish {
        let recipients = contract.parties.iter().filter(|key| **key != sender).copied().collect();
        let target = self.draw_target(contract);
        let reader = self.draw_reader(contract);
        let (to, word) = (contract.address, self.word());
        let public = self.truths.public_contracts.clone();
        let to = match self.random.percent(5) {
            true => self.random.pick(&public, to),
            false => to,
        };
        Wish {
            sender,
            recipients,
            flag: contract.flag,
            mandatory: contract.mandatory.clone(),
            call: Call::Call { to, word, target, reader },
        }
    }

    /// Whom the contract calls: another private one with the same flag, or a public one, which it
    /// cannot change.
    fn draw_target(&mut self, contract: &PrivateContract) -> Option<Address> {
        if self.random.percent(12) {
            let public = self.truths.public_contracts.clone();
            return public.get(self.random.index(public.len())).copied();
        }
        if !self.random.percent(25) {
            return None;
        }
        let like = |other: &&PrivateContract| {
            other.flag == contract.flag && other.address != contract.address
        };
        let others: Vec<_> = self.truths.contracts.iter().filter(like).cloned().collect();
        self.pick(&others).map(|other| other.address)
    }

    /// Whom the contract reads: a public one, or a private one.
    fn draw_reader(&mut self, contract: &PrivateContract) -> Option<Address> {
        if self.random.percent(20) {
            let public = self.truths.public_contracts.clone();
            return public.get(self.random.index(public.len())).copied();
        }
        let flag = contract.flag;
        let others = self.truths.contracts.iter().filter(|other| other.flag == flag);
        let others: Vec<_> = others.cloned().collect();
        match self.random.percent(8) {
            true => self.pick(&others).map(|other| other.address),
            false => None,
        }
    }

    /// Allowed but under state validation, as long as nobody mandatory is left out.
    fn leave_somebody_out(&mut self, wish: &mut Wish, mandatory: &BTreeSet<RecipientKey>) {
        let some: Vec<_> =
            wish.recipients.iter().filter(|key| !mandatory.contains(*key)).copied().collect();
        if !some.is_empty() {
            let left_out = self.pick_key(&some);
            wish.recipients.remove(&left_out);
        }
    }

    fn use_another_flag(&mut self, wish: &mut Wish) {
        let other = self.random.pick(&FLAGS, PrivacyFlag::Standard);
        wish.flag = other;
        wish.mandatory.clear();
        if other == PrivacyFlag::MandatoryRecipients {
            wish.mandatory.insert(wish.sender);
        }
    }
}
