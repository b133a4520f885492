//! The private side of a node: who takes payloads, and who compares what they did.

use super::{Queues, Shared, executor};
use crate::{
    private_node::{
        self, AgreementPort, AgreementWorker, ExchangePorts, PrivateDesk, PrivateInputs,
        PrivateNode,
    },
    settings::NetworkSettings,
    stop::{self, Stop},
};
use entente_chain::{ChainSpec, private::PrivateStates};
use entente_evm::Executor;
use std::{sync::Arc, thread::JoinHandle};

/// The private side and those who ask it.
pub(super) struct PrivateParts {
    pub(super) node: PrivateNode,
    pub(super) desk: Arc<PrivateDesk>,
    pub(super) agreement: AgreementPort,
}

/// As [`executor`], for a node with private states.
pub(crate) fn private_executor(
    spec: &Arc<ChainSpec>,
    states: Option<Arc<dyn PrivateStates>>,
) -> Executor {
    match states {
        Some(states) => executor(spec).with_private_states(states),
        None => executor(spec),
    }
}

impl Shared {
    /// Starts the private side, if there is one.
    pub(super) fn start_private(
        &mut self,
        node: Option<PrivateNode>,
        place: &NetworkSettings,
        queues: &mut Queues,
        stop: &Stop,
    ) -> anyhow::Result<(Option<PrivateInputs>, Vec<JoinHandle<()>>)> {
        let Some(mut frames) = queues.payloads.take() else { return Ok((None, Vec::new())) };
        let Some(node) = node else {
            tokio::spawn(async move { while frames.recv().await.is_some() {} });
            return Ok((None, Vec::new()));
        };
        let desk = Arc::new(PrivateDesk::new(
            (Arc::clone(&node.privacy), Arc::clone(&node.residents)),
            self.network.clone(),
            Arc::default(),
            Arc::clone(&self.stall),
            (self.clock, node.keys.clone()),
        ));
        let ports = ExchangePorts {
            desk: Arc::clone(&desk),
            reader: self.database.reader(),
            peers: place.peers.iter().map(|peer| peer.node).collect(),
        };
        let (inputs, mut threads) = private_node::start(ports, frames, &stop.handle())?;
        let (agreement, blocks) = AgreementPort::bounded();
        let worker = AgreementWorker {
            desk: Arc::clone(&desk),
            states: node.states.clone(),
            environment: self.environment,
            key: place.key.clone(),
        };
        threads.push(stop::spawn("agreement", stop.handle(), move || {
            worker.run(&blocks);
            Ok(())
        })?);
        self.private = Some(PrivateParts { node, desk, agreement });
        Ok((Some(inputs), threads))
    }
}
