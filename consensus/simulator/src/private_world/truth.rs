//! What the world knows and no node does: who sent what to whom.

use super::{
    code::Call,
    model::{Forecast, Slots, Terms},
};
use alloy_primitives::{Address, B256};
use entente_chain::private::{PayloadHash, PrivacyFlag, RecipientKey};
use std::collections::{BTreeMap, BTreeSet};

/// A payload.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) call: Call,
    pub(super) plain: Vec<u8>,
    pub(super) sender: RecipientKey,
    /// Whom it was sealed to, the sender included.
    pub(super) parties: BTreeSet<RecipientKey>,
    pub(super) terms: Terms,
    pub(super) mandatory: BTreeSet<RecipientKey>,
    /// A liar made it: whoever refuses it is no party.
    pub(super) lie: Option<&'static str>,
    /// When it was made.
    pub(super) at: u64,
}

/// What a transaction stands for.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    Public(Call),
    Private(PayloadHash),
}

/// A private contract that came into being.
#[derive(Clone, Debug)]
pub(super) struct PrivateContract {
    pub(super) address: Address,
    pub(super) creation: PayloadHash,
    pub(super) flag: PrivacyFlag,
    pub(super) parties: BTreeSet<RecipientKey>,
    pub(super) mandatory: BTreeSet<RecipientKey>,
}

/// Everything that was sent.
#[derive(Default)]
pub(super) struct Truths {
    pub(super) payloads: BTreeMap<PayloadHash, Payload>,
    pub(super) transactions: BTreeMap<B256, Meaning>,
    /// In the order of blocks.
    pub(super) contracts: Vec<PrivateContract>,
    /// In the order of blocks.
    pub(super) public_contracts: Vec<Address>,
    /// Payloads in the order of blocks, with the height.
    pub(super) on_chain: Vec<(u64, PayloadHash)>,
    /// Keys whose box of a payload is on no disk any more.
    pub(super) lost: BTreeSet<(PayloadHash, RecipientKey)>,
}

impl Truths {
    pub(super) fn contract(&self, address: Address) -> Option<&PrivateContract> {
        self.contracts.iter().find(|contract| contract.address == address)
    }
}

/// What two private states have in common at a height, and the node that was there first.
pub(super) type Standing = (u64, Address, Slots);

impl Payload {
    pub(super) const fn forecast(&self) -> Option<&Forecast> {
        self.terms.forecast.as_ref()
    }
}
