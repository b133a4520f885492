//! Why a call gave no result, in geth's words: clients match on them.

use crate::{InvalidTransaction, call::revert::reason};
use alloy_primitives::Bytes;
use entente_chain::StateError;
use revm::context_interface::result::{HaltReason, OutOfGasError};
use std::time::Duration;

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The code reverted. RPC answers code 3 with `output` as data.
    #[error("execution reverted{}", suffix(reason.as_deref()))]
    Reverted {
        /// What the code gave, exactly.
        output: Bytes,
        /// The text in it, made harmless; `None` when there is none.
        reason: Option<String>,
    },
    /// The code failed.
    #[error("{reason}")]
    Halted {
        /// How.
        reason: String,
        /// Gas used by then.
        gas_used: u64,
    },
    /// The call could not be a transaction.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    /// The request contradicts itself or asks for too much: invalid parameters.
    #[error("{0}")]
    Request(String),
    /// No gas limit within what is allowed is enough.
    #[error("gas required exceeds allowance ({allowance})")]
    GasRequired {
        /// The most gas that was allowed.
        allowance: u64,
    },
    /// It took too long.
    #[error("execution aborted (timeout = {limit:?})")]
    Timeout {
        /// The time allowed.
        limit: Duration,
    },
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// Execution itself failed.
    #[error("execution failed: {0}")]
    Internal(String),
}

fn suffix(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

impl CallError {
    pub(crate) fn reverted(output: Bytes) -> Self {
        let reason = reason(&output);
        Self::Reverted { output, reason }
    }

    pub(crate) fn halted(reason: &HaltReason, gas_used: u64) -> Self {
        Self::Halted { reason: halt_text(reason), gas_used }
    }

    pub(crate) fn request(text: impl Into<String>) -> Self {
        Self::Request(text.into())
    }
}

/// geth's words for a failure.
pub(crate) fn halt_text(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(OutOfGasError::ReentrancySentry) => {
            "not enough gas for reentrancy sentry".into()
        }
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode | HaltReason::NotActivated => {
            "invalid opcode".into()
        }
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::StackUnderflow => "stack underflow".into(),
        HaltReason::StackOverflow => "stack limit reached 1024".into(),
        HaltReason::OutOfOffset => "return data out of bounds".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::NonceOverflow => "nonce uint64 overflow".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef".into(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".into()
        }
        HaltReason::OutOfFunds => "insufficient balance for transfer".into(),
        HaltReason::CallTooDeep => "max call depth exceeded".into(),
        HaltReason::PrecompileError
        | HaltReason::PrecompileErrorWithContext(_)
        | HaltReason::OverflowPayment => reason.to_string(),
    }
}
