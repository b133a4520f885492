//! The thread that runs the engine: inputs in, one durable append, actions out.

use crate::{
    chain_thread::ChainCommand, clock::Clock, evidence::EvidencePort, network_ports::NetworkPorts,
};
use anyhow::Context;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use entente_chain::{EnvironmentId, transaction::Signing};
use entente_consensus::{
    Action, BuildId, ChainPosition, EngineStatus, Input, Recipients, Record, Replica, Step, Verdict,
};
use entente_storage::ConsensusLog;
use std::time::Instant;
use tokio::sync::watch;

/// Inputs taken in one go: a burst of votes shares one fsync.
const BATCH_MAX: usize = 256;
/// Records kept in the log after a height is committed. Only those above the head count after a
/// restart; each may hold a block, so they are few.
const RECORDS_KEPT: u64 = 16;

/// Where inputs for the engine go.
#[derive(Clone)]
pub(crate) struct ConsensusInputs {
    sender: Sender<Option<Input>>,
}

impl ConsensusInputs {
    /// A bounded queue of inputs.
    #[must_use]
    pub(crate) fn bounded(capacity: usize) -> (Self, Receiver<Option<Input>>) {
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        (Self { sender }, receiver)
    }

    /// Waits for room; for inputs that must not be lost. A stopped engine swallows it.
    pub(crate) fn send(&self, input: Input) {
        drop(self.sender.send(Some(input)));
    }

    /// Drops the input when the queue is full: for what is sent again. Tells whether it was taken.
    pub(crate) fn offer(&self, input: Input) -> bool {
        let refused = self.sender.try_send(Some(input)).err();
        if matches!(refused, Some(TrySendError::Full(_))) {
            metrics::counter!("entente_consensus_inputs_dropped_total").increment(1);
        }
        refused.is_none()
    }

    /// Asks the engine to stop.
    pub(crate) fn stop(&self) {
        drop(self.sender.send(None));
    }
}

/// Everything the engine's actions reach.
pub(crate) struct ConsensusPorts {
    /// The chain thread.
    pub(crate) chain: Sender<ChainCommand>,
    /// The network.
    pub(crate) network: NetworkPorts,
    /// Answers to refused commands.
    pub(crate) inputs: ConsensusInputs,
    /// Keeps what the engine reports.
    pub(crate) evidence: EvidencePort,
    /// What people and probes see.
    pub(crate) status: watch::Sender<EngineStatus>,
}

/// The engine with its log and its ports.
pub(crate) struct ConsensusThread {
    replica: Replica,
    log: ConsensusLog,
    ports: ConsensusPorts,
    clock: Clock,
    step: Step,
}

impl ConsensusThread {
    /// Joins the parts.
    #[must_use]
    pub(crate) fn new(
        replica: Replica,
        log: ConsensusLog,
        ports: ConsensusPorts,
        clock: Clock,
    ) -> Self {
        Self { replica, log, ports, clock, step: Step::default() }
    }

    /// Tells the engine what the disk knows; always first.
    ///
    /// # Errors
    /// When the log cannot be read, or holds what this version does not understand.
    pub(crate) fn recover(
        &mut self,
        position: ChainPosition,
        ancestors: Vec<ChainPosition>,
        environment: EnvironmentId,
        signing: Signing,
    ) -> anyhow::Result<()> {
        let records = self.log.recover()?;
        let records = records
            .iter()
            .map(|bytes| Record::decode(bytes, environment, signing))
            .collect::<Result<Vec<_>, _>>()
            .context("the consensus log cannot be read; run `entente db check`")?;
        self.take(Input::Recovered { position, ancestors, records });
        self.perform()
    }

    /// Runs the engine until it is stopped.
    ///
    /// # Errors
    /// When a record cannot be made durable: what could not be written is not said.
    pub(crate) fn run(&mut self, inputs: &Receiver<Option<Input>>) -> anyhow::Result<()> {
        while let Some(first) = next_input(&self.replica, inputs, self.clock) {
            let mut committed = false;
            for input in std::iter::once(Some(first)).chain(inputs.try_iter().take(BATCH_MAX)) {
                let Some(input) = input else { return Ok(()) };
                committed |= matches!(input, Input::Committed(_));
                self.take(input);
            }
            self.perform()?;
            if committed {
                self.log.forget(RECORDS_KEPT)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, input: Input) {
        self.replica.step(self.clock.now(), input, &mut self.step);
    }

    fn perform(&mut self) -> anyhow::Result<()> {
        let (log, ports) = (&mut self.log, &self.ports);
        self.step.perform(
            |records| log.append(records.iter().map(Record::encode)),
            |action| carry_out(action, ports),
        )?;
        self.ports.status.send_replace(self.replica.status(self.clock.now()));
        Ok(())
    }
}

/// The next input, `Wake` at the deadline, or `None` when the node stops.
fn next_input(replica: &Replica, inputs: &Receiver<Option<Input>>, clock: Clock) -> Option<Input> {
    let received = match replica.next_deadline() {
        None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(deadline) => {
            let at = clock.instant_at(deadline);
            if at <= Instant::now() {
                // Inputs that wait go first even when a deadline passed: votes may have decided.
                inputs.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            } else {
                inputs.recv_deadline(at)
            }
        }
    };
    match received {
        Ok(input) => input,
        Err(RecvTimeoutError::Timeout) => Some(Input::Wake),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

fn carry_out(action: Action, ports: &ConsensusPorts) {
    match action {
        Action::Send { to: Recipients::Everyone, message } => {
            ports.network.broadcast_consensus(&message.encode());
        }
        Action::Send { to: Recipients::Node(node), message } => {
            ports.network.send_consensus(node, message.encode());
        }
        Action::Relay { from, frame } => ports.network.relay_consensus(from, &frame),
        Action::Build { request, attributes } => {
            command(ports, ChainCommand::Build { request, attributes });
        }
        Action::Execute(block) => command(ports, ChainCommand::Execute(block)),
        Action::Adopt(block) => command(ports, ChainCommand::Adopt(block)),
        Action::AdoptLogged(block) => command(ports, ChainCommand::AdoptLogged(block)),
        Action::Import { request, blocks } => {
            command(ports, ChainCommand::Import { request, blocks });
        }
        Action::Reorganize { request, ancestor, blocks } => {
            command(ports, ChainCommand::Reorganize { request, ancestor, blocks });
        }
        Action::Fetch { request, from, start, count } => {
            ports.network.fetch(request, from, start, count);
        }
        Action::Penalize { node, reason } => ports.network.penalize(node, reason),
        Action::Report(evidence) => ports.evidence.report(evidence),
    }
}

/// The queue to the chain thread holds more commands than an engine has in flight; should it ever
/// be full, the engine hears that the chain is unavailable, and never waits for it.
fn command(ports: &ConsensusPorts, command: ChainCommand) {
    let Err(refused) = ports.chain.try_send(command) else { return };
    let reason = || "the chain thread is busy".to_owned();
    let answer = match refused.into_inner() {
        ChainCommand::Build { request, .. } => built_failure(request, reason()),
        ChainCommand::Execute(block) => {
            Input::Executed { block: block.hash(), verdict: Verdict::Unavailable(reason()) }
        }
        ChainCommand::Import { request, .. } | ChainCommand::Reorganize { request, .. } => {
            Input::Imported { request, result: Err((0, Verdict::Unavailable(reason()))) }
        }
        ChainCommand::Adopt(block) | ChainCommand::AdoptLogged(block) => {
            tracing::error!(number = block.header.number, "decided block could not be handed on");
            return;
        }
        ChainCommand::Stop => return,
    };
    let _dropped_when_full = ports.inputs.offer(answer);
}

fn built_failure(request: BuildId, reason: String) -> Input {
    Input::Built { request, block: Err(reason) }
}
