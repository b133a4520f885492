//! ethereum/tests BlockchainTests: the selection in `testdata`, or the full sets.

use crate::{
    archive::{ARCHIVES, cases, directory},
    case::Case,
    chain::Chain,
    networks::{TOO_OLD, schedule, spec},
};
use alloy_primitives::keccak256;
use alloy_rlp::Decodable;
use entente_chain::{Block, StateReader, genesis::Genesis};
use rayon::prelude::*;
use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

/// A contract created where an account has storage but neither code nor nonce must fail (EIP-7610).
/// revm does not check it and `StateReader` cannot tell; only a genesis file can make such accounts.
const EIP_7610: &str = "EIP-7610: storage without code at the address of a new contract";

/// Cases that do not pass, by a part of their name, and why.
const EXCEPTIONS: [(&str, &str); 4] = [
    ("::dynamicAccountOverwriteEmpty_Paris_", EIP_7610),
    ("::RevertInCreateInInit_Paris_", EIP_7610),
    ("::InitCollisionParis_", EIP_7610),
    (
        "test_tx_selfdestruct_balance_bug[fork_Constantinople-",
        "EIP-1283: Constantinople runs as Petersburg, which took it out again",
    ),
];

enum Outcome {
    Passed,
    Skipped,
    Failed(String),
}

#[test]
fn every_blockchain_test_passes_or_has_a_reason() {
    for archive in ARCHIVES {
        run(archive);
    }
}

fn run(archive: &str) {
    let begin = Instant::now();
    let cases = cases(&directory().join(archive));
    let outcomes: Vec<_> = cases
        .par_iter()
        .map(|(name, case)| {
            let outcome = catch_unwind(AssertUnwindSafe(|| run_case(case)))
                .unwrap_or_else(|_| Outcome::Failed("panicked".into()));
            (name, outcome)
        })
        .collect();
    let mut counts = BTreeMap::new();
    let mut failed = Vec::new();
    for (name, outcome) in outcomes {
        let excepted = EXCEPTIONS.iter().any(|(part, _)| name.contains(part));
        let kind = match outcome {
            Outcome::Passed if excepted => {
                failed.push(format!("{name}: passes, take it off the exceptions"));
                "passed"
            }
            Outcome::Passed => "passed",
            Outcome::Skipped => "skipped (before Byzantium)",
            Outcome::Failed(_) if excepted => "excepted",
            Outcome::Failed(cause) => {
                failed.push(format!("{name}: {cause}"));
                "failed"
            }
        };
        *counts.entry(kind).or_insert(0) += 1;
    }
    let seconds = begin.elapsed().as_secs_f32();
    let line = format!("{archive}: {counts:?} in {seconds:.1} s\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

fn run_case(case: &Case) -> Outcome {
    if TOO_OLD.contains(&case.network.as_str()) {
        return Outcome::Skipped;
    }
    match check(case) {
        Ok(()) => Outcome::Passed,
        Err(cause) => Outcome::Failed(cause),
    }
}

fn check(case: &Case) -> Result<(), String> {
    let forks = schedule(&case.network, merge_block(case))
        .ok_or_else(|| format!("unknown network {}", case.network))?;
    let header =
        Block::decode(&mut &case.genesis_rlp[..]).map_err(|cause| cause.to_string())?.header;
    let alloc = case.pre.iter().map(|(address, account)| (*address, account.genesis())).collect();
    let genesis = Genesis::from_parts(spec(forks), header, alloc, Vec::new())
        .map_err(|cause| cause.to_string())?;
    expect("genesis hash", genesis.header.hash(), case.genesis_block_header.hash)?;
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::new(&genesis, directory.path());
    for (index, block) in case.blocks.iter().enumerate() {
        match (chain.import(&block.rlp), &block.expect_exception) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Ok(()), Some(exception)) => {
                return Err(format!("block {index} was taken, expected {exception}"));
            }
            (Err(cause), None) => return Err(format!("block {index} was refused: {cause}")),
        }
    }
    let (head, state) = chain.head();
    expect("head", head.hash(), case.lastblockhash)?;
    if let Some(root) = case.post_state_hash {
        expect("state root", head.state_root, root)?;
    }
    check_state(case, &state)
}

fn check_state(case: &Case, state: &dyn StateReader) -> Result<(), String> {
    for (address, expected) in case.post_state.iter().flatten() {
        let account = state.account(*address).unwrap().unwrap_or_default();
        expect("balance", account.balance, expected.balance)?;
        expect("nonce", account.nonce, expected.nonce)?;
        expect("code hash", account.code_hash, keccak256(&expected.code))?;
        for (slot, value) in &expected.storage {
            expect("slot", state.slot(*address, *slot).unwrap(), *value)?;
        }
    }
    Ok(())
}

fn expect<T: Copy + PartialEq + Display>(what: &str, got: T, expected: T) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what} is {got}, expected {expected}")) }
}

/// The first block without difficulty: where a case passes the merge.
fn merge_block(case: &Case) -> Option<u64> {
    case.blocks.iter().find_map(|block| {
        block.block_header.as_ref().filter(|header| header.difficulty.is_zero())?;
        Block::decode(&mut &block.rlp[..]).ok().map(|block| block.header.number)
    })
}
