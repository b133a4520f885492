//! A request to extend a contract as its management contract's events tell it. Nothing is kept
//! beside the chain, so nothing is lost with a file of its own (quorum#1396).

use crate::{context::Service, error::RpcError, methods::decode};
use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use entente_chain::{
    BlockNumber, RecoveredBlock, StateReader as _,
    private::{PayloadHash, PrivateReceipt, PrivateStateId},
};
use entente_evm::extension::{CREATED_TOPIC, ExtensionEvent, is_management_code};
use entente_storage::LogIndexQuery;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// A request to extend a contract; as JSON it is GoQuorum's `ExtensionContract`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExtensionRecord {
    /// The contract that shall be extended.
    pub(crate) contract_extended: Address,
    /// Account that asked for it.
    pub(crate) initiator: Address,
    /// Account that accepts for the new party.
    pub(crate) recipient: Address,
    /// The contract that keeps this request.
    pub(crate) management_contract_address: Address,
    /// Key of the new party.
    pub(crate) recipient_ptm_key: String,
    /// Payload that created the management contract.
    #[serde(serialize_with = "as_text")]
    pub(crate) creation_data: PayloadHash,
    #[serde(skip)]
    pub(crate) votes: BTreeMap<Address, bool>,
    /// The newest payload with the state, and the block that told of it.
    #[serde(skip)]
    pub(crate) shared: Option<(PayloadHash, BlockNumber)>,
    /// Blocks that told of a shared state.
    #[serde(skip)]
    pub(crate) shares: usize,
    #[serde(skip)]
    pub(crate) finished: bool,
}

fn as_text<S: Serializer>(hash: &PayloadHash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

impl ExtensionRecord {
    /// Whether both accounts have accepted.
    pub(crate) fn is_accepted(&self) -> bool {
        [self.initiator, self.recipient].iter().all(|voter| self.votes.get(voter) == Some(&true))
    }

    fn apply(&mut self, event: ExtensionEvent, number: BlockNumber) {
        match event {
            ExtensionEvent::Created { .. } => {}
            ExtensionEvent::Vote { accept, voter } => drop(self.votes.insert(voter, accept)),
            ExtensionEvent::Shared { state, .. } => {
                let Ok(hash) = state.parse() else { return };
                // One event for each voter.
                if self.shared.replace((hash, number)) != Some((hash, number)) {
                    self.shares = self.shares.saturating_add(1);
                }
            }
            ExtensionEvent::Finished => self.finished = true,
        }
    }
}

impl Service {
    /// The request that a management contract keeps.
    pub(crate) fn extension(
        &self,
        state: &PrivateStateId,
        management: Address,
    ) -> Result<ExtensionRecord, RpcError> {
        // geth's text for a call to nothing.
        let none = || RpcError::Refused("no contract code at given address".to_owned());
        let states = &self.private()?.states;
        let head = self.context.reader.head().header.number;
        let private = self.private_state(state, head)?.ok_or_else(none)?;
        let account = private.account(management)?.ok_or_else(none)?;
        if !is_management_code(account.code_hash) {
            return Err(RpcError::Refused(format!(
                "{management} is no management contract of an extension"
            )));
        }
        let query = LogIndexQuery { addresses: vec![management], topics: Vec::new() };
        let mut record = None;
        for number in states.blocks_with_logs(state, &query, 0, head)? {
            for receipt in self.private_receipts(state, number)? {
                let own = receipt.logs.iter().filter(|log| log.address == management);
                for event in own.filter_map(|log| ExtensionEvent::read(&log.data)) {
                    match &mut record {
                        None => record = self.begun(management, number, &receipt, event)?,
                        Some(record) => record.apply(event, number),
                    }
                }
            }
        }
        record.ok_or_else(none)
    }

    /// Requests of a private state that have not ended, oldest first.
    pub(crate) fn active_extensions(
        &self,
        state: &PrivateStateId,
    ) -> Result<Vec<ExtensionRecord>, RpcError> {
        let states = &self.private()?.states;
        let head = self.context.reader.head().header.number;
        let Some(private) = self.private_state(state, head)? else { return Ok(Vec::new()) };
        let query = LogIndexQuery { addresses: Vec::new(), topics: vec![vec![CREATED_TOPIC]] };
        let mut active = Vec::new();
        for number in states.blocks_with_logs(state, &query, 0, head)? {
            for receipt in self.private_receipts(state, number)? {
                for log in &receipt.logs {
                    let event = ExtensionEvent::read(&log.data);
                    let Some(ExtensionEvent::Created { .. }) = event else { continue };
                    let account = private.account(log.address)?;
                    if !account.is_some_and(|account| is_management_code(account.code_hash)) {
                        continue;
                    }
                    let record = self.extension(state, log.address)?;
                    if !record.finished {
                        active.push(record);
                    }
                }
            }
        }
        Ok(active)
    }

    /// A request as the event of its creation tells it.
    fn begun(
        &self,
        management: Address,
        number: BlockNumber,
        receipt: &PrivateReceipt,
        event: ExtensionEvent,
    ) -> Result<Option<ExtensionRecord>, RpcError> {
        let ExtensionEvent::Created { to_extend, recipient_key, recipient } = event else {
            return Ok(None);
        };
        let Some((block, _)) = self.context.reader.block_with_receipts(number)? else {
            return Ok(None);
        };
        let Some((initiator, creation_data)) = self.creation(&block, receipt)? else {
            return Ok(None);
        };
        Ok(Some(ExtensionRecord {
            contract_extended: to_extend,
            initiator,
            recipient,
            management_contract_address: management,
            recipient_ptm_key: recipient_key,
            creation_data,
            votes: BTreeMap::new(),
            shared: None,
            shares: 0,
            finished: false,
        }))
    }

    /// Sender and payload of a private transaction.
    fn creation(
        &self,
        block: &RecoveredBlock,
        receipt: &PrivateReceipt,
    ) -> Result<Option<(Address, PayloadHash)>, RpcError> {
        let place = usize::try_from(receipt.index).unwrap_or(usize::MAX);
        let Some(transaction) = block.transactions().get(place) else { return Ok(None) };
        let data = match receipt.inner.is_empty() {
            true => transaction.input().clone(),
            false => decode(self, receipt.inner.clone())?.input().clone(),
        };
        Ok(PayloadHash::from_data(&data).map(|hash| (transaction.sender(), hash)))
    }
}

#[cfg(test)]
pub(super) fn record() -> ExtensionRecord {
    ExtensionRecord {
        contract_extended: Address::repeat_byte(1),
        initiator: Address::repeat_byte(2),
        recipient: Address::repeat_byte(3),
        management_contract_address: Address::repeat_byte(4),
        recipient_ptm_key: entente_chain::private::RecipientKey([5; 32]).to_string(),
        creation_data: PayloadHash(alloy_primitives::B512::repeat_byte(6)),
        votes: BTreeMap::new(),
        shared: None,
        shares: 0,
        finished: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B512;

    #[test]
    fn a_record_has_goquorums_fields() {
        let json = serde_json::to_value(record()).expect("JSON");
        let fields: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        let mut expected = [
            "contractExtended",
            "initiator",
            "recipient",
            "managementContractAddress",
            "recipientPtmKey",
            "creationData",
        ];
        expected.sort_unstable();
        let mut fields: Vec<_> = fields.iter().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_state_is_counted_once_per_share_however_many_have_voted() {
        let mut record = record();
        let shared = |byte| ExtensionEvent::Shared {
            to_extend: Address::repeat_byte(1),
            state: PayloadHash(B512::repeat_byte(byte)).to_string(),
            uuid: String::new(),
        };
        record.apply(shared(1), 10);
        record.apply(shared(1), 10);
        assert_eq!(record.shares, 1);
        record.apply(shared(2), 12);
        assert_eq!(
            (record.shares, record.shared),
            (2, Some((PayloadHash(B512::repeat_byte(2)), 12)))
        );
    }

    #[test]
    fn it_is_accepted_when_both_accounts_said_yes() {
        let mut record = record();
        for (voter, accept, accepted) in
            [(2, true, false), (9, true, false), (3, false, false), (3, true, true)]
        {
            let voter = Address::repeat_byte(voter);
            record.apply(ExtensionEvent::Vote { accept, voter }, 1);
            assert_eq!(record.is_accepted(), accepted);
        }
        record.apply(ExtensionEvent::Finished, 2);
        assert!(record.finished);
    }
}
