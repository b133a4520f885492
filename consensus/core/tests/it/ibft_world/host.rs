//! What a node's host does: delivers events, carries actions out, and checks what is said.

use super::*;

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { node, life } => {
                if self.nodes[node].life == life {
                    self.nodes[node].wake = None;
                    self.input(node, Input::Wake);
                }
            }
            Event::Input { node, life, input } => {
                if self.nodes[node].life == life {
                    self.input(node, *input);
                }
            }
            Event::Link { node, peer, connected } => {
                if connected && !(self.linked(node, peer) && self.is_up(peer)) {
                    return;
                }
                let validator = Some(self.nodes[peer].signer.address());
                self.input(node, Input::Peer { node: id(peer), validator, connected });
            }
            Event::Frame { node, from, frame } => self.deliver(node, from, &frame),
            Event::Sync { node } => self.sync(node),
            Event::Restart { node } => self.start(node),
        }
    }

    pub(super) fn deliver(&mut self, node: usize, from: usize, frame: &Bytes) {
        if !self.is_up(node) || !self.linked(node, from) {
            return;
        }
        let head = self.height(node);
        let message = match self.admitted.get(frame) {
            Some(admitted) => admitted.clone(),
            None => {
                let validators = &self.set;
                let gate = Gate { environment: ENVIRONMENT, head, validators };
                let Ok(admitted) = admit(frame, &gate, &|envelopes| Ok(recovered(envelopes)))
                else {
                    return;
                };
                self.admitted.insert(frame.clone(), admitted.clone());
                admitted
            }
        };
        self.input(node, Input::Message { from: id(from), message });
    }

    /// Every node asks a neighbour for blocks it lacks, as the block sync would.
    pub(super) fn sync(&mut self, node: usize) {
        self.at(300, Event::Sync { node });
        let peer = usize::try_from(self.random.below(self.len() as u64)).expect("small");
        let behind = self.height(node) < self.height(peer);
        if behind && self.is_up(node) && self.is_up(peer) && self.linked(node, peer) {
            let next = self.block(peer, self.height(node) + 1).clone();
            self.commit(node, next);
        }
    }

    pub(super) fn commit(&mut self, node: usize, block: RecoveredBlock) {
        let number = block.header.number;
        let state = &mut self.nodes[node];
        let position = state.chain.last().expect("genesis at least");
        if position.head.number >= number {
            return;
        }
        check_sealed(self.spec.genesis_rules.engine, &block, position);
        let agreed = *self.decided.entry(number).or_insert_with(|| block.hash());
        assert_eq!(agreed, block.hash(), "S1: two blocks were decided at height {number}");
        let next = position_at(block.header.clone(), &position.next);
        state.chain.push(next.clone());
        state.blocks.push(block);
        self.later(node, 1, Input::Committed(next));
        self.later(node, 2, Input::TransactionsWaiting(self.waiting));
    }

    pub(super) fn later(&mut self, node: usize, delay: u64, input: Input) {
        let life = self.nodes[node].life;
        self.at(delay, Event::Input { node, life, input: Box::new(input) });
    }

    /// One step of one node, with a crash between records and actions now and then.
    pub(super) fn input(&mut self, node: usize, input: Input) {
        let now = self.clock(node);
        let state = &mut self.nodes[node];
        let Some(engine) = &mut state.engine else { return };
        let mut step = Step::default();
        engine.step(now, input, &mut step);
        let deadline = engine.next_deadline().map(|at| at.max(now.elapsed) + state.booted);
        let cut_off = !step.is_empty() && self.random.percent(self.faults.cut_off);
        let mut actions = Vec::new();
        let log = &mut state.log;
        let written = step.perform(
            |records| {
                log.extend(records.iter().map(Record::encode));
                Ok::<(), Infallible>(())
            },
            |action| actions.push(action),
        );
        assert!(written.is_ok(), "the disk always works");
        if cut_off {
            self.crash(node);
            let delay = 100 + self.random.below(5_000);
            self.restart_in(node, delay);
            return;
        }
        if let Some(at) = deadline
            && state.wake.is_none_or(|wake| at < wake)
        {
            state.wake = Some(at);
            let life = state.life;
            self.at(at - self.now, Event::Wake { node, life });
        }
        for action in actions {
            self.act(node, action);
        }
    }

    pub(super) fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Send { to, message } => {
                self.check_said(&message);
                let frame = message.encode();
                for peer in 0..self.len() {
                    if to == Recipients::Everyone || to == Recipients::Node(id(peer)) {
                        self.transmit(node, peer, &frame);
                    }
                }
            }
            Action::Relay { from, frame } => {
                for peer in (0..self.len()).filter(|peer| id(*peer) != from) {
                    self.transmit(node, peer, &frame);
                }
            }
            Action::Build { request, attributes } => {
                let content = self.random.next();
                let format = self.spec.genesis_rules.engine;
                let block = Ok(build(format, &attributes, content, self.waiting));
                let delay = 1 + self.random.below(20);
                self.later(node, delay, Input::Built { request, block });
            }
            Action::Execute(block) => {
                let head = self.nodes[node].chain.last().expect("genesis at least").head.hash();
                let away = self.random.percent(self.faults.unavailable);
                let verdict = match block.header.parent_hash == head && !away {
                    true => Verdict::Valid,
                    false => Verdict::Unavailable("not now".to_owned()),
                };
                let delay = 1 + self.random.below(20);
                self.later(node, delay, Input::Executed { block: block.hash(), verdict });
            }
            Action::Adopt(block) => self.commit(node, block),
            Action::Report(evidence) => self.reports.push(evidence.what),
            Action::Penalize { reason, .. } => self.penalties.push(reason),
            Action::AdoptLogged(_)
            | Action::Fetch { .. }
            | Action::Import { .. }
            | Action::Reorganize { .. } => {
                panic!("IBFT neither syncs nor reorganises")
            }
        }
    }

    pub(super) fn transmit(&mut self, from: usize, to: usize, frame: &Bytes) {
        if !self.linked(from, to) || self.random.percent(self.faults.loss) {
            return;
        }
        let copies = 1 + u64::from(self.random.percent(self.faults.duplication));
        for _ in 0..copies {
            let delay = 1 + self.random.below(self.faults.delay_max);
            self.at(delay, Event::Frame { node: to, from, frame: frame.clone() });
        }
    }

    /// S6: over all restarts, nobody says two things in one round.
    pub(super) fn check_said(&mut self, message: &Message) {
        let Message::Ibft(message) = message else { panic!("IBFT speaks no other language") };
        let view = message.view();
        let digest = match message {
            ibft::Message::Proposal(proposal) => proposal.signed.payload().digest,
            ibft::Message::Prepare(prepare) => prepare.payload().digest,
            ibft::Message::Commit(commit) => commit.payload().digest,
            ibft::Message::RoundChange(change) => {
                self.round_max = self.round_max.max(view.round);
                change.signed.payload().prepared.map_or(B256::ZERO, |(_, digest)| digest)
            }
        };
        if self.twins.contains(&message.author()) {
            return;
        }
        let key = (message.author(), message.kind(), view.height, view.round);
        let first = *self.said.entry(key).or_insert(digest);
        assert_eq!(first, digest, "S6: {key:?} was said twice");
    }
}
