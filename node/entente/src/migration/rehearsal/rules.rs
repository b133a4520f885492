//! The rules of a rehearsal: those of the plan, with other validators and a sooner change.

use alloy_primitives::Address;
use entente_chain::{
    BlockNumber, ChainSpec, fork::Fork, spec::BaseFeeMode, transition::Transition,
};

/// Period of empty blocks where no transaction can be sent, in milliseconds.
const EMPTY_BLOCKS_MS: u64 = 1000;

/// Who plays.
pub(super) struct Cast {
    /// In the place of the validators of today.
    pub(super) before: Vec<Address>,
    /// In the place of those after the change.
    pub(super) after: Vec<Address>,
}

/// `at` becomes `switch`; what would change between the head and `at` has changed when it begins;
/// later changes are left out. Contracts would name the real validators: here, the cast stands for
/// them.
pub(super) fn rehearsed(
    spec: &ChainSpec,
    head: BlockNumber,
    at: BlockNumber,
    switch: BlockNumber,
    cast: &Cast,
) -> ChainSpec {
    let first = head.saturating_add(1);
    // Where transactions cost something the cast, which has nothing, sends none.
    let free = spec.forks.newest() < Fork::London
        || matches!(spec.base_fee, BaseFeeMode::Zero | BaseFeeMode::Fixed(0));
    let begin = Transition {
        block: first,
        empty_block_period_ms: if free { None } else { Some(EMPTY_BLOCKS_MS) },
        validators: Some(cast.before.clone()),
        validators_from_contract: Some(false),
        ..Transition::default()
    };
    let mut transitions = Vec::new();
    let mut changed = Vec::new();
    for change in &spec.transitions {
        let own = Transition {
            validators: None,
            validators_from_contract: Some(false),
            ..change.clone()
        };
        match change.block {
            block if block <= head => transitions.push(change.clone()),
            block if block < at => transitions.push(Transition { block: first, ..own }),
            block if block == at => changed.push(Transition {
                block: switch,
                validators: Some(cast.after.clone()),
                ..own
            }),
            _ => {}
        }
    }
    transitions.push(begin);
    transitions.extend(changed);
    transitions.sort_by_key(|change| change.block);
    // By GoQuorum's rules the validators that begin names would begin a block later.
    ChainSpec { transitions, is_quorum: false, ..spec.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::{
        genesis::{Genesis, GenesisBuilder},
        spec::EngineKind,
    };

    #[test]
    fn the_change_comes_sooner_and_the_cast_stands_for_the_validators() {
        let json = GenesisBuilder::new(1, vec![Address::repeat_byte(1)]).to_json();
        let mut spec = Genesis::parse(json.as_bytes()).unwrap().spec;
        let period =
            Transition { block: 500, block_period_ms: Some(3000), ..Transition::default() };
        let engine =
            Transition { block: 1000, engine: Some(EngineKind::Raft), ..Transition::default() };
        let later = Transition { block: 2000, block_period_ms: Some(1), ..Transition::default() };
        spec.transitions = vec![period, engine, later];
        let cast = Cast {
            before: vec![Address::repeat_byte(7)],
            after: vec![Address::repeat_byte(7), Address::repeat_byte(8)],
        };
        let spec = rehearsed(&spec, 10, 1000, 14, &cast);
        assert_eq!(spec.engine_at(13), EngineKind::Qbft);
        assert_eq!(spec.engine_at(14), EngineKind::Raft);
        assert_eq!(spec.rules_at(11).block_period_ms, 3000);
        assert_eq!(spec.rules_at(5000).block_period_ms, 3000, "later changes are left out");
        assert_eq!(spec.validators_named_for(11), Some(cast.before.as_slice()));
        assert_eq!(spec.validators_named_for(14), Some(cast.after.as_slice()));
    }
}
