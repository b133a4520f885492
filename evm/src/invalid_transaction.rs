//! Why a transaction may not stand in a block. The texts are geth's: clients match on them.

use alloy_primitives::{Address, U256};
use revm::context_interface::result::InvalidTransaction as Refused;

/// A rule that a transaction breaks. `Display` is what RPC answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    /// An EIP-2718 type that the fork does not know yet, or blobs where there are none.
    #[error("transaction type not supported")]
    TypeNotSupported,
    /// EIP-155: signed for another chain.
    #[error("invalid chain id: have {have}, want {want}")]
    ChainId {
        /// The transaction's.
        have: u64,
        /// This chain's.
        want: u64,
    },
    /// GoQuorum's rule where gas has no price.
    #[error("Gas price not 0")]
    GasPriceNotZero,
    /// GoQuorum's rule: value cannot move between public and private state.
    #[error("ether value is not supported for private transactions")]
    PrivateValue,
    /// More bytes than the chain allows.
    #[error("oversized data: {got} > {allowed}")]
    Oversized {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// The gas limit does not pay for the bytes of the transaction.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {minimum}")]
    IntrinsicGas {
        /// The transaction's gas limit.
        gas: u64,
        /// What it costs before anything runs.
        minimum: u64,
    },
    /// EIP-7623: the gas limit is below the floor for its calldata.
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {minimum}")]
    FloorGas {
        /// The transaction's gas limit.
        gas: u64,
        /// The floor.
        minimum: u64,
    },
    /// EIP-1559: cannot pay the base fee.
    #[error(
        "max fee per gas less than block base fee: address {address}, maxFeePerGas: {fee_cap}, \
         baseFee: {base_fee}"
    )]
    FeeCapTooLow {
        /// The sender.
        address: Address,
        /// Wei per gas it would pay.
        fee_cap: u128,
        /// Wei per gas the block asks for.
        base_fee: u64,
    },
    /// EIP-1559: the tip alone is above the cap.
    #[error(
        "max priority fee per gas higher than max fee per gas: address {address}, \
         maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee_cap}"
    )]
    TipAboveFeeCap {
        /// The sender.
        address: Address,
        /// Wei per gas for the proposer.
        tip: u128,
        /// Wei per gas in all.
        fee_cap: u128,
    },
    /// More gas than a whole block has.
    #[error("exceeds block gas limit")]
    BlockGasLimit {
        /// The transaction's gas limit.
        gas: u64,
        /// The block's.
        limit: u64,
    },
    /// EIP-7825.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasCap {
        /// The transaction's gas limit.
        gas: u64,
        /// The most one transaction may ask for.
        cap: u64,
    },
    /// No gas is left for it in this block.
    #[error("gas limit reached")]
    BlockGasUsedUp {
        /// The transaction's gas limit.
        gas: u64,
        /// What is left.
        left: u64,
    },
    /// EIP-3860, or the chain's own limit.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCodeSize {
        /// Bytes of init code.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The nonce was used.
    #[error("nonce too low: address {address}, tx: {nonce} state: {state}")]
    NonceTooLow {
        /// The sender.
        address: Address,
        /// The transaction's nonce.
        nonce: u64,
        /// The account's.
        state: u64,
    },
    /// Transactions before it are missing.
    #[error("nonce too high: address {address}, tx: {nonce} state: {state}")]
    NonceTooHigh {
        /// The sender.
        address: Address,
        /// The transaction's nonce.
        nonce: u64,
        /// The account's.
        state: u64,
    },
    /// EIP-2681.
    #[error("nonce has max value: address {address}, nonce: {}", u64::MAX)]
    NonceMax {
        /// The sender.
        address: Address,
    },
    /// EIP-3607.
    #[error("sender not an eoa: address {address}")]
    SenderHasCode {
        /// The sender.
        address: Address,
    },
    /// The sender cannot pay.
    #[error(
        "insufficient funds for gas * price + value: address {address} have {have} want {want}"
    )]
    InsufficientFunds {
        /// The sender.
        address: Address,
        /// Its balance in wei.
        have: U256,
        /// Gas limit times price, plus value, in wei.
        want: U256,
    },
    /// EIP-4844: cannot pay the blob base fee.
    #[error(
        "max fee per blob gas less than block blob gas fee: address {address} blobGasFeeCap: \
         {fee_cap}, blobBaseFee: {base_fee}"
    )]
    BlobFeeCapTooLow {
        /// The sender.
        address: Address,
        /// Wei per blob gas it would pay.
        fee_cap: u128,
        /// Wei per blob gas the block asks for.
        base_fee: u128,
    },
    /// EIP-4844: the blobs of the block or transaction are too many.
    #[error("blob gas limit reached: have {have} blobs, allowed {allowed}")]
    TooManyBlobs {
        /// Blobs given.
        have: u64,
        /// Blobs allowed.
        allowed: u64,
    },
    /// Any other rule; revm's words.
    #[error("{0}")]
    Other(String),
}

impl InvalidTransaction {
    /// Translates revm's refusal. `base_fee` and `fees` (tip, cap) only complete its text.
    pub(crate) fn from_revm(
        cause: Refused,
        address: Address,
        base_fee: u64,
        fees: (u128, u128),
    ) -> Self {
        let (tip, fee_cap) = fees;
        match cause {
            Refused::PriorityFeeGreaterThanMaxFee => Self::TipAboveFeeCap { address, tip, fee_cap },
            Refused::GasPriceLessThanBasefee => Self::FeeCapTooLow { address, fee_cap, base_fee },
            Refused::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
                Self::IntrinsicGas { gas: gas_limit, minimum: initial_gas }
            }
            Refused::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
                Self::FloorGas { gas: gas_limit, minimum: gas_floor }
            }
            Refused::RejectCallerWithCode => Self::SenderHasCode { address },
            Refused::LackOfFundForMaxFee { fee, balance } => {
                Self::InsufficientFunds { address, have: *balance, want: *fee }
            }
            Refused::NonceOverflowInTransaction => Self::NonceMax { address },
            Refused::NonceTooHigh { tx, state } => Self::NonceTooHigh { address, nonce: tx, state },
            Refused::NonceTooLow { tx, state } => Self::NonceTooLow { address, nonce: tx, state },
            Refused::TxGasLimitGreaterThanCap { gas_limit, cap } => {
                Self::GasCap { gas: gas_limit, cap }
            }
            Refused::BlobGasPriceGreaterThanMax {
                block_blob_gas_price,
                tx_max_fee_per_blob_gas,
            } => Self::BlobFeeCapTooLow {
                address,
                fee_cap: tx_max_fee_per_blob_gas,
                base_fee: block_blob_gas_price,
            },
            Refused::TooManyBlobs { max, have } => {
                Self::TooManyBlobs { have: have as u64, allowed: max as u64 }
            }
            Refused::Eip2930NotSupported
            | Refused::Eip1559NotSupported
            | Refused::Eip4844NotSupported
            | Refused::Eip7702NotSupported => Self::TypeNotSupported,
            other => Self::Other(other.to_string()),
        }
    }
}
