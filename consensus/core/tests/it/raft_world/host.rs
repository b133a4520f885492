//! What a node's host does: delivers events, carries actions out, and has checked what is said.

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
                let validator = Some(self.address(peer));
                self.input(node, Input::Peer { node: id(peer), validator, connected });
                if connected && self.is_up(node) {
                    self.announce(node, peer);
                }
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
                let validators = &self.position(node).next;
                let gate = Gate { environment: ENVIRONMENT, head, validators };
                let Ok(admitted) = admit(frame, &gate, &|envelopes| Ok(recovered(envelopes)))
                else {
                    return;
                };
                if self.admitted.len() > 4096 {
                    self.admitted.clear();
                }
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
        let can = self.block_sync && self.is_up(node) && self.is_up(peer);
        if !can || !self.linked(node, peer) {
            return;
        }
        let next = self.height(node) + 1;
        for number in next..next + SYNC_BLOCKS {
            if self.height(peer) >= number && self.is_up(node) {
                let block = self.block(peer, number).clone();
                self.commit(node, block);
            }
        }
    }

    /// Tells a peer the height of our head.
    fn announce(&mut self, node: usize, peer: usize) {
        let head = &self.position(node).head;
        let (number, hash) = (head.number, head.hash());
        let input = Input::PeerHead { node: id(node), number, hash };
        if self.linked(node, peer) && self.is_up(peer) {
            self.later(peer, 10, input);
        }
    }

    pub(super) fn commit(&mut self, node: usize, block: RecoveredBlock) {
        let own = self.address(node);
        let apart = self.is_partitioned();
        let state = &mut self.nodes[node];
        let position = state.chain.last().expect("genesis at least");
        if position.head.number >= block.header.number {
            return;
        }
        let next = position_after(&self.rules, position, &block.header);
        let changed = next.next != position.next;
        let known = self.checks.committed(&block, &position.next, own);
        self.seen.changed_apart += u64::from(!known && changed && apart);
        state.chain.push(next.clone());
        state.blocks.push(block);
        let forgotten = state.log.len().saturating_sub(RECORDS_KEPT);
        state.log.drain(..forgotten);
        self.later(node, 1, Input::Committed(next));
        self.later(node, 2, Input::TransactionsWaiting(self.waiting));
        for peer in 0..self.len() {
            self.announce(node, peer);
        }
    }

    pub(super) fn later(&mut self, node: usize, delay: u64, input: Input) {
        let life = self.nodes[node].life;
        self.at(delay, Event::Input { node, life, input: Box::new(input) });
    }

    /// One step of one node, with a crash between records and actions now and then.
    pub(super) fn input(&mut self, node: usize, input: Input) {
        let (now, own) = (self.clock(node), self.address(node));
        let state = &mut self.nodes[node];
        let Some(engine) = &mut state.engine else { return };
        let mut step = Step::default();
        engine.step(now, input, &mut step);
        let deadline = engine.next_deadline().map(|at| at.max(now.elapsed) + state.booted);
        let cut_off = !step.is_empty() && self.random.percent(self.faults.cut_off);
        let mut actions = Vec::new();
        let (log, checks) = (&mut state.log, &mut self.checks);
        let unwritten = cut_off && self.random.percent(30);
        let written = step.perform(
            |records| {
                if unwritten {
                    return Err(());
                }
                log.extend(records.iter().map(Record::encode));
                checks.persisted(own, records);
                Ok(())
            },
            |action| actions.push(action),
        );
        self.seen.unwritten += u64::from(written.is_err() && !actions.is_empty());
        if state.wiped && !state.log.is_empty() {
            state.wiped = false;
            self.seen.recovered += 1;
        }
        if let Some(at) = deadline
            && state.wake.is_none_or(|wake| at < wake)
        {
            state.wake = Some(at);
            let life = state.life;
            self.at(at - self.now, Event::Wake { node, life });
        }
        if cut_off {
            let kept = self.random.below(actions.len() as u64 + 1);
            actions.truncate(usize::try_from(kept).expect("small"));
        }
        for action in actions {
            self.act(node, action);
        }
        if cut_off {
            self.seen.cut_off += 1;
            self.crash(node);
            let delay = 100 + self.random.below(5_000);
            self.restart_in(node, delay);
        }
    }

    pub(super) fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Send { to, message } => {
                let Recipients::Node(to) = to else { panic!("Raft speaks to single nodes") };
                let peer = (0..self.len()).find(|peer| id(*peer) == to).expect("a known node");
                let address = self.address(peer);
                self.checks.said(&message, address, &mut self.seen);
                self.transmit(node, peer, &message.encode());
            }
            Action::Build { request, attributes } => {
                let content = self.random.next();
                let head = &self.position(node).head;
                let block = match head.hash() == attributes.parent {
                    true => Ok(build(&self.rules, head, &attributes, content, self.waiting)),
                    false => Err("the head moved on".to_owned()),
                };
                let delay = 1 + self.random.below(20);
                self.later(node, delay, Input::Built { request, block });
            }
            Action::Execute(block) => {
                let verdict = self.execute(node, &block);
                let delay = 1 + self.random.below(20);
                self.later(node, delay, Input::Executed { block: block.hash(), verdict });
            }
            Action::Adopt(block) | Action::AdoptLogged(block) => {
                let position = self.position(node);
                let next = block.header.number == position.head.number + 1;
                assert!(!next || block.header.parent_hash == position.head.hash(), "R2: a fork");
                self.commit(node, block);
            }
            Action::Report(evidence) => self.reports.push(evidence.what),
            Action::Penalize { reason, .. } => self.penalties.push(reason),
            Action::Relay { .. }
            | Action::Fetch { .. }
            | Action::Import { .. }
            | Action::Reorganize { .. } => {
                panic!("Raft neither relays, nor syncs, nor reorganises")
            }
        }
    }

    fn execute(&mut self, node: usize, block: &RecoveredBlock) -> Verdict {
        let position = self.position(node);
        let known = position.head.hash() == block.header.parent_hash;
        let header = check_header(&self.rules, position, &block.header);
        let late = self.rules.check_alone(&block.header, self.clock(node).unix_seconds());
        if !known || self.random.percent(self.faults.unavailable) {
            return Verdict::Unavailable("not now".to_owned());
        }
        assert_eq!(header, Ok(()), "only good headers are executed");
        match late {
            Ok(()) if !self.refusers.contains(&node) => Verdict::Valid,
            Ok(()) => Verdict::Invalid("because the test says so".to_owned()),
            Err(cause) => Verdict::Invalid(cause.to_string()),
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
}
