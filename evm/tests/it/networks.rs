//! The `network` of a case as a fork schedule.

use entente_chain::{
    ChainSpec,
    fork::{Activation, Fork, ForkSchedule},
    spec::{BaseFeeMode, BlockRules, EngineKind},
};

/// Networks whose receipts carry state roots (EIP-658 came with Byzantium): not run.
pub(crate) const TOO_OLD: [&str; 6] = [
    "Frontier",
    "Homestead",
    "FrontierToHomesteadAt5",
    "HomesteadToDaoAt5",
    "HomesteadToEIP150At5",
    "EIP158ToByzantiumAt5",
];

/// A schedule; `merge` is the first block without difficulty, where the case passes the merge by
/// total difficulty.
pub(crate) fn schedule(network: &str, merge: Option<u64>) -> Option<ForkSchedule> {
    let all = ForkSchedule::all_until;
    let then = |before: Fork, fork: Fork, at: Activation| {
        let mut entries = all(before).entries().to_vec();
        entries.push((fork, at));
        ForkSchedule::new(entries)
    };
    Some(match network {
        "Byzantium" => all(Fork::Byzantium),
        "Constantinople" => all(Fork::Constantinople),
        "ConstantinopleFix" => all(Fork::Petersburg),
        "Istanbul" => all(Fork::Istanbul),
        "Berlin" => all(Fork::Berlin),
        "London" => all(Fork::London),
        "Paris" => all(Fork::Paris),
        "Shanghai" => all(Fork::Shanghai),
        "Cancun" => all(Fork::Cancun),
        "Prague" => all(Fork::Prague),
        "Osaka" => all(Fork::Osaka),
        "ByzantiumToConstantinopleFixAt5" => {
            then(Fork::Byzantium, Fork::Petersburg, Activation::Block(5))
        }
        "BerlinToLondonAt5" => then(Fork::Berlin, Fork::London, Activation::Block(5)),
        "ArrowGlacierToParisAtDiffC0000" => {
            then(Fork::ArrowGlacier, Fork::Paris, Activation::Block(merge?))
        }
        "ParisToShanghaiAtTime15k" => then(Fork::Paris, Fork::Shanghai, Activation::Time(15_000)),
        "ShanghaiToCancunAtTime15k" => then(Fork::Shanghai, Fork::Cancun, Activation::Time(15_000)),
        "CancunToPragueAtTime15k" => then(Fork::Cancun, Fork::Prague, Activation::Time(15_000)),
        _ => return None,
    })
}

/// Plain Ethereum with chain id 1.
pub(crate) fn spec(forks: ForkSchedule) -> ChainSpec {
    ChainSpec {
        chain_id: 1,
        is_quorum: false,
        forks,
        base_fee: BaseFeeMode::Eip1559 { initial: 1_000_000_000 },
        genesis_rules: BlockRules {
            transaction_size_limit: usize::MAX,
            ..BlockRules::new(EngineKind::Ethereum)
        },
        transitions: Vec::new(),
        nanosecond_timestamps: false,
        blob_schedule: Vec::new(),
    }
}
