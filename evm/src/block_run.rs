//! Runs the transactions of one block, one after the other: the loop that executing a block and
//! building one share, so that nobody builds what others refuse.

use crate::{
    BlockError, InvalidTransaction,
    database::{BlockState, ReadError},
    environment::{BlockFacts, blob_count, tx_env},
    private::{BlockView, Place, PrivateExecuted, PrivateRun},
    validate::{check_kind, intrinsic_gas},
};
use alloy_consensus::{Header, Transaction};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::{Address, Bloom, Bytes};
use entente_chain::{
    Receipt, RecoveredTransaction, StateChanges, fork::Fork, transaction::has_private_signature,
};
use revm::{
    Context, DatabaseCommit, ExecuteEvm, MainBuilder, MainnetEvm, SystemCallEvm,
    context::{BlockEnv, CfgEnv, Journal, TxEnv},
    context_interface::{
        ContextTr,
        result::{EVMError, ExecutionResult, InvalidTransaction as Refused},
    },
    handler::SYSTEM_ADDRESS,
};
use std::cmp::Ordering;

pub(crate) type EvmContext<'a> =
    Context<BlockEnv, TxEnv, CfgEnv, BlockState<'a>, Journal<BlockState<'a>>, ()>;

/// Why a transaction changed nothing.
pub(crate) enum Failure {
    /// It breaks a rule.
    Invalid(InvalidTransaction),
    /// This node failed.
    Broken(BlockError),
}

impl From<InvalidTransaction> for Failure {
    fn from(cause: InvalidTransaction) -> Self {
        Self::Invalid(cause)
    }
}

/// A block while it is run.
pub(crate) struct BlockRun<'a> {
    evm: MainnetEvm<EvmContext<'a>>,
    pub(crate) facts: BlockFacts,
    gas_limit: u64,
    base_fee: u64,
    beneficiary: Address,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    pub(crate) blobs_used: u64,
    pub(crate) bloom: Bloom,
    /// One per receipt, so that hashing logs for them is done once.
    pub(crate) blooms: Vec<Bloom>,
    /// The private states of this node; `None`: it has none and is no party to anything.
    private: Option<PrivateRun<'a>>,
    /// Gas that private transactions may use at most in the states of their parties.
    private_gas: u64,
}

impl<'a> BlockRun<'a> {
    pub(crate) fn new(
        facts: BlockFacts,
        header: &Header,
        beneficiary: Address,
        state: BlockState<'a>,
        private: Option<PrivateRun<'a>>,
    ) -> Self {
        let cfg = facts.cfg_env();
        let context = EvmContext::new(state, cfg.spec)
            .with_cfg(cfg)
            .with_block(facts.block_env(header, beneficiary));
        Self {
            evm: context.build_mainnet(),
            facts,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            beneficiary,
            receipts: Vec::new(),
            gas_used: 0,
            blobs_used: 0,
            bloom: Bloom::ZERO,
            blooms: Vec::new(),
            private,
            private_gas: 0,
        }
    }

    pub(crate) const fn gas_left(&self) -> u64 {
        self.gas_limit.saturating_sub(self.gas_used)
    }

    pub(crate) fn state(&mut self) -> &mut BlockState<'a> {
        self.evm.ctx.db_mut()
    }

    /// Runs one transaction. When it may not stand in the block, nothing has changed.
    pub(crate) fn transact(&mut self, transaction: &RecoveredTransaction) -> Result<(), Failure> {
        if self.facts.private_transactions && has_private_signature(transaction) {
            return self.transact_private(transaction);
        }
        let blobs = self.check(transaction)?;
        let marker = self.facts.is_marker(transaction);
        if let (true, Some(private)) = (marker, &self.private) {
            private.check_marker(transaction).map_err(Failure::Broken)?;
        }
        let outcome = self.evm.transact_one(tx_env(transaction));
        let changes = self.evm.finalize();
        let result = outcome.map_err(|cause| self.failure(cause, transaction))?;
        self.state().commit(changes);
        self.gas_used += result.tx_gas_used();
        self.blobs_used += blobs;
        let receipt = Receipt {
            tx_type: transaction.tx_type(),
            success: result.is_success(),
            cumulative_gas_used: self.gas_used,
            logs: result.into_logs(),
        };
        self.put_receipt(receipt);
        if marker { self.run_marker(transaction) } else { Ok(()) }
    }

    /// A private transaction: in public it counts, and nothing else.
    fn transact_private(&mut self, transaction: &RecoveredTransaction) -> Result<(), Failure> {
        self.check(transaction)?;
        self.check_private(transaction)?;
        if let Some(private) = &mut self.private
            && let Some((hash, payload)) =
                private.payload(transaction.input()).map_err(Failure::Broken)?
        {
            let place = Place { index: count(&self.receipts), transaction, in_marker: false };
            let view = BlockView { facts: &self.facts, block: &self.evm.ctx.block };
            let public = &mut self.evm.ctx.journaled_state.database;
            private.transact(view, public, place, (hash, &payload)).map_err(Failure::Broken)?;
        }
        self.private_gas = self.private_gas.saturating_add(transaction.gas_limit());
        let sender = transaction.sender();
        self.state().increment_nonce(sender).map_err(|cause| Failure::Broken(cause.into()))?;
        self.put_receipt(Receipt {
            tx_type: transaction.tx_type(),
            success: true,
            cumulative_gas_used: self.gas_used,
            logs: Vec::new(),
        });
        Ok(())
    }

    fn run_marker(&mut self, marker: &RecoveredTransaction) -> Result<(), Failure> {
        let Some(private) = &mut self.private else { return Ok(()) };
        let index = count(&self.receipts).saturating_sub(1);
        let view = BlockView { facts: &self.facts, block: &self.evm.ctx.block };
        let public = &mut self.evm.ctx.journaled_state.database;
        private.transact_marker(view, public, (index, marker)).map_err(Failure::Broken)
    }

    fn put_receipt(&mut self, receipt: Receipt) {
        let bloom: Bloom = receipt.logs.iter().collect();
        self.bloom.accrue_bloom(&bloom);
        self.blooms.push(bloom);
        self.receipts.push(receipt);
    }

    /// What revm would check of a transaction that runs.
    fn check_private(&mut self, transaction: &RecoveredTransaction) -> Result<(), Failure> {
        let address = transaction.sender();
        let state = self.state().account(address).map_err(|cause| Failure::Broken(cause.into()))?;
        let state = state.unwrap_or_default();
        let nonce = transaction.nonce();
        match nonce.cmp(&state.nonce) {
            Ordering::Less => {
                return Err(
                    InvalidTransaction::NonceTooLow { address, nonce, state: state.nonce }.into()
                );
            }
            Ordering::Greater => {
                return Err(InvalidTransaction::NonceTooHigh {
                    address,
                    nonce,
                    state: state.nonce,
                }
                .into());
            }
            Ordering::Equal if nonce == u64::MAX => {
                return Err(InvalidTransaction::NonceMax { address }.into());
            }
            Ordering::Equal => {}
        }
        if state.has_code() {
            return Err(InvalidTransaction::SenderHasCode { address }.into());
        }
        let (gas, minimum) =
            (transaction.gas_limit(), intrinsic_gas(transaction, self.facts.fork).minimum());
        if gas < minimum {
            return Err(InvalidTransaction::IntrinsicGas { gas, minimum }.into());
        }
        if transaction.max_fee_per_gas() < u128::from(self.base_fee) {
            let (fee_cap, base_fee) = (transaction.max_fee_per_gas(), self.base_fee);
            return Err(InvalidTransaction::FeeCapTooLow { address, fee_cap, base_fee }.into());
        }
        Ok(())
    }

    /// The rules of the block that revm does not know; gives the number of blobs.
    fn check(&self, transaction: &RecoveredTransaction) -> Result<u64, InvalidTransaction> {
        check_kind(&self.facts, transaction)?;
        let (gas, left) = (transaction.gas_limit(), self.gas_left());
        if gas > left {
            return Err(InvalidTransaction::BlockGasUsedUp { gas, left });
        }
        let blobs = blob_count(transaction);
        let allowed = self.facts.blobs.max.saturating_sub(self.blobs_used);
        if blobs > allowed {
            return Err(InvalidTransaction::TooManyBlobs { have: blobs, allowed });
        }
        Ok(blobs)
    }

    fn failure(
        &self,
        cause: EVMError<ReadError, Refused>,
        transaction: &RecoveredTransaction,
    ) -> Failure {
        match cause {
            EVMError::Transaction(Refused::CreateInitCodeSizeLimit) => {
                Failure::Invalid(InvalidTransaction::InitCodeSize {
                    size: transaction.input().len(),
                    limit: self.facts.init_code_limit(),
                })
            }
            EVMError::Transaction(cause) => {
                let tip = transaction.max_priority_fee_per_gas().unwrap_or_default();
                let fees = (tip, transaction.max_fee_per_gas());
                let address = transaction.sender();
                InvalidTransaction::from_revm(cause, address, self.base_fee, fees).into()
            }
            EVMError::Database(cause) => Failure::Broken(BlockError::State(cause.0)),
            other => Failure::Broken(BlockError::Internal(other.to_string())),
        }
    }

    /// Calls a contract as the protocol itself: no gas is paid. `None` when there is no contract.
    pub(crate) fn system_call(
        &mut self,
        contract: Address,
        input: Bytes,
    ) -> Result<Option<ExecutionResult>, BlockError> {
        let account = self.state().account(contract)?;
        if !account.is_some_and(|account| account.has_code()) {
            return Ok(None);
        }
        let outcome = self.evm.system_call_one(contract, input);
        let mut changes = self.evm.finalize();
        let result = outcome.map_err(|cause| match cause {
            EVMError::Database(cause) => BlockError::State(cause.0),
            other => BlockError::SystemCall { contract, cause: other.to_string() },
        })?;
        // The system has no account and the call pays nobody (EIP-4788).
        changes.remove(&SYSTEM_ADDRESS);
        if self.beneficiary != contract {
            changes.remove(&self.beneficiary);
        }
        self.state().commit(changes);
        Ok(Some(result))
    }

    /// EIP-4844: what the blobs cost; `None` before Cancun.
    pub(crate) fn blob_gas_used(&self) -> Option<u64> {
        (self.facts.fork >= Fork::Cancun)
            .then_some(self.blobs_used.saturating_mul(DATA_GAS_PER_BLOB))
    }

    /// Gas left for building: what private transactions may use is part of it, so that a block
    /// does not cost its parties more than any other block.
    pub(crate) const fn gas_to_fill(&self) -> u64 {
        self.gas_left().saturating_sub(self.private_gas)
    }

    /// Ends the block.
    pub(crate) fn into_changes(self) -> (Vec<Receipt>, StateChanges, Vec<PrivateExecuted>) {
        let private = self.private.map(PrivateRun::into_executed).unwrap_or_default();
        (self.receipts, self.evm.ctx.journaled_state.database.into_changes(), private)
    }
}

/// Receipts so far: far below 2^32.
fn count(receipts: &[Receipt]) -> u32 {
    u32::try_from(receipts.len()).unwrap_or(u32::MAX)
}
