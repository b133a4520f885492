//! Runs the transactions of one block, one after the other: the loop that executing a block and
//! building one share, so that nobody builds what others refuse.

use crate::{
    BlockError, InvalidTransaction,
    database::{BlockState, ReadError},
    environment::{BlockFacts, blob_count, tx_env},
    validate::check_kind,
};
use alloy_consensus::{Header, Transaction};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::{Address, Bloom, Bytes};
use entente_chain::{Receipt, RecoveredTransaction, StateChanges, fork::Fork};
use revm::{
    Context, DatabaseCommit, ExecuteEvm, MainBuilder, MainnetEvm, SystemCallEvm,
    context::{BlockEnv, CfgEnv, Journal, TxEnv},
    context_interface::{
        ContextTr,
        result::{EVMError, ExecutionResult, InvalidTransaction as Refused},
    },
    handler::SYSTEM_ADDRESS,
};

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
}

impl<'a> BlockRun<'a> {
    pub(crate) fn new(
        facts: BlockFacts,
        header: &Header,
        beneficiary: Address,
        state: BlockState<'a>,
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
        let blobs = self.check(transaction)?;
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
        let bloom: Bloom = receipt.logs.iter().collect();
        self.bloom.accrue_bloom(&bloom);
        self.blooms.push(bloom);
        self.receipts.push(receipt);
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

    /// Ends the block.
    pub(crate) fn into_changes(self) -> (Vec<Receipt>, StateChanges) {
        (self.receipts, self.evm.ctx.journaled_state.database.into_changes())
    }
}
