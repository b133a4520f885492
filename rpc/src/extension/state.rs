//! The contract that a request is about, as this node's private state has it.

use super::{
    ExtensionRecord, Outgoing,
    checks::{Beginning, Voter, check_beginning, check_vote},
};
use crate::{context::Service, error::RpcError, private_sending::refused};
use alloy_primitives::{Address, Bytes, keccak256};
use entente_chain::{
    StateError, StateReader as _,
    private::{
        ContractTerms, PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, PrivateStateId,
        RecipientKey,
    },
};
use entente_evm::extension::{ContractDump, deployment, named_parties};
use std::{collections::BTreeSet, sync::Arc};
use zeroize::Zeroizing;

/// Largest state that fits into a payload, in bytes.
const STATE_BYTES_MAX: usize = 1024 * 1024;
/// Slots of which a state of that size can have no more: each has at least two bytes.
const SLOTS_MAX: usize = STATE_BYTES_MAX / 2;

/// A state that is ready to be shared.
pub(crate) struct SharedState {
    pub(crate) plain: Zeroizing<Vec<u8>>,
    pub(crate) terms: PrivacyTerms,
    /// All parties from then on, as far as they are known.
    pub(crate) parties: BTreeSet<RecipientKey>,
}

impl Service {
    fn payload(&self, hash: PayloadHash) -> Result<Arc<PrivatePayload>, RpcError> {
        let payload = self.private()?.backend.payload(hash).map_err(refused)?;
        payload.ok_or_else(|| RpcError::Refused(format!("payload {hash} is not on this node")))
    }

    /// Parties of a payload that this node may know, those among them that a request names.
    pub(crate) fn parties_of(&self, hash: PayloadHash) -> Result<BTreeSet<RecipientKey>, RpcError> {
        let payload = self.payload(hash)?;
        let mut parties = named_parties(&payload.plain);
        parties.extend(&payload.parties);
        Ok(parties)
    }

    /// Whether a private state has a contract.
    pub(crate) fn has_contract(
        &self,
        state: &PrivateStateId,
        contract: Address,
    ) -> Result<bool, RpcError> {
        let head = self.context.reader.head().header.number;
        let private = self.private_state(state, head)?;
        let account = private.map(|private| private.account(contract)).transpose()?.flatten();
        Ok(account.is_some_and(|account| account.has_code()))
    }

    /// Checks a new request; its transaction, whose data is answered too, then goes to the parties
    /// that are concerned.
    pub(crate) fn begin(
        &self,
        mut outgoing: Outgoing,
        contract: Address,
        (recipient_key, recipient): (&str, Address),
    ) -> Result<(Outgoing, Bytes), RpcError> {
        let state = outgoing.state.clone();
        let head = self.context.reader.head().header.number;
        let public = self.context.states.at(head)?.account(contract)?;
        let active = self.active_extensions(&state)?;
        let terms = self.private()?.states.terms(&state, contract)?;
        let creation = terms.as_ref().map(|terms| self.payload(terms.creation)).transpose()?;
        let (is_creator, mut parties) = match &creation {
            Some(creation) => (
                creation.managed.contains(&creation.sender)
                    && self.private()?.backend.state_of(creation.sender) == state,
                creation.parties.iter().copied().collect(),
            ),
            None => (true, BTreeSet::new()),
        };
        // Without terms nobody knows all parties, but that we are one.
        parties.insert(outgoing.key);
        let new_key = check_beginning(&Beginning {
            from: outgoing.from,
            recipient,
            recipient_key,
            named: &outgoing.parties,
            in_progress: active.iter().any(|record| record.contract_extended == contract),
            is_public: public.is_some(),
            exists: self.has_contract(&state, contract)?,
            is_creator,
            parties: &parties,
        })?;
        outgoing.check_account(self)?;
        if let Some(creation) = creation {
            // Only the creation's sender is known to the others as a party to it.
            outgoing.key = creation.sender;
        }
        // Too large a state is refused now, not when everybody has agreed.
        self.dump(&state, contract)?;
        outgoing.parties.extend(parties);
        outgoing.parties.insert(new_key);
        // Where all parties know each other, the new one may know them too, and votes before all.
        let known = match terms.map(|terms| terms.flag) {
            Some(PrivacyFlag::StateValidation) => outgoing.parties.clone(),
            _ => BTreeSet::new(),
        };
        let code = deployment(contract, (recipient, recipient_key), &known);
        Ok((outgoing, code))
    }

    /// Checks a vote of an account; its transaction then goes to the parties that are known.
    pub(crate) fn prepare_vote(
        &self,
        mut outgoing: Outgoing,
        management: Address,
        voter: Address,
    ) -> Result<Outgoing, RpcError> {
        let record = self.extension(&outgoing.state, management)?;
        let has_contract = self.has_contract(&outgoing.state, record.contract_extended)?;
        check_vote(&record, Voter { account: voter, key: outgoing.key, has_contract })?;
        outgoing.parties.extend(self.parties_of(record.creation_data)?);
        Ok(outgoing)
    }

    /// A contract as it is at the head.
    fn dump(&self, state: &PrivateStateId, contract: Address) -> Result<ContractDump, RpcError> {
        let too_large = || {
            RpcError::Refused(format!(
                "the state of {contract} does not fit into a payload of {STATE_BYTES_MAX} bytes"
            ))
        };
        let missing = || RpcError::Refused(format!("{contract} is not in this private state"));
        let store = self.private()?.states.store(state).ok_or_else(missing)?;
        let (number, storage) = store.slots_at_head(contract, SLOTS_MAX)?;
        let storage = storage.ok_or_else(too_large)?;
        let view = store.at(number)?;
        let account = view.account(contract)?.ok_or_else(missing)?;
        let code = match view.code(account.code_hash) {
            // A private contract may have the code of a public one.
            Err(StateError::CodeMissing(hash)) => self.context.states.at(number)?.code(hash)?,
            code => code?,
        };
        let dump = ContractDump { address: contract, nonce: account.nonce, code, storage };
        let leaf = store.leaves_after(number, Arc::default(), &[contract])?.pop().flatten();
        if leaf.is_none_or(|leaf| leaf.storage_root != dump.storage_root()) {
            let text = format!("the state of {contract} changed while it was read, try again");
            return Err(RpcError::Refused(text));
        }
        match dump.encode().len() > STATE_BYTES_MAX {
            true => Err(too_large()),
            false => Ok(dump),
        }
    }

    /// The state that a request wants shared, and under which terms.
    pub(crate) fn state_to_share(
        &self,
        state: &PrivateStateId,
        record: &ExtensionRecord,
    ) -> Result<SharedState, RpcError> {
        let contract = record.contract_extended;
        let dump = self.dump(state, contract)?;
        let mut parties = self.parties_of(record.creation_data)?;
        let known = self.private()?.states.terms(state, contract)?;
        let terms = match known {
            None => PrivacyTerms::default(),
            Some(known) => {
                parties.extend(self.parties_of(known.creation)?);
                share_terms(known, &dump)
            }
        };
        Ok(SharedState { plain: Zeroizing::new(dump.encode()), terms, parties })
    }

    /// Whether what was shared is what the contract was after the block that told of it: a block
    /// may have changed it meanwhile.
    pub(crate) fn is_current(
        &self,
        state: &PrivateStateId,
        record: &ExtensionRecord,
    ) -> Result<bool, RpcError> {
        let Some((hash, number)) = record.shared else { return Ok(false) };
        let contract = record.contract_extended;
        let payload = self.payload(hash)?;
        let Ok(dump) = ContractDump::decode(&payload.plain) else { return Ok(false) };
        let states = &self.private()?.states;
        if let Some(terms) = states.terms(state, contract)?
            && terms.creation != hash
        {
            return Ok(false);
        }
        let Some(store) = states.store(state) else { return Ok(false) };
        let leaf = store.leaves_after(number, Arc::default(), &[contract])?.pop().flatten();
        Ok(leaf.is_some_and(|leaf| {
            leaf.nonce == dump.nonce
                && leaf.code_hash == keccak256(&dump.code)
                && leaf.storage_root == dump.storage_root()
        }))
    }
}

/// What the payload with a state is under: it stands for the contract's creation from then on, and
/// shows that its sender is a party to what did so before.
fn share_terms(known: ContractTerms, dump: &ContractDump) -> PrivacyTerms {
    let ContractTerms { creation, flag, mandatory } = known;
    let validates = flag == PrivacyFlag::StateValidation;
    PrivacyTerms {
        flag,
        // With state validation the parties would have to be the same; they know each other there.
        affected: if validates { Vec::new() } else { vec![creation] },
        execution_root: validates.then(|| dump.storage_root()),
        mandatory,
    }
}
