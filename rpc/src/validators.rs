//! Who votes, and the open votes, at any block.
//!
//! The tally is stored with the blocks, with the validators that a contract names; where it is not, it follows from the headers: an epoch
//! block drops all votes and names the validators that vote on it.

use crate::{context::Service, error::RpcError};
use alloy_primitives::Address;
use entente_chain::{
    BlockNumber, SealedHeader, ValidatorSet,
    extra_data::{ExtraDataError, istanbul::IstanbulExtra, qbft::QbftExtra},
    spec::EngineKind,
    votes::VoteTally,
};
use entente_consensus::rules::rules_for;
use std::sync::Arc;

fn header(service: &Service, number: BlockNumber) -> Result<SealedHeader, RpcError> {
    let header = service.context.reader.header(number)?;
    header.ok_or_else(RpcError::header_not_found)
}

/// Validators and open votes after a block, which is there.
pub(crate) fn tally_after(service: &Service, number: BlockNumber) -> Result<VoteTally, RpcError> {
    let spec = &service.context.spec;
    if spec.engine_at(number) == EngineKind::Ethereum {
        return Err(RpcError::Refused(format!("block {number} has no validators")));
    }
    if let Some(stored) = service.context.reader.tally(number)? {
        return VoteTally::decode(&stored).map_err(|cause| RpcError::internal(&cause));
    }
    let rules = rules_for(Arc::clone(spec));
    let (mut tally, first) = start(service, number)?;
    for next in first..=number {
        let header = header(service, next)?;
        tally = rules.tally_after(&header, tally).map_err(|cause| RpcError::internal(&cause))?;
    }
    Ok(tally)
}

/// A tally at or before a block, and the first block that it does not know.
fn start(service: &Service, number: BlockNumber) -> Result<(VoteTally, BlockNumber), RpcError> {
    let length = service.context.spec.rules_at(number).epoch_length;
    let epoch = number.checked_rem(length).map_or(0, |since| number - since);
    let broken = |cause: &dyn std::fmt::Display| RpcError::internal(cause);
    let voters = voters_of(service, &header(service, epoch)?)?;
    if epoch == 0 {
        let rules = rules_for(Arc::clone(&service.context.spec));
        let tally = rules.initial_tally(&voters).map_err(|cause| broken(&cause))?;
        return Ok((tally, 1));
    }
    let validators = ValidatorSet::new(voters).map_err(|cause| broken(&cause))?;
    Ok((VoteTally::new(validators), epoch))
}

/// The validators that a header names: those who voted on it.
pub(crate) fn voters_of(
    service: &Service,
    header: &SealedHeader,
) -> Result<Vec<Address>, RpcError> {
    let broken = |cause: ExtraDataError| RpcError::Refused(cause.to_string());
    match service.context.spec.engine_at(header.number) {
        EngineKind::Qbft => Ok(QbftExtra::decode(&header.extra_data).map_err(broken)?.validators),
        EngineKind::Istanbul => {
            Ok(IstanbulExtra::decode(&header.extra_data).map_err(broken)?.validators)
        }
        // Other headers do not name those who vote on them.
        _ => {
            let parent = header.number.saturating_sub(1);
            Ok(tally_after(service, parent)?.validators().addresses().to_vec())
        }
    }
}
