//! Validators that a contract names (GoQuorum's and Besu's contract mode): `getValidators()` on the
//! committed state after a block says who votes on the next one.

use alloy_primitives::{Address, Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use entente_chain::{SealedHeader, StateReader, limits::VALIDATORS_MAX};
use entente_evm::{CallContext, CallError, Executor};
use std::time::Duration;

/// `getValidators()`.
const SELECTOR: [u8; 4] = [0xb7, 0xab, 0x4d, 0xb5];
const WORD: usize = 32;
/// Gas of the call: a list of 256 takes a million.
const GAS: u64 = 50_000_000;
/// Gas bounds the call; this must not decide anything, or nodes could differ.
const TIME: Duration = Duration::from_secs(3600);

/// Why a validator contract named nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// The call failed or its answer is no list of addresses. Every node sees the same.
    #[error("{0}")]
    BadAnswer(String),
    /// This node could not ask: its state cannot be read. Nothing may follow from that.
    #[error("{0}")]
    Unavailable(String),
}

impl From<CallError> for ContractError {
    fn from(cause: CallError) -> Self {
        let text = cause.to_string();
        match cause {
            CallError::Reverted { .. }
            | CallError::Halted { .. }
            | CallError::Invalid(_)
            | CallError::Request(_)
            | CallError::GasRequired { .. } => Self::BadAnswer(text),
            CallError::Timeout { .. } | CallError::State(_) | CallError::Internal(_) => {
                Self::Unavailable(text)
            }
        }
    }
}

/// Asks the contract.
///
/// # Errors
/// [`ContractError`].
pub(crate) fn ask(
    executor: &Executor,
    contract: Address,
    header: &SealedHeader,
    state: &dyn StateReader,
) -> Result<Vec<Address>, ContractError> {
    let request = TransactionRequest {
        to: Some(TxKind::Call(contract)),
        input: Bytes::from_static(&SELECTOR).into(),
        ..TransactionRequest::default()
    };
    let call = CallContext {
        private: None,
        header,
        state,
        gas_cap: GAS,
        time_limit: TIME,
        state_overrides: None,
        block_overrides: None,
    };
    let result = executor.call(&call, &request)?;
    let bad = || ContractError::BadAnswer("the answer is no list of addresses".to_owned());
    decode_addresses(&result.output).ok_or_else(bad)
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
