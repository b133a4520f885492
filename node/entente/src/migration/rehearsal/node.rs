//! One validator of a rehearsal: a ledger over its own copy, and the node's consensus machine.

use crate::wiring::executor;
use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use anyhow::Context;
use entente_chain::{
    BlockNumber, ChainSpec, EnvironmentId, RecoveredBlock, RecoveredTransaction, StateReader,
    signer::SealSigner, transaction::Signing,
};
use entente_consensus::{
    Action, BuildAttributes, ChainPosition, Input, Now, Replica, Step, Verdict,
    schedule::{EngineSettings, Schedule},
    sync::SyncSettings,
};
use entente_evm::{Room, SkipReason, TransactionSource};
use entente_ledger::{CommittedBlock, Ledger};
use entente_storage::{ChainReader, Database, StateStore};
use std::{convert::Infallible, sync::Arc, time::Duration};

const TRANSFER_GAS: u64 = 21_000;
/// Virtual time stands still while a block is built.
const BUILD_TIME: Duration = Duration::from_secs(60);

pub(super) struct Node {
    pub(super) ledger: Ledger,
    pub(super) position: ChainPosition,
    pub(super) address: Address,
    pub(super) wake: Option<u64>,
    reader: ChainReader,
    states: StateStore,
    chain_id: u64,
    signing: Signing,
    /// Signs transactions that move nothing, so that engines on demand have something to do.
    sender: SealSigner,
    replica: Replica,
    step: Step,
}

/// A block's one transaction.
struct One(Option<Arc<RecoveredTransaction>>);

impl TransactionSource for One {
    fn next(&mut self, _: Room) -> Option<Arc<RecoveredTransaction>> {
        self.0.take()
    }

    fn skipped(&mut self, _: B256, _: SkipReason) {}
}

impl Node {
    pub(super) fn open(
        database: &Database,
        spec: &Arc<ChainSpec>,
        environment: EnvironmentId,
        key: SealSigner,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let ledger = Ledger::open(database, Arc::clone(spec), Arc::new(executor(spec)))?;
        let address = key.address();
        let settings = EngineSettings { environment, vanity: B256::ZERO, seed };
        let engine = Schedule::new(Arc::clone(spec), Some(key.clone()), settings);
        Ok(Self {
            position: ledger.position(),
            address,
            wake: None,
            reader: database.reader(),
            states: database.states(),
            chain_id: spec.chain_id,
            signing: spec.signing(),
            sender: key,
            replica: Replica::new(Box::new(engine), SyncSettings::of_chain(spec)),
            step: Step::default(),
            ledger,
        })
    }

    /// The first input of every life. Records of the real validator are not this one's.
    pub(super) fn recovered(&self) -> anyhow::Result<Input> {
        let ancestors = self.ledger.ancestors()?;
        Ok(Input::Recovered { position: self.position.clone(), ancestors, records: Vec::new() })
    }

    /// Feeds one input. Records have nowhere to go: nobody here dies.
    pub(super) fn input(&mut self, now: Now, input: Input) -> Vec<Action> {
        self.replica.step(now, input, &mut self.step);
        let mut actions = Vec::new();
        let Ok(()) = self.step.perform(|_| Ok::<_, Infallible>(()), |action| actions.push(action));
        actions
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.replica.next_deadline()
    }

    pub(super) fn phase(&self, now: Now) -> String {
        self.replica.status(now).phase
    }

    pub(super) fn head(&self) -> BlockNumber {
        self.position.head.number
    }

    pub(super) fn block(&self, number: BlockNumber) -> anyhow::Result<Option<RecoveredBlock>> {
        Ok(self.reader.block(number)?.map(|block| RecoveredBlock::clone(&block)))
    }

    pub(super) fn build(&mut self, attributes: &BuildAttributes) -> Result<RecoveredBlock, String> {
        let built = self.ledger.template(attributes).map_err(anyhow::Error::from);
        let built = built.and_then(|template| {
            let free = template.base_fee_per_gas.unwrap_or(0) == 0;
            let mut source = One(if free { Some(self.transaction()?) } else { None });
            Ok(self.ledger.build(template, self.address, BUILD_TIME, &mut source)?)
        });
        built.map_err(|error| error.to_string())
    }

    /// A transfer of nothing to oneself, at no price.
    fn transaction(&self) -> anyhow::Result<Arc<RecoveredTransaction>> {
        let head = self.ledger.head().header.number;
        let account = self.states.at(head)?.account(self.address)?;
        let transaction = TxLegacy {
            chain_id: Some(self.chain_id),
            nonce: account.map_or(0, |account| account.nonce),
            gas_price: 0,
            gas_limit: TRANSFER_GAS,
            to: TxKind::Call(self.address),
            value: U256::ZERO,
            input: Bytes::new(),
        };
        let seal = self.sender.sign(transaction.signature_hash());
        let (signature, parity) = seal.split_at_checked(64).context("a signature")?;
        let signature = Signature::from_bytes_and_parity(signature, parity == [1]);
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        let decoded = RecoveredTransaction::decode(envelope.encoded_2718().into(), self.signing)?;
        Ok(Arc::new(decoded))
    }

    pub(super) fn check(&mut self, block: &RecoveredBlock, now: Now) -> Verdict {
        self.ledger.check(block, now.unix_seconds())
    }

    pub(super) fn committed(&mut self, committed: &CommittedBlock) {
        self.position = committed.position.clone();
    }
}
