//! What comes of an engine's actions: messages, blocks that are built, executed, adopted, fetched.

use super::{Event, World, index_of};
use crate::{
    scenario::{Profile, START_UNIX, Sabotage},
    workload::Waiting,
};
use alloy_primitives::Bytes;
use entente_chain::{BlockNumber, RecoveredBlock, spec::EngineKind};
use entente_consensus::{
    Action, BuildAttributes, FetchId, ImportId, Input, Message, Recipients, Verdict,
    engine::Evidence, raft::Body,
};
use entente_ledger::{CommittedBlock, LedgerError};
use std::time::Duration;

impl World {
    /// An answer of the chain thread, which does one thing after the other.
    fn answer(&mut self, node: usize, work: u64, input: Input) {
        let state = &mut self.nodes[node];
        let slow = if state.slow_until > self.time { work * 100 } else { 0 };
        state.busy_until = state.busy_until.max(self.time) + work + slow;
        let (delay, life) = (state.busy_until - self.time, state.life);
        self.at(delay, Event::Input { node, life, input: Box::new(input) });
    }

    pub(super) fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Send { to, message } => self.say(node, &to, &message),
            Action::Relay { from, frame } => self.broadcast(node, Some(from), &frame),
            Action::Build { request, attributes } => {
                let block = self.build(node, &attributes);
                let work = 1 + self.random.below(8);
                self.answer(node, work, Input::Built { request, block });
            }
            Action::Execute(block) => self.execute(node, block),
            Action::Adopt(block) => self.adopt(node, block, false),
            Action::AdoptLogged(block) => self.adopt(node, block, true),
            Action::Import { request, blocks } => self.import(node, request, blocks),
            Action::Reorganize { request, ancestor, blocks } => {
                self.reorganize(node, request, ancestor, blocks);
            }
            Action::Fetch { request, from, start, count } => {
                let peer = index_of(from);
                let life = self.nodes[node].life;
                if peer < self.nodes.len() && self.linked(node, peer) {
                    let delay = 1 + self.random.below(80);
                    let event =
                        Event::Serve { node: peer, asker: node, life, request, start, count };
                    self.at(delay, event);
                }
            }
            Action::Penalize { node: peer, reason } => self.penalized(node, index_of(peer), reason),
            Action::Report(evidence) => self.reported(node, &evidence),
        }
    }

    fn reported(&mut self, node: usize, evidence: &Evidence) {
        self.coverage.saw("evidence");
        if evidence.what == "sealed two blocks on one parent" {
            self.coverage.saw("evidence of two seals");
        }
        let honest = self.scenario.sabotage.is_none_or(Sabotage::is_honest);
        if self.nodes[node].behaviour.is_none() && honest {
            let finding = self.checker.blames(evidence);
            self.judge(finding);
        }
    }

    /// Liars may be held to account; an honest peer must not be cut off.
    fn penalized(&mut self, node: usize, peer: usize, reason: &str) {
        self.coverage.saw("peer penalized");
        // A lost link looks like a peer that does not answer.
        let silent = reason.contains("did not answer");
        if self.scenario.behaviour.is_none() && self.scenario.sabotage.is_none() && !silent {
            self.fail("L", format!("node {node} penalizes the honest node {peer}: {reason}"));
        }
    }

    fn say(&mut self, node: usize, to: &Recipients, message: &Message) {
        let frame = message.encode();
        if let Some(behaviour) = self.nodes[node].behaviour {
            return self.lie(node, behaviour, to, message, &frame);
        }
        let to_whom = match to {
            Recipients::Node(peer) => {
                self.nodes.get(index_of(*peer)).map(|peer| peer.key.address())
            }
            Recipients::Everyone => None,
        };
        let finding = self.checker.said(message, to_whom, &mut self.coverage);
        self.judge(finding);
        self.remember(&frame);
        self.hand_over(node, to, &frame, 0);
        if self.scenario.sabotage == Some(Sabotage::SpeculativeMinting)
            && let Message::Raft(message) = message
            && let Body::Append { block: Some(block), .. } = &message.body
        {
            self.adopt(node, block.clone(), false);
        }
    }

    pub(super) fn hand_over(&mut self, node: usize, to: &Recipients, frame: &Bytes, extra: u64) {
        match to {
            Recipients::Node(peer) => self.transmit(node, index_of(*peer), frame, extra),
            Recipients::Everyone => {
                for peer in 0..self.nodes.len() {
                    self.transmit(node, peer, frame, extra);
                }
            }
        }
    }

    /// Dishonest nodes may say again what anybody has said.
    fn remember(&mut self, frame: &Bytes) {
        if self.scenario.behaviour.is_some() {
            self.bag.push_back(frame.clone());
            if self.bag.len() > super::BAG_MAX {
                self.bag.pop_front();
            }
        }
    }

    fn build(
        &mut self,
        node: usize,
        attributes: &BuildAttributes,
    ) -> Result<RecoveredBlock, String> {
        let own = self.nodes[node].key.address();
        let mut source = match self.scenario.sabotage {
            Some(Sabotage::EmptyBlocks) => Waiting::default().source(),
            _ => self.nodes[node].waiting.source(),
        };
        let process = self.nodes[node].process.as_mut().ok_or("dead")?;
        let template = process.ledger.template(attributes).map_err(|error| error.to_string())?;
        // Virtual time: a build is never cut short by the clock on the wall.
        let time = Duration::from_secs(3600);
        process.ledger.build(template, own, time, &mut source).map_err(|error| error.to_string())
    }

    fn execute(&mut self, node: usize, block: RecoveredBlock) {
        let unix = self.clock(node).unix_seconds();
        let hash = block.hash();
        let away = !self.healed && self.random.percent(self.network.weather.unavailable);
        let Some(process) = &mut self.nodes[node].process else { return };
        let verdict = match away {
            true => Verdict::Unavailable("not now".to_owned()),
            false => process.ledger.check(&block, unix),
        };
        if let Verdict::Invalid(reason) = &verdict {
            self.coverage.saw("invalid block refused");
            let honest = self.scenario.behaviour.is_none();
            if honest {
                let number = block.header.number;
                self.fail("S3", format!("an honest block {number} is called invalid: {reason}"));
            }
        }
        let work = 1 + self.random.below(8);
        self.answer(node, work, Input::Executed { block: hash, verdict: verdict.clone() });
        if self.scenario.sabotage == Some(Sabotage::Speculation) && verdict == Verdict::Valid {
            self.adopt(node, block, false);
        }
    }

    fn adopt(&mut self, node: usize, block: RecoveredBlock, logged: bool) {
        let unix = self.clock(node).unix_seconds();
        let number = block.header.number;
        let Some(process) = &mut self.nodes[node].process else { return };
        let adopted = match logged {
            true => process.ledger.adopt_logged(block, unix),
            false => process.ledger.adopt(block, unix),
        };
        match adopted {
            Ok(committed) => self.committed(node, committed),
            Err(LedgerError::Store(error)) if error.to_string().contains("no space") => {
                self.coverage.saw("disk full");
                self.die(node);
            }
            Err(_) if process.ledger.head().header.number >= number => {}
            // Only a chain that forks can have left the parent in the meantime.
            Err(LedgerError::ParentMissing { .. })
                if self.genesis.spec.engine_at(number) == EngineKind::Clique => {}
            Err(_) if self.nodes[node].behaviour.is_some() => {}
            Err(error) => {
                self.fail(
                    "S3",
                    format!("node {node} cannot adopt decided block {number}: {error}"),
                );
            }
        }
    }

    fn import(&mut self, node: usize, request: ImportId, blocks: Vec<RecoveredBlock>) {
        let unix = self.clock(node).unix_seconds();
        let mut result = Ok(());
        for block in blocks {
            let number = block.header.number;
            let Some(process) = &mut self.nodes[node].process else { return };
            if number <= process.ledger.head().header.number {
                continue;
            }
            match process.ledger.import(block, unix) {
                Ok(committed) => self.committed(node, committed),
                Err(LedgerError::Store(_)) => return self.die(node),
                Err(error) => {
                    let verdict = match error.is_invalid_block() {
                        true => Verdict::Invalid(error.to_string()),
                        false => Verdict::Unavailable(error.to_string()),
                    };
                    result = Err((number, verdict));
                    break;
                }
            }
        }
        self.answer(node, 1, Input::Imported { request, result });
    }

    fn reorganize(
        &mut self,
        node: usize,
        request: ImportId,
        ancestor: BlockNumber,
        blocks: Vec<RecoveredBlock>,
    ) {
        let unix = self.clock(node).unix_seconds();
        let Some(process) = &mut self.nodes[node].process else { return };
        let outcome = match process.ledger.reorganize(ancestor, blocks, unix) {
            Ok(outcome) => outcome,
            Err(LedgerError::Store(_)) => return self.die(node),
            Err(error) => {
                let result = Err((ancestor, Verdict::Unavailable(error.to_string())));
                return self.answer(node, 1, Input::Imported { request, result });
            }
        };
        let depth = outcome.reverted.len();
        let result = match &outcome.refused {
            None => {
                self.coverage.saw("reorganisation");
                if depth >= 2 {
                    self.coverage.saw("reorganisation of 2 or more blocks");
                }
                Ok(())
            }
            Some((number, error)) if error.is_invalid_block() => {
                Err((*number, Verdict::Invalid(error.to_string())))
            }
            Some((number, error)) => Err((*number, Verdict::Unavailable(error.to_string()))),
        };
        if result.is_ok() {
            let last = outcome.committed.len().saturating_sub(1);
            for (index, committed) in outcome.committed.into_iter().enumerate() {
                self.commit(node, committed, index == last);
            }
        }
        self.answer(node, 1, Input::Imported { request, result });
    }

    fn committed(&mut self, node: usize, committed: CommittedBlock) {
        self.commit(node, committed, true);
    }

    /// `told`: the engine hears of it, which it does of the last block of a change of branches.
    fn commit(&mut self, node: usize, committed: CommittedBlock, told: bool) {
        self.follow_nonce(node);
        if self.nodes[node].behaviour.is_none() {
            let unix = (START_UNIX + self.time) / 1000;
            let number = committed.block.header.number;
            let finding = self.checker.committed(node, &committed, unix, &mut self.coverage);
            self.judge(finding);
            let finding = self.checker.head(node, number);
            self.judge(finding);
            self.acknowledge(node);
        }
        let CommittedBlock { position, .. } = committed;
        if let Some(process) = &mut self.nodes[node].process {
            process.set_position(position.clone());
        }
        let work = u64::from(self.scenario.profile == Profile::Fast) + self.random.below(4);
        if told {
            self.answer(node, work, Input::Committed(position));
        }
        let waiting = self.nodes[node].waiting.is_executable();
        self.answer(node, 0, Input::TransactionsWaiting(waiting));
        for peer in 0..self.nodes.len() {
            self.announce_to(node, peer);
        }
    }

    /// A client asks this node what is final, and holds it to that.
    fn acknowledge(&mut self, node: usize) {
        if !self.random.percent(30) {
            return;
        }
        let depth = self.confirmation();
        let Some(process) = &self.nodes[node].process else { return };
        let head = process.ledger.head().header.number;
        let Some(number) = head.checked_sub(depth) else { return };
        if let Ok(Some(block)) = process.reader.block(number) {
            for transaction in block.transactions() {
                self.clients.acknowledged.entry(transaction.hash()).or_insert(number);
            }
        }
    }

    /// Answers a peer's question for blocks.
    pub(super) fn serve(
        &mut self,
        node: usize,
        (asker, life): (usize, u64),
        request: FetchId,
        start: BlockNumber,
        count: u64,
    ) {
        let Some(process) = &self.nodes[node].process else { return };
        if !self.linked(node, asker) {
            return;
        }
        let mut blocks = Vec::new();
        for number in start..start.saturating_add(count.min(256)) {
            match process.reader.block(number) {
                Ok(Some(block)) => blocks.push(RecoveredBlock::clone(&block)),
                _ => break,
            }
        }
        let delay = 1 + self.random.below(100);
        let input = Box::new(Input::Fetched { request, blocks: Ok(blocks) });
        self.at(delay, Event::Input { node: asker, life, input });
    }
}
