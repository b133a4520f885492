//! What must hold before an engine may be changed, and what operators should think about.

use super::{Request, Standing, entry, refusal::Refusal};
use alloy_primitives::Address;
use entente_chain::{
    BlockNumber, ChainSpec, ValidatorSet,
    genesis::Genesis,
    spec::{BlockRules, EngineKind},
};
use serde_json::Value;

/// Milliseconds in which every node can be restarted.
const RESTARTS_MS: u64 = 10 * 60 * 1000;

/// A change that can be made.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The entry for every node.
    pub(crate) entry: Value,
    /// The chain's rules with it.
    pub(crate) spec: ChainSpec,
    /// Who seals the first block of the new engine, as far as the head says.
    pub(crate) validators: ValidatorSet,
    /// What is allowed and worth a thought.
    pub(crate) warnings: Vec<String>,
}

/// Rules before and after a change.
pub(crate) struct Sides {
    /// The block before it.
    pub(crate) before: BlockRules,
    /// Its first block.
    pub(crate) after: BlockRules,
}

impl Plan {
    /// Rules before and after.
    pub(crate) fn sides(&self, at: BlockNumber) -> Sides {
        Sides { before: self.spec.rules_at(at.saturating_sub(1)), after: self.spec.rules_at(at) }
    }
}

/// Checks a request against a chain.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn check(request: &Request, standing: &Standing) -> Result<Plan, Refusal> {
    let (at, to, old) = (request.at, request.to, &standing.spec);
    block_is_ahead(request, standing)?;
    let before = at.saturating_sub(1);
    for number in [standing.head, before] {
        if old.engine_at(number) == EngineKind::Ethereum {
            return Err(Refusal::Ethereum(number));
        }
    }
    if old.engine_at(before) == to {
        return Err(Refusal::Same { before, engine: to });
    }
    let taken = old.transitions.iter().filter(|change| change.block == at);
    if let Some(engine) = taken.filter_map(|change| change.engine).next_back() {
        return Err(Refusal::Taken { at, engine });
    }
    match (to, request.eip3436) {
        (EngineKind::Clique, None) => return Err(Refusal::Eip3436),
        (EngineKind::Clique, Some(_)) | (_, None) => {}
        (other, Some(_)) => return Err(Refusal::NotClique(other)),
    }
    if request.period_ms == Some(0) && old.is_quorum {
        let text = "under isQuorum 0 means \"as before\": say 1s or 250ms";
        return Err(Refusal::Period(text));
    }
    let validators = who_seals_first(request, standing)?;
    let by_contract = old.rules_at(at).validator_contract.is_some();
    let entry = entry::of(request, by_contract);
    let (genesis, _) = entry::genesis_with(&standing.genesis_json, &entry)?;
    fits(&genesis, standing)?;
    let spec = genesis.spec;
    let warnings = warnings(request, standing, &spec, &validators);
    Ok(Plan { entry, spec, validators, warnings })
}

fn block_is_ahead(request: &Request, standing: &Standing) -> Result<(), Refusal> {
    let head = standing.head;
    if request.at > head {
        return Ok(());
    }
    let comfortable = comfortable(standing);
    Err(Refusal::Past { at: request.at, head, comfortable })
}

/// The lowest block that leaves time to restart every node.
fn comfortable(standing: &Standing) -> BlockNumber {
    let rules = standing.spec.rules_at(standing.head.saturating_add(1));
    // Raft's blocks come when transactions do: no time follows from their number.
    let blocks = match (rules.engine, rules.block_period_ms) {
        (EngineKind::Raft, _) | (_, 0) => 1,
        (_, period) => RESTARTS_MS.div_ceil(period),
    };
    standing.head.saturating_add(blocks.max(1))
}

/// The new rules belong to the same chain and leave its past alone.
fn fits(genesis: &Genesis, standing: &Standing) -> Result<(), Refusal> {
    if genesis.header.hash() != standing.genesis_hash {
        let text = "written out again it gives another genesis hash; add the entry by hand";
        return Err(Refusal::Genesis(text.into()));
    }
    Ok(standing.spec.compatible(&genesis.spec, standing.head, standing.head_timestamp)?)
}

/// Who seals the first block of the new engine, as far as the head says.
///
/// # Errors
/// When they are no set, or nobody knows them.
pub(crate) fn who_seals_first(
    request: &Request,
    standing: &Standing,
) -> Result<ValidatorSet, Refusal> {
    if let Some(named) = &request.validators {
        if named.contains(&Address::ZERO) {
            return Err(Refusal::ZeroAddress);
        }
        return Ok(ValidatorSet::new(named.clone())?);
    }
    let head = standing.head;
    // Raft and Clique ask none: between those two a contract has no say.
    let asked = |_: &Address| {
        request.to.is_bft() || standing.spec.engine_at(request.at.saturating_sub(1)).is_bft()
    };
    let contract = standing.spec.rules_at(request.at).validator_contract;
    if let Some(contract) = contract.filter(asked) {
        let answer = standing.contract.as_ref().filter(|asked| asked.address == contract);
        return match answer.map(|asked| &asked.answer) {
            Some(Ok(set)) => Ok(set.clone()),
            Some(Err(Some(cause))) => {
                Err(Refusal::Contract { contract, head, cause: cause.clone() })
            }
            Some(Err(None)) | None => Err(Refusal::NoContract { contract, head, at: request.at }),
        };
    }
    // The last list that a transition between the head and the change names.
    let planned = standing.spec.transitions.iter().rev();
    let planned = planned.filter(|change| change.block > head && change.block <= request.at);
    if let Some(named) = planned.filter_map(|change| change.validators.clone()).next() {
        return Ok(ValidatorSet::new(named)?);
    }
    standing.validators.clone().ok_or(Refusal::Unknown(request.at))
}

fn warnings(
    request: &Request,
    standing: &Standing,
    spec: &ChainSpec,
    validators: &ValidatorSet,
) -> Vec<String> {
    let (at, head, count) = (request.at, standing.head, validators.len());
    let mut warnings = Vec::new();
    let mut warn = |holds: bool, text: String| {
        if holds {
            warnings.push(text);
        }
    };
    warn(
        at < comfortable(standing),
        format!(
            "block {at} is {} above the head: stop all nodes before you change their files, or take \
             {} and later",
            at.saturating_sub(head),
            comfortable(standing)
        ),
    );
    for text in of_engine(request, count) {
        warn(true, text);
    }
    if let (Some(named), Some(today)) = (&request.validators, &standing.validators) {
        let strangers = named.iter().filter(|address| !today.contains(**address)).count();
        warn(
            strangers > 0,
            format!(
                "{strangers} of the {count} named seal nothing today: their nodes must run, and have the \
                 chain, before block {at}"
            ),
        );
    }
    let asked_before = spec.validator_contract_at(at.saturating_sub(1)).is_some();
    warn(
        asked_before && request.validators.is_none() && !request.to.is_bft(),
        format!(
            "{} asks no validator contract: whom it names just before block {at} goes on, and \
             {}_* calls change them",
            request.to, request.to
        ),
    );
    let begin = request.validators.as_ref().filter(|_| spec.election_block(at) != at);
    warn(
        begin.is_some(),
        format!(
            "under isQuorum the validators named at {at} begin with block {}",
            at.saturating_add(1)
        ),
    );
    let later = spec.transitions.iter().filter(|change| change.block > at);
    for change in later.filter(|change| change.engine.is_some()) {
        warn(true, format!("the engine changes again at block {}", change.block));
    }
    let open = standing.open_votes > 0 && !request.to.is_bft();
    warn(open, format!("{} open votes are dropped by the change", standing.open_votes));
    warnings
}

/// What an engine asks of those who choose it.
fn of_engine(request: &Request, count: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |holds: bool, text: String| {
        if holds {
            warnings.push(text);
        }
    };
    match request.to {
        EngineKind::Qbft | EngineKind::Istanbul => warn(
            count < 4,
            format!("IBFT with {count} validators withstands no fault: 4 is the least that does"),
        ),
        EngineKind::Raft => {
            warn(
                count < 3,
                format!(
                    "Raft with fewer than 3 voters (here {count}) goes on only with all of them"
                ),
            );
            warn(
                true,
                "a Raft voter that lies is believed: every voter's operator is trusted".into(),
            );
        }
        EngineKind::Clique => {
            warn(
                count < 3,
                format!("Clique with fewer than 3 signers (here {count}) stops when one is down"),
            );
            warn(
                count.is_multiple_of(2) && request.eip3436 == Some(false),
                format!("{count} signers and no EIP-3436: two branches of equal weight may wait"),
            );
            warn(true, "Clique's blocks are never final by proof, and its chains fork".into());
        }
        EngineKind::Ethereum => {}
    }
    warn(
        request.to == EngineKind::Istanbul,
        "`ibft` is what genesis files call IBFT with IBFT 1 headers: the entry is right".into(),
    );
    warnings
}
