//! The thread that owns the chain: takes commands, answers to the consensus thread, and tells
//! everybody about new heads.

use crate::{
    clock::Clock,
    consensus_thread::ConsensusInputs,
    pool_handle::PoolHandle,
    private_node::{AgreementPort, PayloadStall},
};
use alloy_primitives::{Address, B256};
use anyhow::Context;
use crossbeam_channel::Receiver;
use entente_chain::{BlockNumber, RecoveredBlock, RecoveredTransaction, limits};
use entente_consensus::{BuildAttributes, BuildId, ChainPosition, ImportId, Input, Verdict};
use entente_ledger::{CommittedBlock, Ledger, LedgerError, Reorganization};
use entente_p2p::NetworkHandle;
use entente_rpc::{Events, NewHead};
use std::{collections::BTreeSet, sync::Arc, time::Instant};
use tokio::sync::watch;

/// What the consensus thread asks of the chain.
pub(crate) enum ChainCommand {
    /// Build a block on the head.
    Build {
        /// Echoed in the answer.
        request: BuildId,
        /// What it must look like.
        attributes: BuildAttributes,
    },
    /// Check a proposed block.
    Execute(RecoveredBlock),
    /// Commit a decided block.
    Adopt(RecoveredBlock),
    /// Commit a decided block that the consensus log holds.
    AdoptLogged(RecoveredBlock),
    /// Check and commit blocks of others.
    Import {
        /// Echoed in the answer.
        request: ImportId,
        /// Ascending.
        blocks: Vec<RecoveredBlock>,
    },
    /// Change to a better branch.
    Reorganize {
        /// Echoed in the answer.
        request: ImportId,
        /// Newest block that both branches share.
        ancestor: BlockNumber,
        /// The branch, ascending.
        blocks: Vec<RecoveredBlock>,
    },
    /// Stop after what was asked before.
    Stop,
}

/// What the chain thread needs beside the chain.
pub(crate) struct ChainPorts {
    /// Answers go here.
    pub(crate) consensus: ConsensusInputs,
    /// Transactions come from here, heads go there.
    pub(crate) pool: PoolHandle,
    /// New heads for subscribers.
    pub(crate) events: Events,
    /// Announces heads.
    pub(crate) network: NetworkHandle,
    /// Head and validators, for the admission of messages.
    pub(crate) position: watch::Sender<ChainPosition>,
    /// Blocks with private transactions, to be compared with other parties.
    pub(crate) agreement: Option<AgreementPort>,
    /// Whether the chain waits for a private payload.
    pub(crate) stall: Arc<PayloadStall>,
    /// Wall clock.
    pub(crate) clock: Clock,
    /// The address that seals our blocks.
    pub(crate) own: Option<Address>,
}

/// Runs until [`ChainCommand::Stop`] or until nobody can send commands any more.
///
/// # Errors
/// When a decided block cannot be committed: the node must stop rather than go on without it.
pub(crate) fn run(
    mut chain: Ledger,
    commands: &Receiver<ChainCommand>,
    ports: &ChainPorts,
) -> anyhow::Result<()> {
    for command in commands {
        match command {
            ChainCommand::Build { request, attributes } => {
                let block = build(&mut chain, &attributes, ports);
                ports.consensus.send(Input::Built { request, block });
            }
            ChainCommand::Execute(block) => {
                let verdict = chain.check(&block, ports.clock.unix_seconds());
                if let Verdict::Invalid(reason) | Verdict::Unavailable(reason) = &verdict {
                    tracing::warn!(
                        number = block.header.number,
                        hash = %short(block.hash()),
                        %reason,
                        "proposed block refused"
                    );
                }
                ports.consensus.send(Input::Executed { block: block.hash(), verdict });
            }
            ChainCommand::Adopt(block) => {
                let number = block.header.number;
                take_adopted(number, adopt(&mut chain, &block, false, ports), &chain, ports)?;
            }
            ChainCommand::AdoptLogged(block) => {
                let number = block.header.number;
                take_adopted(number, adopt(&mut chain, &block, true, ports), &chain, ports)?;
            }
            ChainCommand::Import { request, blocks } => {
                let result = import(&mut chain, blocks, ports)?;
                ports.consensus.send(Input::Imported { request, result });
            }
            ChainCommand::Reorganize { request, ancestor, blocks } => {
                let result = reorganize(&mut chain, ancestor, blocks, ports)?;
                ports.consensus.send(Input::Imported { request, result });
            }
            ChainCommand::Stop => break,
        }
    }
    Ok(())
}

/// Adopts a decided block. While a private payload of it cannot be read, the chain waits: going on
/// without would fork the private state in silence (quorum#1574).
fn adopt(
    chain: &mut Ledger,
    block: &RecoveredBlock,
    is_logged: bool,
    ports: &ChainPorts,
) -> Result<CommittedBlock, LedgerError> {
    loop {
        let now = ports.clock.unix_seconds();
        let outcome = match is_logged {
            true => chain.adopt_logged(block.clone(), now),
            false => chain.adopt(block.clone(), now),
        };
        let missing = outcome.as_ref().err().and_then(LedgerError::missing_payload);
        match missing {
            Some(cause) if !ports.stall.stops() => {
                ports.stall.waits(block.header.number, &cause);
                ports.stall.pause();
            }
            Some(_) => return outcome,
            None => {
                ports.stall.resumed();
                return outcome;
            }
        }
    }
}

fn take_adopted(
    number: BlockNumber,
    adopted: Result<CommittedBlock, LedgerError>,
    chain: &Ledger,
    ports: &ChainPorts,
) -> anyhow::Result<()> {
    match adopted {
        Ok(committed) => commit(committed, ports),
        // The node stops while the block waits: it is decided again after the start.
        Err(error) if error.missing_payload().is_some() => {
            tracing::info!(number, %error, "stopped while a block waited");
        }
        // Sync may have committed it a moment before.
        Err(error) if chain.head().header.number >= number => {
            tracing::debug!(number, %error, "decided block is already committed");
        }
        // Only a chain that forks can have left the parent in the meantime.
        Err(error @ LedgerError::ParentMissing { .. }) => {
            tracing::info!(number, %error, "own block came too late for its branch");
        }
        Err(error) => anyhow::bail!("block {number} is decided but cannot be committed: {error}"),
    }
    Ok(())
}

fn build(
    chain: &mut Ledger,
    attributes: &BuildAttributes,
    ports: &ChainPorts,
) -> Result<RecoveredBlock, String> {
    let started = Instant::now();
    let block = try_build(chain, attributes, ports).map_err(|error| {
        tracing::warn!(number = attributes.number, %error, "no block could be built");
        error.to_string()
    })?;
    metrics::histogram!("entente_build_seconds").record(started.elapsed().as_secs_f64());
    Ok(block)
}

fn try_build(
    chain: &mut Ledger,
    attributes: &BuildAttributes,
    ports: &ChainPorts,
) -> anyhow::Result<RecoveredBlock> {
    let own = ports.own.context("this node has no key to seal with")?;
    let template = chain.template(attributes)?;
    let base_fee = template.base_fee_per_gas.unwrap_or_default();
    let mut source =
        ports.pool.best(template.gas_limit, limits::BLOCK_BUILD_BYTES_MAX, base_fee)?;
    let block = chain.build(template, own, attributes.time_limit, &mut source)?;
    ports.pool.skipped(source.into_skipped());
    Ok(block)
}

/// The outer error stops the node: the database failed.
fn import(
    chain: &mut Ledger,
    blocks: Vec<RecoveredBlock>,
    ports: &ChainPorts,
) -> anyhow::Result<Result<(), (u64, Verdict)>> {
    for block in blocks {
        let number = block.header.number;
        if number <= chain.head().header.number {
            continue;
        }
        match chain.import(block, ports.clock.unix_seconds()) {
            Ok(committed) => {
                ports.stall.resumed();
                commit(committed, ports);
            }
            Err(error) if error.is_invalid_block() => {
                tracing::warn!(number, %error, "block of a peer refused");
                return Ok(Err((number, Verdict::Invalid(error.to_string()))));
            }
            // The writer refuses everything from here on: asking again would never end.
            Err(LedgerError::Store(error)) => anyhow::bail!("block {number}: {error}"),
            Err(error) => {
                if let Some(cause) = error.missing_payload() {
                    ports.stall.waits(number, &cause);
                    ports.stall.pause();
                }
                tracing::warn!(number, %error, "block could not be imported");
                return Ok(Err((number, Verdict::Unavailable(error.to_string()))));
            }
        }
    }
    Ok(Ok(()))
}

/// The outer error stops the node: the chain could not be brought back to where it was.
fn reorganize(
    chain: &mut Ledger,
    ancestor: BlockNumber,
    blocks: Vec<RecoveredBlock>,
    ports: &ChainPorts,
) -> anyhow::Result<Result<(), (BlockNumber, Verdict)>> {
    let outcome = match chain.reorganize(ancestor, blocks, ports.clock.unix_seconds()) {
        Ok(outcome) => outcome,
        Err(error @ LedgerError::Branch { .. }) => {
            tracing::warn!(%error, "branch refused");
            return Ok(Err((ancestor, Verdict::Unavailable(error.to_string()))));
        }
        Err(error) => anyhow::bail!("the chain cannot change its branch: {error}"),
    };
    let Reorganization { reverted, committed, refused } = outcome;
    if let Some((number, error)) = refused {
        if let Some(cause) = error.missing_payload() {
            ports.stall.waits(number, &cause);
            ports.stall.pause();
        }
        tracing::warn!(number, %error, "block of a branch refused, the old branch is back");
        let verdict = match error.is_invalid_block() {
            true => Verdict::Invalid(error.to_string()),
            false => Verdict::Unavailable(error.to_string()),
        };
        return Ok(Err((number, verdict)));
    }
    ports.stall.resumed();
    let depth = reverted.len();
    tracing::warn!(ancestor, depth, "the chain changed to a better branch");
    metrics::counter!("entente_reorganisations_total").increment(1);
    metrics::histogram!("entente_reorganisation_depth").record(as_f64(depth as u64));
    let left = reverted.iter().rev().flat_map(|left| left.block.transactions());
    let included: BTreeSet<B256> = committed
        .iter()
        .flat_map(|block| block.block.transactions().iter().map(|transaction| transaction.hash()))
        .collect();
    let mut returned: Vec<_> =
        left.filter(|transaction| !included.contains(&transaction.hash())).cloned().collect();
    let reverted = reverted.into_iter().map(|left| NewHead {
        block: RecoveredBlock::clone(&left.block),
        receipts: left.receipts,
        private: left.private,
        removed: true,
    });
    for head in reverted {
        let head = Arc::new(head);
        // Nobody may be listening: that is no error.
        drop(ports.events.reverted.send(Arc::clone(&head)));
        drop(ports.events.heads.send(head));
    }
    let last = committed.len().saturating_sub(1);
    for (index, block) in committed.into_iter().enumerate() {
        // The pool judges what came back by the state of the new head.
        let returned = if index == last { std::mem::take(&mut returned) } else { Vec::new() };
        let position = publish(block, returned, ports);
        // Engines see one change from head to head: at a switch of engines, a step below the
        // boundary and back would make the next one forget what it said.
        if index == last {
            ports.consensus.send(Input::Committed(position));
        }
    }
    Ok(Ok(()))
}

/// Tells everybody, the engine included, about a new head.
fn commit(committed: CommittedBlock, ports: &ChainPorts) {
    let position = publish(committed, Vec::new(), ports);
    ports.consensus.send(Input::Committed(position));
}

fn publish(
    committed: CommittedBlock,
    returned: Vec<Arc<RecoveredTransaction>>,
    ports: &ChainPorts,
) -> ChainPosition {
    let CommittedBlock { block, receipts, private, position } = committed;
    let header = &block.header;
    tracing::info!(
        number = header.number,
        hash = %short(header.hash()),
        transactions = block.transactions().len(),
        gas = header.gas_used,
        "block committed"
    );
    metrics::gauge!("entente_head_number").set(as_f64(header.number));
    metrics::counter!("entente_transactions_committed_total")
        .increment(block.transactions().len() as u64);
    metrics::counter!("entente_gas_used_total").increment(header.gas_used);
    ports.pool.committed(block.clone(), returned);
    ports.network.set_head(header.number, header.hash(), header.timestamp);
    ports.position.send_replace(position.clone());
    if let Some(agreement) = &ports.agreement {
        agreement.committed(&block, &private);
    }
    // Nobody may be listening: that is no error.
    drop(ports.events.heads.send(Arc::new(NewHead { block, receipts, private, removed: false })));
    position
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

/// A block hash, short enough for a log line.
fn short(hash: B256) -> String {
    let text = hash.to_string();
    text.get(..10).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
