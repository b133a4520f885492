//! Who seals the next block: what votes and the rules say, and the contract where one is asked.

use super::Ledger;
use crate::{ContractError, LedgerError};
use alloy_primitives::Address;
use entente_chain::{
    ChainSpec, SealedHeader, StateReader, ValidatorSet, spec::EngineKind, votes::VoteTally,
};
use entente_storage::ChainReader;

impl Ledger {
    /// The stored tally after a block, as the rules of the next one have it: those may have been
    /// changed since it was stored.
    pub(super) fn tally_at(&mut self, head: &SealedHeader) -> Result<VoteTally, LedgerError> {
        let next = head.number.saturating_add(1);
        let by_contract = self.spec.validator_contract_at(next).is_some();
        let tally = match stored_tally(&self.reader, head.number) {
            Err(LedgerError::TallyMissing(_)) if by_contract => VoteTally::unknown(),
            stored => stored?,
        };
        let tally = self.rules.tally_for(next, tally)?;
        let state = self.states.at(head.number)?;
        self.with_contract(tally, head, &state)
    }

    /// Puts the validators in that a contract names after a block. A bad answer changes nothing
    /// (quorum#1728: it must not halt the chain): all nodes see the same answer.
    pub(super) fn with_contract(
        &mut self,
        mut tally: VoteTally,
        header: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<VoteTally, LedgerError> {
        let next = header.number.saturating_add(1);
        let Some(contract) = self.spec.validator_contract_at(next) else { return Ok(tally) };
        let set = match self.execution.validators(contract, header, state) {
            Ok(listed) if listed.contains(&Address::ZERO) => {
                Err("the zero address is no validator".to_owned())
            }
            Ok(listed) => ValidatorSet::new(listed).map_err(|cause| cause.to_string()),
            Err(ContractError::BadAnswer(cause)) => Err(cause),
            Err(ContractError::Unavailable(cause)) => return Err(LedgerError::Contract(cause)),
        };
        let complaint = match set {
            Ok(set) => {
                if set != *tally.validators() {
                    tally.replace(set);
                }
                None
            }
            Err(cause) => Some(cause),
        };
        if self.complaint != complaint {
            if let Some(cause) = &complaint {
                let number = header.number;
                tracing::warn!(%contract, number, %cause, "validators stay what they were");
            }
            self.complaint = complaint;
        }
        Ok(tally)
    }
}

pub(crate) fn stored_tally(reader: &ChainReader, number: u64) -> Result<VoteTally, LedgerError> {
    let stored = reader.tally(number)?.ok_or(LedgerError::TallyMissing(number))?;
    Ok(VoteTally::decode(&stored)?)
}

/// Refuses chains whose blocks this version could not follow, before the first one.
pub(super) fn supported(spec: &ChainSpec) -> Result<(), LedgerError> {
    let blocks = std::iter::once(0).chain(spec.transitions.iter().map(|change| change.block));
    for block in blocks {
        if spec.engine_at(block) == EngineKind::Ethereum {
            let text = format!("block {block}: plain Ethereum blocks are not supported");
            return Err(LedgerError::Unsupported(text));
        }
    }
    Ok(())
}
