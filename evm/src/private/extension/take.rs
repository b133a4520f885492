//! What a private state takes over when the state of a contract is shared.

use super::{ContractDump, ExtensionEvent, is_management_code};
use crate::{BlockError, code_cache::analyse, database::BlockState};
use alloy_primitives::{Address, Log, U256, hex};
use entente_chain::{
    StateError,
    private::{
        ContractTerms, PayloadHash, PrivacyFlag, PrivatePayload, PrivateState, PrivateStateId,
        PrivateStates, RecipientKey, Resolution,
    },
};
use revm::state::{Account as JournalAccount, AccountInfo, EvmStorageSlot};
use std::{collections::BTreeMap, sync::Arc};

/// One private state after a transaction, and the node that it is part of.
pub(in crate::private) struct Extending<'a, 's> {
    pub(in crate::private) node: &'a dyn PrivateStates,
    pub(in crate::private) id: &'a PrivateStateId,
    /// Whether privacy flags are known at this block.
    pub(in crate::private) enhanced: bool,
    pub(in crate::private) reader: &'a dyn PrivateState,
    pub(in crate::private) state: &'a mut BlockState<'s>,
    pub(in crate::private) public: &'a mut BlockState<'s>,
    /// Terms that this block has changed so far.
    pub(in crate::private) terms: &'a mut BTreeMap<Address, ContractTerms>,
}

/// A shared state that this private state can read.
struct Share {
    hash: PayloadHash,
    payload: Arc<PrivatePayload>,
    dump: ContractDump,
}

impl Extending<'_, '_> {
    /// Takes over what the logs of a successful transaction share.
    pub(in crate::private) fn take(&mut self, logs: &[Log]) -> Result<(), BlockError> {
        for log in logs {
            let event = ExtensionEvent::read(&log.data);
            let Some(ExtensionEvent::Shared { to_extend, state, uuid }) = event else { continue };
            let emitter = self.state.account(log.address)?;
            if !emitter.is_some_and(|account| is_management_code(account.code_hash)) {
                continue;
            }
            let Some(share) = self.share(to_extend, &state)? else { continue };
            let cause = match self.has_agreed(log.address, &uuid, &share)? {
                true => self.set(&share)?,
                false => self.renew(&share)?,
            };
            if let Some(cause) = cause {
                tracing::warn!(
                    contract = %to_extend,
                    management = %log.address,
                    cause,
                    "shared state not taken over"
                );
            }
        }
        Ok(())
    }

    /// The payload behind a hash if a key of this private state is a party.
    fn readable(&self, hash: PayloadHash) -> Result<Option<Arc<PrivatePayload>>, BlockError> {
        match self.node.resolve(hash) {
            Resolution::Party(payload) => {
                Ok(payload.managed.iter().any(|key| self.is_own(key)).then_some(payload))
            }
            Resolution::NotParty => Ok(None),
            Resolution::Unavailable(cause) => Err(BlockError::PayloadUnavailable { hash, cause }),
        }
    }

    fn is_own(&self, key: &RecipientKey) -> bool {
        self.node.states_of(std::slice::from_ref(key)).contains(self.id)
    }

    /// Whether a payload was sent with a key of this private state.
    fn is_sender(&self, payload: &PrivatePayload) -> bool {
        payload.managed.contains(&payload.sender) && self.is_own(&payload.sender)
    }

    fn share(&self, to_extend: Address, state: &str) -> Result<Option<Share>, BlockError> {
        let Ok(hash) = state.parse::<PayloadHash>() else { return Ok(None) };
        let Some(payload) = self.readable(hash)? else { return Ok(None) };
        let dump = match ContractDump::decode(&payload.plain) {
            Ok(dump) if dump.address == to_extend => dump,
            Ok(_) => return Ok(None),
            Err(cause) => {
                tracing::warn!(payload = %hash, %cause, "not a shared state");
                return Ok(None);
            }
        };
        let flag = payload.terms.flag;
        if flag != PrivacyFlag::Standard && !self.enhanced {
            return Ok(None);
        }
        // The sender's root stands for what it meant to share.
        let meant = payload.terms.execution_root;
        if flag == PrivacyFlag::StateValidation && meant != Some(dump.storage_root()) {
            tracing::warn!(payload = %hash, "a shared state has not the root that its sender had");
            return Ok(None);
        }
        Ok(Some(Share { hash, payload, dump }))
    }

    /// Whether this private state is to get the state: with its vote its node has made a payload
    /// that names the management contract, and somebody else shares.
    fn has_agreed(
        &self,
        management: Address,
        uuid: &str,
        share: &Share,
    ) -> Result<bool, BlockError> {
        if self.is_sender(&share.payload) {
            return Ok(false);
        }
        let Some(hash) = read_uuid(uuid) else { return Ok(false) };
        let Some(consent) = self.readable(hash)? else { return Ok(false) };
        Ok(self.is_sender(&consent) && consent.plain.as_slice() == management.as_slice())
    }

    /// Puts the contract into this private state; why not, where that is so.
    fn set(&mut self, share: &Share) -> Result<Option<&'static str>, StateError> {
        let Share { hash, payload, dump } = share;
        if let Some(known) = self.state.account(dump.address)?
            // A state that is shared again replaces the one before, nothing else does.
            && known.code_hash != dump.code_hash()
        {
            return Ok(Some("another account is at this address"));
        }
        let public = self.public.account(dump.address)?;
        if public.is_some_and(|account| account.has_code() || account.nonce > 0) {
            return Ok(Some("a public account is at this address"));
        }
        self.state.apply(dump.address, journal_account(dump));
        let terms = &payload.terms;
        if terms.flag != PrivacyFlag::Standard {
            let mandatory = terms.mandatory.clone();
            let terms = ContractTerms { creation: *hash, flag: terms.flag, mandatory };
            self.terms.insert(dump.address, terms);
        }
        Ok(None)
    }

    /// From now on the shared payload stands for the contract's creation, as it does for the new
    /// party: whoever can read it is a party. Why not, where that is so.
    fn renew(&mut self, share: &Share) -> Result<Option<&'static str>, BlockError> {
        let Share { hash, payload, dump } = share;
        let known = match self.terms.get(&dump.address) {
            Some(terms) => Some(terms.clone()),
            None => self.reader.terms(dump.address)?,
        };
        // Without terms there is nothing to renew.
        let Some(known) = known else { return Ok(None) };
        let terms = &payload.terms;
        if terms.flag != known.flag || terms.mandatory != known.mandatory {
            return Ok(Some("other terms than the contract has"));
        }
        let by_party = match known.flag {
            // All parties know all of them, and their list can only grow.
            PrivacyFlag::StateValidation => {
                self.readable(known.creation)?.is_some_and(|creation| {
                    creation.parties.contains(&payload.sender)
                        && creation.parties.iter().all(|party| payload.parties.contains(party))
                })
            }
            // Whoever names a creation has proven that it can read it, or the payload would not
            // have been taken.
            _ => terms.affected == [known.creation],
        };
        if !by_party {
            return Ok(Some("its sender is no party to the contract"));
        }
        self.terms.insert(dump.address, ContractTerms { creation: *hash, ..known });
        Ok(None)
    }
}

fn read_uuid(text: &str) -> Option<PayloadHash> {
    PayloadHash::from_data(&hex::decode(text).ok()?)
}

fn journal_account(dump: &ContractDump) -> JournalAccount {
    let info = AccountInfo {
        nonce: dump.nonce,
        code_hash: dump.code_hash(),
        code: Some(analyse(dump.code.clone())),
        ..AccountInfo::default()
    };
    let slots = dump.storage.iter().map(|(slot, value)| {
        (*slot, EvmStorageSlot::new_changed(U256::ZERO, *value, Default::default()))
    });
    JournalAccount::default()
        .with_info(info)
        .with_storage(slots)
        .with_created_mark()
        .with_touched_mark()
}

#[cfg(test)]
mod tests;
