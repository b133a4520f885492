//! Holds the contracts that took part in a private transaction against the terms that its sender
//! fixed (GoQuorum: core/state_transition_pmh.go).

use super::watch::Part;
use crate::database::BlockState;
use alloy_primitives::{Address, B256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount};
use entente_chain::{
    StateError,
    private::{ContractTerms, PrivacyFlag, PrivacyTerms},
};
use std::collections::BTreeMap;

/// A contract that was called: `None` for public ones, which have no terms to keep.
pub(super) enum Called {
    Public,
    Private(Option<ContractTerms>),
}

/// The first term that a transaction breaks, in words.
pub(super) fn broken(
    terms: &PrivacyTerms,
    called: impl Iterator<Item = (Address, Called)>,
) -> Option<String> {
    for (address, called) in called {
        let Called::Private(of_contract) = called else { continue };
        let Some(of_contract) = of_contract else {
            if terms.flag == PrivacyFlag::Standard {
                continue;
            }
            return Some(format!(
                "contract {address} has no privacy terms, the transaction has privacy flag {}",
                terms.flag.number()
            ));
        };
        if of_contract.flag != terms.flag {
            return Some(format!(
                "contract {address} has privacy flag {}, the transaction has {}",
                of_contract.flag.number(),
                terms.flag.number()
            ));
        }
        if !terms.affected.contains(&of_contract.creation) {
            return Some(format!(
                "contract {address} took part, and its sender named no payload that created it"
            ));
        }
    }
    None
}

/// Root over the accounts that took part, keyed by their addresses as they are; those that are not
/// there any more are left out.
pub(super) fn execution_root(leaves: impl Iterator<Item = (Address, Option<TrieAccount>)>) -> B256 {
    let leaves: BTreeMap<_, _> =
        leaves.filter_map(|(address, leaf)| Some((address, leaf?))).collect();
    if leaves.is_empty() {
        return EMPTY_ROOT_HASH;
    }
    let mut builder = HashBuilder::default();
    for (address, account) in leaves {
        builder.add_leaf(Nibbles::unpack(address), &alloy_rlp::encode(account));
    }
    builder.root()
}

/// Contracts that took part: private ones, then the others.
pub(super) fn split(
    private: &mut BlockState<'_>,
    affected: &BTreeMap<Address, Part>,
) -> Result<(Vec<Address>, Vec<Address>), StateError> {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for address in affected.keys() {
        match private.account(*address)? {
            Some(_) => own.push(*address),
            None => others.push(*address),
        }
    }
    Ok((own, others))
}
