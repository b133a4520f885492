//! One node's consensus as one machine: a protocol engine and block sync, which share the head and
//! nothing else. Both the node and simulations drive this.
//!
//! Sync never holds the engine back: a node far behind still hears every message, and the engine's
//! own checks decide what it does with it.

use crate::{
    engine::{Engine, EngineStatus, Input, Millis, Now, Step},
    sync::{Sync, SyncSettings},
};

/// An engine and block sync.
pub struct Replica {
    engine: Box<dyn Engine>,
    sync: Sync,
}

impl Replica {
    /// Puts an engine and a fresh sync machine together.
    #[must_use]
    pub fn new(engine: Box<dyn Engine>, settings: SyncSettings) -> Self {
        Self { engine, sync: Sync::new(settings) }
    }

    /// Takes one input; as [`Engine::step`].
    pub fn step(&mut self, now: Now, input: Input, out: &mut Step) {
        match input {
            Input::PeerHead { node, number, hash } => {
                self.engine.step(now, Input::PeerHead { node, number, hash }, out);
                self.sync.on_peer_head(now, node, number, out);
            }
            input @ Input::Fetched { request, .. } if request.is_of_engine() => {
                self.engine.step(now, input, out);
            }
            input @ Input::Imported { request, .. } if request.is_of_engine() => {
                self.engine.step(now, input, out);
            }
            Input::Fetched { request, blocks } => self.sync.on_fetched(now, request, blocks, out),
            Input::Imported { request, result } => {
                self.sync.on_imported(now, request, &result, out);
            }
            Input::Committed(position) => {
                let head = position.head.clone();
                // The engine first: its next vote is worth more than our next request.
                self.engine.step(now, Input::Committed(position), out);
                self.sync.on_head(now, &head, out);
            }
            Input::Recovered { position, ancestors, records } => {
                let head = position.head.clone();
                let recovered = Input::Recovered { position, ancestors, records };
                self.engine.step(now, recovered, out);
                self.sync.on_head(now, &head, out);
            }
            Input::Peer { node, validator, connected } => {
                self.engine.step(now, Input::Peer { node, validator, connected }, out);
                self.sync.on_peer(now, node, connected, out);
            }
            Input::Wake => {
                self.engine.step(now, Input::Wake, out);
                self.sync.on_wake(now, out);
            }
            input @ (Input::Message { .. }
            | Input::Built { .. }
            | Input::Executed { .. }
            | Input::TransactionsWaiting(_)
            | Input::Operator(_)) => self.engine.step(now, input, out),
        }
    }

    /// The nearer of both deadlines; as [`Engine::next_deadline`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        [self.engine.next_deadline(), self.sync.next_deadline()].into_iter().flatten().min()
    }

    /// The engine's status, and how far the peers are.
    #[must_use]
    pub fn status(&self, now: Now) -> EngineStatus {
        let mut status = self.engine.status(now);
        status.best_peer_head = self.sync.best_peer_head();
        status.held.blocks = status.held.blocks.saturating_add(self.sync.blocks());
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Action, ChainPosition, Evidence, FetchId};
    use alloy_primitives::{Address, B256, U256};
    use entente_chain::{Header, NodeId, SealedHeader, ValidatorSet, votes::VoteTally};

    /// Reports what it is told.
    struct Listener {
        deadline: Option<Millis>,
    }

    impl Engine for Listener {
        fn step(&mut self, _: Now, input: Input, out: &mut Step) {
            let what = match input {
                Input::Recovered { .. } => "recovered",
                Input::Wake => "wake",
                Input::Committed(_) => "committed",
                Input::Peer { .. } => "peer",
                Input::TransactionsWaiting(_) => "transactions",
                Input::PeerHead { .. } | Input::Fetched { .. } | Input::Imported { .. } => {
                    "peer head"
                }
                Input::Message { .. }
                | Input::Built { .. }
                | Input::Executed { .. }
                | Input::Operator(_) => "other",
            };
            out.then(Action::Report(Evidence {
                validator: Address::ZERO,
                height: 0,
                round: 0,
                what,
                digests: (B256::ZERO, B256::ZERO),
            }));
        }

        fn next_deadline(&self) -> Option<Millis> {
            self.deadline
        }

        fn status(&self, _: Now) -> EngineStatus {
            EngineStatus { engine: "listener", ..EngineStatus::default() }
        }
    }

    const PEER: NodeId = NodeId([1; 32]);
    const NOW: Now = Now { elapsed: 1_000, unix: 0 };

    fn replica(deadline: Option<Millis>) -> Replica {
        Replica::new(Box::new(Listener { deadline }), SyncSettings::default())
    }

    fn actions(mut out: Step) -> Vec<Action> {
        let mut actions = Vec::new();
        out.perform(|_| Ok::<(), ()>(()), |action| actions.push(action)).expect("no records");
        actions
    }

    fn position(number: u64) -> ChainPosition {
        let header = Header { number, ..Header::default() };
        let next = ValidatorSet::new(vec![Address::repeat_byte(1)]).expect("one validator");
        let head = SealedHeader::new(header, B256::repeat_byte(1));
        ChainPosition {
            head,
            tally: VoteTally::new(next.clone()),
            next,
            total_difficulty: U256::ONE,
        }
    }

    fn recovered(number: u64) -> Input {
        Input::Recovered { position: position(number), ancestors: Vec::new(), records: Vec::new() }
    }

    #[test]
    fn the_engine_hears_of_the_chain_and_of_peers_but_not_of_fetched_blocks() {
        let mut replica = replica(None);
        let mut out = Step::default();
        let inputs = [
            recovered(0),
            Input::Peer { node: PEER, validator: None, connected: true },
            Input::PeerHead { node: PEER, number: 40, hash: B256::ZERO },
            Input::Fetched { request: FetchId(7), blocks: Err("unknown".into()) },
            Input::TransactionsWaiting(true),
            Input::Committed(position(1)),
            Input::Wake,
        ];
        for input in inputs {
            replica.step(NOW, input, &mut out);
        }
        let heard: Vec<_> = actions(out)
            .iter()
            .filter_map(|action| {
                let Action::Report(evidence) = action else { return None };
                Some(evidence.what)
            })
            .collect();
        let expected = ["recovered", "peer", "peer head", "transactions", "committed", "wake"];
        assert_eq!(heard, expected);
    }

    #[test]
    fn a_peer_far_ahead_is_asked_and_shown_in_the_status() {
        let mut replica = replica(None);
        let mut out = Step::default();
        replica.step(NOW, recovered(3), &mut out);
        replica.step(NOW, Input::PeerHead { node: PEER, number: 40, hash: B256::ZERO }, &mut out);
        let asked: Vec<_> = actions(out)
            .iter()
            .filter_map(|action| {
                let Action::Fetch { from, start, count, .. } = action else { return None };
                Some((*from, *start, *count))
            })
            .collect();
        assert_eq!(asked, [(PEER, 4, 37)]);
        assert_eq!(replica.status(NOW).best_peer_head, 40);
        assert_eq!(replica.status(NOW).engine, "listener");
    }

    #[test]
    fn the_nearer_deadline_counts() {
        let mut replica = replica(Some(5_000));
        assert_eq!(replica.next_deadline(), Some(5_000));
        let mut out = Step::default();
        replica.step(NOW, recovered(3), &mut out);
        replica.step(NOW, Input::PeerHead { node: PEER, number: 4, hash: B256::ZERO }, &mut out);
        assert_eq!(replica.next_deadline(), Some(1_300));
    }
}
