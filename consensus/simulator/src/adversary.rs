//! Dishonest nodes. Each is honest code with its own key, and a behaviour that distorts what it says: it can
//! sign anything with its own key, and say again whatever anybody has said.

mod bad_justifier;
mod delayer;
mod equivocator;
mod flooder;
mod forker;
mod replayer;
mod silent;
mod twin;

use crate::{Engine, random::Random, scenario::tolerated, world::World};
use alloy_primitives::Bytes;
use entente_chain::{EnvironmentId, signer::SealSigner};
use entente_consensus::{Message, Recipients};

/// How a node is dishonest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Says two things, to two halves of the network.
    Equivocator,
    /// Says nothing, or only to some.
    Silent,
    /// Says everything as late as it still matters.
    Delayer,
    /// Says again what others said before.
    Replayer,
    /// Justifies what cannot be justified.
    BadJustifier,
    /// Proposes a block of its own where another one is due.
    Forker,
    /// Sends much, of little sense.
    Flooder,
    /// Two copies of honest code with one key.
    Twin,
    /// Not a member; replays and floods.
    Outsider,
}

/// What a liar has at hand.
pub(crate) struct Means<'a> {
    pub(crate) signer: &'a SealSigner,
    pub(crate) environment: EnvironmentId,
    pub(crate) random: &'a mut Random,
    /// Frames that were said by anybody.
    pub(crate) bag: Vec<Bytes>,
    pub(crate) nodes: usize,
}

/// One thing that is said.
pub(crate) struct Said {
    /// To one node; `None`: as the engine wanted.
    pub(crate) to: Option<usize>,
    pub(crate) frame: Bytes,
    pub(crate) delay: u64,
}

impl Said {
    pub(crate) const fn to_all(frame: Bytes) -> Self {
        Self { to: None, frame, delay: 0 }
    }
}

impl Behaviour {
    pub(crate) fn draw(engine: Engine, validators: usize, random: &mut Random) -> Option<Self> {
        let some = tolerated(engine, validators) > 0 && random.percent(60);
        let from: &[Self] = match engine {
            Engine::Ibft if some => &[
                Self::Equivocator,
                Self::Silent,
                Self::Delayer,
                Self::Replayer,
                Self::BadJustifier,
                Self::Forker,
                Self::Flooder,
                Self::Twin,
                Self::Twin,
            ],
            Engine::Clique if some => {
                &[Self::Silent, Self::Delayer, Self::Replayer, Self::Flooder, Self::Twin]
            }
            Engine::Ibft | Engine::Clique | Engine::Raft | Engine::Switch | Engine::Private => {
                return None;
            }
        };
        let index = random.index(from.len());
        from.get(index).copied()
    }

    fn distort(self, message: &Message, frame: &Bytes, means: &mut Means<'_>) -> Vec<Said> {
        match self {
            Self::Equivocator => equivocator::distort(message, frame, means),
            Self::Silent => silent::distort(frame, means),
            Self::Delayer => delayer::distort(frame, means),
            Self::Replayer | Self::Outsider => replayer::distort(frame, means),
            Self::BadJustifier => bad_justifier::distort(message, frame, means),
            Self::Forker => forker::distort(message, frame, means),
            Self::Flooder => flooder::distort(message, frame, means),
            Self::Twin => twin::distort(frame),
        }
    }
}

impl World {
    /// A dishonest node speaks.
    pub(crate) fn lie(
        &mut self,
        node: usize,
        behaviour: Behaviour,
        to: &Recipients,
        message: &Message,
        frame: &Bytes,
    ) {
        let said = self.with_means(node, |means| behaviour.distort(message, frame, means));
        for Said { to: only, frame: said, delay } in said {
            if said != *frame {
                self.saw_lie();
            }
            match only {
                Some(peer) => self.transmit_lie(node, peer, &said, delay),
                None => self.hand_over_lie(node, to, &said, delay),
            }
        }
    }
}
