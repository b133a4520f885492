//! Validators that a contract names (GoQuorum's and Besu's contract mode): asked by a call on the
//! state after the block, as the engine does for the next one.

use crate::{context::Service, error::RpcError, methods::call_error};
use alloy_primitives::{Address, Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use entente_chain::{BlockNumber, ValidatorSet, limits::VALIDATORS_MAX, votes::VoteTally};
use entente_evm::CallContext;

/// `getValidators()`.
const SELECTOR: [u8; 4] = [0xb7, 0xab, 0x4d, 0xb5];
const WORD: usize = 32;

/// The validators after a block, without votes: a contract knows none.
pub(crate) fn tally_after(service: &Service, number: BlockNumber) -> Result<VoteTally, RpcError> {
    let context = &service.context;
    let header = context.reader.header(number)?.ok_or_else(RpcError::header_not_found)?;
    let state = context.states.at(number)?;
    let contract = context.spec.rules_at(number.saturating_add(1)).validator_contract;
    let request = TransactionRequest {
        to: contract.map(TxKind::Call),
        input: Bytes::from_static(&SELECTOR).into(),
        ..TransactionRequest::default()
    };
    let call = CallContext {
        header: &header,
        state: &state,
        gas_cap: service.limits.call_gas,
        time_limit: service.limits.call_time,
        state_overrides: None,
        block_overrides: None,
    };
    let result = context.executor.call(&call, &request).map_err(call_error)?;
    let unreadable = || RpcError::Refused("the validator contract's answer is no list".into());
    let addresses = decode_addresses(&result.output).ok_or_else(unreadable)?;
    let validators =
        ValidatorSet::new(addresses).map_err(|cause| RpcError::Refused(cause.to_string()))?;
    Ok(VoteTally::new(validators))
}

/// ABI of `address[]`: offset, length, words.
fn decode_addresses(output: &[u8]) -> Option<Vec<Address>> {
    let number = |at: usize| {
        let word = output.get(at..at.checked_add(WORD)?)?;
        let (high, low) = word.split_at_checked(WORD - 8)?;
        let low = u64::from_be_bytes(low.try_into().ok()?);
        if high.iter().any(|byte| *byte != 0) { None } else { usize::try_from(low).ok() }
    };
    let start = number(0)?;
    let count = number(start)?;
    if count > VALIDATORS_MAX {
        return None;
    }
    let first = start.checked_add(WORD)?;
    let words = output.get(first..first.checked_add(count.checked_mul(WORD)?)?)?;
    words
        .chunks_exact(WORD)
        .map(|word| {
            let (padding, address) = word.split_at_checked(12)?;
            padding.iter().all(|byte| *byte == 0).then(|| Address::from_slice(address))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    #[test]
    fn the_selector_is_that_of_get_validators() {
        assert_eq!(keccak256("getValidators()")[..4], SELECTOR);
    }

    #[test]
    fn a_list_of_addresses_is_read_and_every_cut_refused() {
        let mut output = vec![0; 4 * WORD];
        output[31] = 32;
        output[63] = 2;
        output[95] = 7;
        output[127] = 8;
        let expected = vec![Address::with_last_byte(7), Address::with_last_byte(8)];
        assert_eq!(decode_addresses(&output), Some(expected));
        for length in 0..output.len() {
            assert_eq!(decode_addresses(&output[..length]), None, "{length} bytes");
        }
    }
}
