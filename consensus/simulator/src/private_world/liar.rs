//! Nodes that skip their own checks: they seal what they like to whom they like, and put its hash on
//! the chain whether anybody took it or not. Nothing that they send may change a private state.

use super::{
    World,
    client::Wish,
    code::Call,
    frames::PAYLOAD_FRAME,
    model::Terms,
    truth::{Payload, PrivateContract},
};
use alloy_primitives::{B256, Bytes};
use entente_chain::private::{PayloadHash, PrivacyFlag, PrivacyTerms, RecipientKey};
use entente_privacy::{Creation, Enclave, EncryptedPayload, Envelope, SealRandomness};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// State validation to some of the parties (P5).
    Subset,
    /// The same, and the contract is not named.
    UnnamedSubset,
    /// A mandatory recipient is neither named nor sent to (P6).
    NoMandatory,
    /// Somebody who is no party names the contract without the proof of being one (P7).
    Outsider,
    /// Somebody who is no party sends a standard payload to a protected contract (P7).
    OutsiderStandard,
    /// A party sends a standard payload to a protected contract.
    Standard,
    /// State validation with another root.
    OtherRoot,
}

impl Lie {
    const ALL: [Self; 7] = [
        Self::Subset,
        Self::UnnamedSubset,
        Self::NoMandatory,
        Self::Outsider,
        Self::OutsiderStandard,
        Self::Standard,
        Self::OtherRoot,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::Subset => "subset",
            Self::UnnamedSubset => "subset without the contract",
            Self::NoMandatory => "no mandatory recipient",
            Self::Outsider => "outsider without a proof",
            Self::OutsiderStandard => "outsider under flag 0",
            Self::Standard => "party under flag 0",
            Self::OtherRoot => "another root",
        }
    }

    const fn is_outsiders(self) -> bool {
        matches!(self, Self::Outsider | Self::OutsiderStandard)
    }

    /// Whether it is a lie about such a contract.
    fn fits(self, contract: &PrivateContract, own: &[RecipientKey]) -> bool {
        let inside = own.iter().any(|key| contract.parties.contains(key));
        let right_flag = match self {
            Self::Subset | Self::UnnamedSubset | Self::OtherRoot => {
                contract.flag == PrivacyFlag::StateValidation
            }
            Self::NoMandatory => {
                contract.flag == PrivacyFlag::MandatoryRecipients
                    && !own.iter().any(|key| contract.mandatory.contains(key))
            }
            Self::Outsider | Self::OutsiderStandard | Self::Standard => {
                contract.flag != PrivacyFlag::Standard
            }
        };
        right_flag && inside != self.is_outsiders()
    }
}

impl World {
    /// A liar picks a contract and a lie about it; honest where there is none.
    pub(super) fn lie(&mut self, client: usize) {
        let own = self.own_keys(client);
        let mut lies = Vec::new();
        for contract in &self.truths.contracts {
            let fitting = Lie::ALL.into_iter().filter(|lie| lie.fits(contract, &own));
            lies.extend(fitting.map(|lie| (contract.clone(), lie)));
        }
        let Some((contract, lie)) = lies.get(self.random.index(lies.len())).cloned() else {
            let wish = self.draw_wish(client);
            return self.ask(client, &wish);
        };
        self.tell_lie(client, &contract, lie);
    }

    fn tell_lie(&mut self, client: usize, contract: &PrivateContract, lie: Lie) {
        let node = self.clients[client].node;
        let own = self.own_keys(client);
        let inside: Vec<_> =
            own.iter().filter(|key| contract.parties.contains(*key)).copied().collect();
        let sender = self.pick_key(if lie.is_outsiders() { &own } else { &inside });
        let mut wish = self.call_of(contract, sender);
        let word = self.word();
        wish.call = Call::Call { to: contract.address, word, target: None, reader: None };
        let mut affected = vec![contract.creation];
        self.distort(lie, contract, &mut wish, &mut affected);
        let unit = self.units.get(&sender).copied().unwrap_or_default();
        let forecast = self.forecast(client, unit, &wish.call);
        let validates = wish.flag == PrivacyFlag::StateValidation;
        let root = match (validates, lie) {
            (false, _) => None,
            (true, Lie::OtherRoot | Lie::Outsider) => Some(B256::repeat_byte(7)),
            (true, _) => match self.simulate(client, unit, &wish) {
                Ok((_, root)) => root,
                // It has not seen the contract yet.
                Err(_) => return,
            },
        };
        let creations = affected.iter().filter_map(|hash| {
            let stored = self.machines[node].stored(*hash, &self.dice);
            stored.map(|payload| Creation::Sealed(Box::new(payload)))
        });
        let creations: Vec<_> = creations.collect();
        let terms = PrivacyTerms {
            flag: wish.flag,
            affected: affected.clone(),
            execution_root: root,
            mandatory: wish.mandatory.iter().copied().collect(),
        };
        let recipients: Vec<_> = wish.recipients.iter().copied().collect();
        let envelope = Envelope { recipients: &recipients, terms: &terms, creations: &creations };
        let keys = self.machines[node].party_keys().into_iter().map(|(key, _)| key);
        let enclave = Enclave::new(self.chain.environment, keys);
        let randomness = SealRandomness::draw(&self.dice);
        let sealed = enclave.seal(&wish.call.data(), &sender, &envelope, &randomness);
        let Ok(sealed) = sealed else { return };
        // A root that is not the one of the call: what was foreseen is nothing that can be.
        let forecast = match lie {
            Lie::OtherRoot => Some(BTreeMap::new()),
            _ => validates.then_some(forecast),
        };
        let terms = Terms { hash: sealed.hash(), flag: wish.flag, affected, forecast };
        let payload = Payload {
            call: wish.call,
            plain: wish.call.data(),
            sender,
            parties: sealed.boxed().into_iter().collect(),
            terms,
            mandatory: wish.mandatory,
            lie: Some(lie.text()),
            at: self.time,
        };
        self.judge.requested.insert(sealed.hash(), payload.parties.clone());
        self.spread(node, &sealed);
        self.tell(&format!("node {node} lies: {}, {}", lie.text(), sealed.hash()));
        let later = 500 + self.random.below(3_000);
        self.put_on_chain(client, payload, later);
    }

    fn distort(
        &mut self,
        lie: Lie,
        contract: &PrivateContract,
        wish: &mut Wish,
        affected: &mut Vec<PayloadHash>,
    ) {
        match lie {
            Lie::Subset | Lie::UnnamedSubset => {
                let all: Vec<_> = wish.recipients.iter().copied().collect();
                let left_out = self.pick_key(&all);
                wish.recipients.remove(&left_out);
                if lie == Lie::UnnamedSubset {
                    affected.clear();
                }
            }
            Lie::NoMandatory => {
                wish.recipients.retain(|key| !contract.mandatory.contains(key));
                wish.mandatory = BTreeSet::from([wish.sender]);
            }
            Lie::Outsider | Lie::OtherRoot => {}
            Lie::OutsiderStandard | Lie::Standard => {
                wish.flag = PrivacyFlag::Standard;
                wish.mandatory.clear();
                affected.clear();
            }
        }
    }

    /// Sends each node its copy, as an honest node would.
    fn spread(&mut self, node: usize, sealed: &EncryptedPayload) {
        let mut by_node: BTreeMap<usize, Vec<RecipientKey>> = BTreeMap::new();
        for key in sealed.boxed() {
            if let Some((other, _)) = self.units.get(&key).filter(|unit| unit.0 != node) {
                by_node.entry(*other).or_default().push(key);
            }
        }
        for (other, keys) in by_node {
            let copy = sealed.copy_for(&keys).encode();
            let frame: Bytes = [&[1, PAYLOAD_FRAME], copy.as_slice()].concat().into();
            self.transmit(node, other, &frame);
        }
    }
}
