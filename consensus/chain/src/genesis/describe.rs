//! What `entente genesis check` says about a genesis.

use super::Genesis;
use crate::{
    fork::{Activation, Fork},
    spec::{BaseFeeMode, BlockRules, ChainSpec, EngineKind},
    validators::ValidatorSet,
};
use alloy_eips::{eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS};
use alloy_primitives::{B256, b256};

/// mixHash of IBFT and QBFT headers (GoQuorum's `IstanbulDigest`).
pub(super) const BFT_MIX_HASH: B256 =
    b256!("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365");
/// Forks that change nothing for networks without proof of work.
const DIFFICULTY_ONLY: [Fork; 4] =
    [Fork::MuirGlacier, Fork::ArrowGlacier, Fork::GrayGlacier, Fork::Paris];

impl Genesis {
    /// Lines for people: what the chain is, then what to look at, each beginning with `warning:`
    /// or `note:`.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let (spec, header) = (&self.spec, &self.header);
        let rules = spec.rules_at(0);
        let mut lines = vec![
            format!("chain id       {}", spec.chain_id),
            format!("genesis hash   {}", header.hash()),
            format!("state root     {}", header.state_root),
            format!("engine         {}", engine(spec)),
            format!("forks          {}", forks(spec)),
            format!("base fee       {}", base_fee(self)),
            format!("gas limit      {}", header.gas_limit),
            format!("accounts       {}", self.alloc.len()),
        ];
        if rules.engine != EngineKind::Ethereum {
            lines.push(format!("block period   {}", period(&rules)));
            lines.push(validators(self));
        }
        if let Some(contract) = rules.validator_contract {
            lines.push(format!("contract       {contract} names the validators from block 1 on"));
        }
        for change in &spec.transitions {
            lines.push(format!("transition     from block {}", change.block));
        }
        lines.extend(self.warnings().into_iter().map(|text| format!("warning: {text}")));
        lines.extend(self.notes.iter().map(|text| format!("note: {text}")));
        lines.extend(self.differences().into_iter().map(|text| format!("note: {text}")));
        lines
    }

    fn warnings(&self) -> Vec<String> {
        let (spec, header) = (&self.spec, &self.header);
        let rules = spec.rules_at(0);
        let mut warnings = Vec::new();
        for fork in missing(spec) {
            warnings.push(format!(
                "{fork} is not given although {} is: it counts as begun with the next fork given",
                spec.forks.newest()
            ));
        }
        if spec.forks.activation(Fork::SpuriousDragon).is_none() {
            warnings
                .push("eip155Block is missing: signatures are not bound to the chain id".into());
        }
        let bft = matches!(rules.engine, EngineKind::Qbft | EngineKind::Istanbul);
        if bft && header.mix_hash != BFT_MIX_HASH {
            warnings.push(format!("mixHash is not {BFT_MIX_HASH}, the one of BFT headers"));
        }
        if bft && !rules.quorum_two_thirds {
            warnings.push("ceil2Nby3Block is not 0: quorums of 2F+1 may decide two blocks".into());
        }
        if bft && (1..4).contains(&self.validators.len()) {
            warnings.push("fewer than 4 validators: none of them may fail".into());
        }
        for (since, address) in
            [(Fork::Cancun, BEACON_ROOTS_ADDRESS), (Fork::Prague, HISTORY_STORAGE_ADDRESS)]
        {
            let code = self.alloc.get(&address).is_some_and(|account| !account.code.is_empty());
            if spec.forks.newest() >= since && !code {
                warnings.push(format!("no system contract of {since} at {address} in alloc"));
            }
        }
        warnings
    }

    /// What the other tools would do with the same file.
    fn differences(&self) -> Vec<String> {
        let spec = &self.spec;
        let mut notes = Vec::new();
        let mut note = |holds: bool, text: &str| {
            if holds {
                notes.push(text.to_owned());
            }
        };
        let newest = spec.forks.newest();
        let engine = spec.engine_at(0);
        note(
            newest >= Fork::London && engine != EngineKind::Ethereum,
            "GoQuorum ends at Berlin and would ignore later forks",
        );
        note(
            spec.transitions
                .iter()
                .filter_map(|change| change.engine)
                .chain([engine])
                .any(|engine| !matches!(engine, EngineKind::Qbft | EngineKind::Ethereum)),
            "Besu runs QBFT only and would not follow this chain",
        );
        note(
            !matches!(engine, EngineKind::Ethereum | EngineKind::Clique),
            "geth has no BFT or Raft engine and would take this for proof of work",
        );
        note(
            spec.is_quorum && !spec.rules_at(0).gas_price_enabled,
            "isQuorum without enableGasPriceBlock: a gas price other than 0 is refused",
        );
        note(
            spec.base_fee == BaseFeeMode::Zero && self.header.base_fee_per_gas.unwrap_or(0) != 0,
            "zeroBaseFee without baseFeePerGas 0: the genesis header itself has 1 gwei, as in Besu",
        );
        note(
            matches!(spec.base_fee, BaseFeeMode::Fixed(_)),
            "fixedBaseFee: Besu takes the fee from --min-gas-price, here it is baseFeePerGas",
        );
        notes
    }
}

fn engine(spec: &ChainSpec) -> String {
    let name = |kind| match kind {
        EngineKind::Qbft => "QBFT",
        EngineKind::Istanbul => "IBFT 1 (istanbul)",
        EngineKind::Clique => "Clique",
        EngineKind::Raft => "Raft",
        EngineKind::Ethereum => "Ethereum (import only)",
    };
    let mut text = name(spec.engine_at(0)).to_owned();
    for change in spec.transitions.iter().filter(|change| change.block > 0) {
        if let Some(kind) = change.engine {
            text.push_str(&format!(", {} from block {}", name(kind), change.block));
        }
    }
    text
}

fn forks(spec: &ChainSpec) -> String {
    let later = spec.forks.entries().iter().filter_map(|(fork, at)| match at {
        Activation::Block(0) | Activation::Time(0) => None,
        Activation::Block(block) => Some(format!("{fork} from block {block}")),
        Activation::Time(time) => Some(format!("{fork} from time {time}")),
    });
    let mut parts = vec![format!("{} at genesis", spec.forks.at(0, 0))];
    parts.extend(later);
    parts.join(", ")
}

fn base_fee(genesis: &Genesis) -> String {
    if genesis.spec.forks.newest() < Fork::London {
        return "none before London".into();
    }
    match genesis.spec.base_fee {
        BaseFeeMode::Zero => "always 0".into(),
        BaseFeeMode::Fixed(fee) => format!("always {fee} wei"),
        BaseFeeMode::Eip1559 { initial } => format!("EIP-1559 from {initial} wei"),
    }
}

fn period(rules: &BlockRules) -> String {
    match (rules.engine, rules.block_period_ms) {
        (EngineKind::Raft, least) => format!("on demand, at least {least} ms apart"),
        (_, 0) => "on demand".to_owned(),
        (_, period) => format!("{period} ms"),
    }
}

fn validators(genesis: &Genesis) -> String {
    let list = genesis.validators.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let quorum = ValidatorSet::new(genesis.validators.clone())
        .map(|set| set.quorum(genesis.spec.rules_at(0).quorum_two_thirds).to_string())
        .unwrap_or_default();
    match genesis.spec.rules_at(0).engine {
        EngineKind::Clique => format!("signers        {}: {list}", genesis.validators.len()),
        EngineKind::Raft => format!("voters         {}: {list}", genesis.validators.len()),
        _ => format!("validators     {} (quorum {quorum}): {list}", genesis.validators.len()),
    }
}

/// Forks that were left out below the newest one.
fn missing(spec: &ChainSpec) -> Vec<Fork> {
    let wanted = |fork: &Fork| {
        *fork < spec.forks.newest()
            && !DIFFICULTY_ONLY.contains(fork)
            && spec.forks.activation(*fork).is_none()
    };
    Fork::ALL.into_iter().filter(wanted).collect()
}
