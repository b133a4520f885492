//! Whether a changed genesis config may take the place of the stored one: nothing that is already
//! past may differ.

use crate::{
    BlockNumber,
    fork::{Activation, Fork},
    spec::{BlockRules, ChainSpec},
    transition::Transition,
};

/// A rule that blocks of the chain already obeyed differs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} differs for blocks that exist: the database has {stored}, the genesis file {given}; \
     the head is block {head}"
)]
pub struct SpecMismatch {
    /// What differs.
    pub what: String,
    /// What the stored genesis says.
    pub stored: String,
    /// What the new one says.
    pub given: String,
    /// The chain's head.
    pub head: BlockNumber,
}

impl ChainSpec {
    /// Whether `other` may replace this spec on a chain whose head is at `head_number` with
    /// `head_timestamp` (as in the header). Round timeouts and the gas limit target are a matter
    /// of each node and may always change.
    ///
    /// # Errors
    /// Names the first rule that differs for blocks up to the head.
    pub fn compatible(
        &self,
        other: &Self,
        head_number: BlockNumber,
        head_timestamp: u64,
    ) -> Result<(), SpecMismatch> {
        let equal = |what: &str, stored: String, given: String| {
            if stored == given {
                return Ok(());
            }
            Err(SpecMismatch { what: what.into(), stored, given, head: head_number })
        };
        equal("chainId", self.chain_id.to_string(), other.chain_id.to_string())?;
        equal("isQuorum", self.is_quorum.to_string(), other.is_quorum.to_string())?;
        let seconds = self.seconds(head_timestamp);
        for fork in Fork::ALL {
            let past = |at: &Activation| match at {
                Activation::Block(from) => *from <= head_number,
                Activation::Time(from) => *from <= seconds,
            };
            let (stored, given) = (self.forks.activation(fork), other.forks.activation(fork));
            if [stored, given].iter().flatten().any(past) {
                equal(&fork.to_string(), when(stored), when(given))?;
            }
        }
        if self.fork_at(head_number, head_timestamp) >= Fork::London {
            let mode = |spec: &Self| format!("{:?}", spec.base_fee);
            equal("base fee", mode(self), mode(other))?;
        }
        let agreed = |spec: &Self| format!("{:?}", agreed_rules(&spec.genesis_rules));
        equal("the engine section", agreed(self), agreed(other))?;
        let past = |spec: &Self| {
            let past = spec.transitions.iter().take_while(|change| change.block <= head_number);
            past.map(agreed_change).collect::<Vec<_>>()
        };
        let (stored, given) = (past(self), past(other));
        let longest = stored.len().max(given.len());
        let differs = (0..longest).find(|index| stored.get(*index) != given.get(*index));
        if let Some((stored, given)) = differs.map(|at| (stored.get(at), given.get(at))) {
            let (stored, given) = in_words(stored, given);
            return Err(SpecMismatch {
                what: "config.transitions".into(),
                stored,
                given,
                head: head_number,
            });
        }
        // The validators of the next block are settled with the head.
        let next = |spec: &Self| {
            let next = head_number.saturating_add(1);
            format!("{:?}", spec.validators_named_for(next))
        };
        equal("validators of the next block", next(self), next(other))?;
        let blobs = |spec: &Self| {
            let past = spec.blob_schedule.iter().filter(|entry| entry.from <= seconds);
            format!("{:?}", past.collect::<Vec<_>>())
        };
        equal("blobSchedule", blobs(self), blobs(other))
    }
}

fn when(activation: Option<Activation>) -> String {
    match activation {
        None => "never".into(),
        Some(Activation::Block(block)) => format!("block {block}"),
        Some(Activation::Time(time)) => format!("time {time}"),
    }
}

/// Two changes as people tell them apart.
fn in_words(stored: Option<&Transition>, given: Option<&Transition>) -> (String, String) {
    let short = |change: Option<&Transition>| match change {
        None => "no change there".to_owned(),
        Some(Transition { block, engine: Some(engine), .. }) => {
            format!("a change to {engine} at block {block}")
        }
        Some(Transition { block, .. }) => format!("a change of settings at block {block}"),
    };
    let (one, other) = (short(stored), short(given));
    match one == other {
        true => (format!("{stored:?}"), format!("{given:?}")),
        false => (one, other),
    }
}

fn agreed_rules(rules: &BlockRules) -> BlockRules {
    BlockRules {
        request_timeout_ms: 0,
        max_request_timeout_ms: 0,
        gas_limit_target: None,
        ..rules.clone()
    }
}

fn agreed_change(change: &Transition) -> Transition {
    Transition {
        request_timeout_ms: None,
        max_request_timeout_ms: None,
        gas_limit: None,
        ..change.clone()
    }
}
