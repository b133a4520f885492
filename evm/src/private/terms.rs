//! Holds the contracts that took part in a private transaction against the terms that its sender
//! fixed (GoQuorum: core/state_transition_pmh.go).

use super::watch::Part;
use crate::database::BlockState;
use alloy_primitives::{Address, B256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount};
use entente_chain::{
    BlockNumber, StateError,
    private::{ContractTerms, PrivacyFlag, PrivacyTerms, PrivateState, PrivateStates},
};
use std::{collections::BTreeMap, sync::Arc};

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

/// Private post-state root of a transaction: over the accounts that took part, keyed by their
/// addresses as they are; those that are not there any more are left out. Parties that keep other
/// contracts beside these come to the same root (GoQuorum: `CalculateMerkleRoot`).
pub fn contracts_root(leaves: impl Iterator<Item = (Address, Option<TrieAccount>)>) -> B256 {
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

/// The private contracts among those that took part, ascending, and whether each came into being
/// only then.
pub(super) fn private_parts(
    private: &mut BlockState<'_>,
    affected: &BTreeMap<Address, Part>,
) -> Result<Vec<(Address, bool)>, StateError> {
    let mut parts = Vec::new();
    for (address, part) in affected {
        let created = *part == Part::Created;
        if created || private.account(*address)?.is_some() {
            parts.push((*address, created));
        }
    }
    Ok(parts)
}

/// The states that a private transaction changed, on top of a block.
pub(super) struct Changed<'r, 's, 'a> {
    pub(super) node: &'r dyn PrivateStates,
    /// The block below.
    pub(super) parent: BlockNumber,
    /// The private state after that block.
    pub(super) reader: &'r dyn PrivateState,
    pub(super) private: &'s mut BlockState<'a>,
    pub(super) public: &'s mut BlockState<'a>,
}

impl Changed<'_, '_, '_> {
    /// GoQuorum's `CalculateMerkleRoot`: over all contracts that took part, as they are now.
    pub(super) fn execution_root(
        self,
        affected: &BTreeMap<Address, Part>,
    ) -> Result<B256, StateError> {
        let Self { node, parent, reader, private, public } = self;
        let (own, others) = split(private, affected)?;
        let own_leaves = reader.leaves_after(Arc::new(private.changes_of(&own)), &own)?;
        let changed = Arc::new(public.changes_of(&others));
        let other_leaves = node.public_leaves_after(parent, changed, &others)?;
        let leaves = own.into_iter().zip(own_leaves).chain(others.into_iter().zip(other_leaves));
        Ok(contracts_root(leaves))
    }
}

/// Contracts that took part: private ones, then the others.
fn split(
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
