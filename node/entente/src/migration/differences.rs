//! What a change of the engine changes, and for whom.

use super::{
    Request,
    checks::{Plan, Sides},
};
use entente_chain::{
    BlockNumber, ChainSpec,
    spec::{BlockRules, EngineKind},
};

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What differs.
    pub(crate) what: &'static str,
    /// Until the change.
    pub(crate) before: String,
    /// From the change on.
    pub(crate) after: String,
}

/// Everything that differs. `validators_before`: how many there are; `None`: nobody knows.
pub(crate) fn of(
    plan: &Plan,
    request: &Request,
    validators_before: Option<usize>,
) -> Vec<Difference> {
    let sides = plan.sides(request.at);
    let (before, after) = (&sides.before, &sides.after);
    let count = plan.validators.len();
    let (from, to) = (before.engine, after.engine);
    let was = |describe: &dyn Fn(usize) -> String| {
        validators_before.map_or_else(|| "not known".to_owned(), describe)
    };
    let each = |what, describe: &dyn Fn(EngineKind) -> &'static str| {
        (what, describe(from).to_owned(), describe(to).to_owned())
    };
    let rows = [
        ("engine", engine(from).into(), engine(to).into()),
        ("validators", was(&|count| count.to_string()), count.to_string()),
        ("quorum", was(&|count| quorum(before, count)), quorum(after, count)),
        ("withstands", was(&|count| faults(before, count)), faults(after, count)),
        ("blocks", pace(before), pace(after)),
        ("empty blocks", empty(before), empty(after)),
        ("final", finality(from, validators_before), finality(to, Some(count))),
        each("header difficulty", &difficulty),
        each("header mixHash", &mix_hash),
        each("header nonce", &nonce),
        each("header miner", &miner),
        each("header extraData", &extra_data),
        ("header timestamp", timestamp(&plan.spec, from), timestamp(&plan.spec, to)),
        each("RPC of the engine", &namespaces),
    ];
    let differs = |(what, before, after): (&'static str, String, String)| {
        (before != after).then_some(Difference { what, before, after })
    };
    rows.into_iter().filter_map(differs).collect()
}

/// What users and their programs must do.
pub(crate) fn for_clients(plan: &Plan, request: &Request) -> Vec<&'static str> {
    let Sides { before, after } = plan.sides(request.at);
    let (from, to) = (before.engine, after.engine);
    let mut lines = Vec::new();
    if to == EngineKind::Clique {
        lines.push("a receipt is not the end: wait until its block is at or below `finalized`");
        lines.push("subscriptions may send a log again with `removed: true`");
    } else if from == EngineKind::Clique {
        lines.push("blocks are final at once: waiting for confirmations is no longer needed");
    }
    match (on_demand(&before), on_demand(&after)) {
        (false, true) => {
            lines.push("blocks come with transactions: do not count blocks to measure time");
        }
        (true, false) => {
            lines.push("blocks come by the clock: a transaction may take a whole period");
        }
        (false, false) | (true, true) => {}
    }
    lines.push(
        "web3.py goes on needing ExtraDataToPOAMiddleware; ethers, viem and web3.js need nothing",
    );
    if namespaces(from) != namespaces(to) {
        lines.push("programs that call a consensus namespace by name change to the new one");
    }
    lines
}

fn on_demand(rules: &BlockRules) -> bool {
    rules.engine == EngineKind::Raft || rules.block_period_ms == 0
}

/// What a node's configuration needs.
pub(crate) fn for_nodes(plan: &Plan, request: &Request) -> Vec<String> {
    let Sides { before, after } = plan.sides(request.at);
    let namespace = match after.engine {
        EngineKind::Raft => "raft",
        EngineKind::Clique => "clique",
        _ => "istanbul\", \"qbft",
    };
    let mut lines = Vec::new();
    if namespaces(before.engine) != namespaces(after.engine) {
        lines.push(format!(
            "rpc.namespaces: add \"{namespace}\" where operators look at validators or change them"
        ));
    }
    lines.push("validator.key_file stays: the same keys seal under every engine".to_owned());
    lines
}

/// The order of steps for operators.
pub(crate) fn steps(plan: &Plan, request: &Request) -> Vec<String> {
    let at = request.at;
    let mut steps = vec![
        "put the entry into `config.transitions` of the genesis file of every node, followers too, in \
         the order of blocks; then `entente genesis check FILE` on each"
            .to_owned(),
        format!(
            "restart the nodes one after the other, all before block {at}; each logs that the genesis file \
             changed ahead of the head"
        ),
        without_entry(plan.sides(at).before.engine, at),
    ];
    match plan.sides(at).before.engine {
        EngineKind::Clique => steps.push(format!(
            "nodes may stand on different last blocks of Clique when {at} comes: they settle on one by \
             themselves"
        )),
        EngineKind::Raft => steps.push(format!(
            "Raft makes no block without a transaction: if the chain is idle before {at}, send transactions \
             until it comes"
        )),
        _ => {}
    }
    if request.to == EngineKind::Raft {
        steps.push(
            "at the first Raft block all voters must be up once, at the same time".to_owned(),
        );
    }
    steps.push(
        "watch `entente doctor --rpc URL` of one node until the new engine's blocks come"
            .to_owned(),
    );
    steps
}

/// What becomes of a node that was forgotten.
fn without_entry(old: EngineKind, at: BlockNumber) -> String {
    let last = at.saturating_sub(1);
    let usual = format!(
        "a node without the entry at block {at} refuses the new engine's blocks and stays at {last}: add \
         the entry and restart it, it catches up"
    );
    match old {
        EngineKind::Clique => format!(
            "a signer without the entry goes on alone with Clique blocks from {at} on, and its database \
             then takes neither: give it a copy of another node's chain"
        ),
        _ => format!(
            "{usual}; if a whole quorum lacks it, those go on under the old engine and the others stand \
             still: look at every node before block {at}"
        ),
    }
}

const fn engine(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Qbft => "IBFT with QBFT headers",
        EngineKind::Istanbul => "IBFT with IBFT 1 headers",
        EngineKind::Raft => "Raft",
        EngineKind::Clique => "Clique",
        EngineKind::Ethereum => "plain Ethereum",
    }
}

/// Votes that decide a block.
fn needed(rules: &BlockRules, count: usize) -> usize {
    let faults = count.saturating_sub(1) / 3;
    match rules.engine {
        EngineKind::Qbft | EngineKind::Istanbul if rules.quorum_two_thirds => {
            count.saturating_mul(2).div_ceil(3)
        }
        EngineKind::Qbft | EngineKind::Istanbul => faults.saturating_mul(2).saturating_add(1),
        EngineKind::Raft | EngineKind::Clique | EngineKind::Ethereum => count / 2 + 1,
    }
}

fn quorum(rules: &BlockRules, count: usize) -> String {
    let needed = needed(rules, count);
    match rules.engine {
        EngineKind::Clique => {
            format!("one signer a block; {needed} of {count} keep the chain going")
        }
        _ => format!("{needed} of {count}"),
    }
}

fn faults(rules: &BlockRules, count: usize) -> String {
    let down = count.saturating_sub(needed(rules, count));
    match rules.engine {
        EngineKind::Qbft | EngineKind::Istanbul => {
            let lying = count.saturating_sub(1) / 3;
            format!("{down} down, or {lying} that do anything at all")
        }
        EngineKind::Raft => format!("{down} down, none that lies"),
        EngineKind::Clique => format!("{down} down or lying, but only after some blocks"),
        EngineKind::Ethereum => "none".to_owned(),
    }
}

fn pace(rules: &BlockRules) -> String {
    match (rules.engine, rules.block_period_ms) {
        (EngineKind::Raft, period) => {
            format!("when a transaction waits, {period} ms apart at least")
        }
        (_, 0) => "when a transaction waits".to_owned(),
        (_, period) => format!("every {period} ms"),
    }
}

fn empty(rules: &BlockRules) -> String {
    match (rules.engine, rules.empty_block_period_ms, rules.block_period_ms) {
        (EngineKind::Raft, None, _) | (_, None, 0) => "never".to_owned(),
        (_, Some(empty), _) => format!("every {empty} ms"),
        (_, None, period) => format!("every {period} ms"),
    }
}

fn finality(kind: EngineKind, count: Option<usize>) -> String {
    match kind {
        EngineKind::Clique => {
            let depth =
                count.map_or_else(|| "N/2+1".to_owned(), |count| (count / 2 + 1).to_string());
            format!("`finalized` and `safe` are the head minus {depth}; never by proof")
        }
        EngineKind::Raft => "at once (a majority stores it): `finalized` is the head".to_owned(),
        _ => "at once (sealed by a quorum): `finalized` is the head".to_owned(),
    }
}

const fn difficulty(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Qbft | EngineKind::Istanbul => "1",
        EngineKind::Raft => "131072",
        EngineKind::Clique => "2 in turn, 1 out of turn",
        EngineKind::Ethereum => "by ethash's formula",
    }
}

const fn mix_hash(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Qbft | EngineKind::Istanbul => "0x63746963616c..., that of BFT headers",
        EngineKind::Raft | EngineKind::Clique => "zero",
        EngineKind::Ethereum => "of the proof of work",
    }
}

const fn nonce(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Istanbul | EngineKind::Clique => {
            "0xff.. when the block votes to add, else zero"
        }
        EngineKind::Qbft | EngineKind::Raft => "zero",
        EngineKind::Ethereum => "of the proof of work",
    }
}

const fn miner(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Qbft => "the proposer",
        EngineKind::Raft => "the leader",
        EngineKind::Istanbul | EngineKind::Clique => "whom the block votes about, else zero",
        EngineKind::Ethereum => "the miner",
    }
}

const fn extra_data(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Qbft => "RLP: vanity, validators, vote, round, seals of a quorum",
        EngineKind::Istanbul => {
            "32 bytes, then RLP: validators, proposer's seal, seals of a quorum"
        }
        EngineKind::Raft => {
            "32 bytes, then RLP: raft id, leader's signature, term, change of members"
        }
        EngineKind::Clique => "32 bytes, signers at epochs, the signer's seal of 65 bytes",
        EngineKind::Ethereum => "free",
    }
}

fn timestamp(spec: &ChainSpec, kind: EngineKind) -> String {
    let unit = match spec.nanosecond_timestamps {
        true => "nanoseconds",
        false => "seconds",
    };
    match kind {
        EngineKind::Raft if !spec.nanosecond_timestamps => {
            format!("{unit}; blocks within a second share one")
        }
        _ => unit.to_owned(),
    }
}

const fn namespaces(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Qbft | EngineKind::Istanbul => "istanbul_*, qbft_*",
        EngineKind::Raft => "raft_*",
        EngineKind::Clique => "clique_*",
        EngineKind::Ethereum => "none",
    }
}
