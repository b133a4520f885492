//! A process that changes branches for ever is killed at drawn moments; whatever the disk then holds
//! is a sound chain that ends in a block of one of the branches, or where both begin.

use crate::world::{NOW, World, genesis_of, transaction};
use alloy_primitives::{Address, Bytes};
use entente_chain::{RecoveredBlock, spec::EngineKind};
use entente_storage::{StorageOptions, check::check};
use std::{
    hint::black_box,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};
use tempfile::tempdir;

/// Names the database of the child process.
const FOLDER: &str = "ENTENTE_TEST_KILLED_LEDGER";
const KILLS: u64 = 12;
/// Where both branches begin.
const ANCESTOR: u64 = 2;

/// The common blocks, then two branches of three and four blocks.
fn branches() -> (Vec<RecoveredBlock>, [Vec<RecoveredBlock>; 2]) {
    let genesis = genesis_of(EngineKind::Clique, 4);
    let branch = |index: usize| {
        let folder = tempdir().unwrap();
        let mut world = World::open(folder.path(), &genesis);
        world.grow(2);
        for nonce in 0..3 + index as u64 {
            let to = Address::with_last_byte(u8::try_from(index).unwrap());
            let transactions = vec![transaction(&world.keys[8], nonce, to, Bytes::new())];
            world.extend(index, transactions);
        }
        (world.blocks_above(0)[..2].to_vec(), world.blocks_above(ANCESTOR))
    };
    let (common, first) = branch(0);
    let (same, second) = branch(1);
    assert_eq!(common, same);
    (common, [first, second])
}

fn open(folder: &Path) -> World {
    World::open_with(folder, &genesis_of(EngineKind::Clique, 4), &StorageOptions::default())
}

/// Not a test by itself: the child process, which changes branches until it is killed.
#[test]
fn child_changes_branches_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (common, branches) = branches();
    let mut world = open(Path::new(&folder));
    if world.head().number == 0 {
        world.import_all(common).unwrap();
    }
    let mut out = std::io::stdout();
    for branch in branches.iter().cycle() {
        let outcome = world.ledger.reorganize(ANCESTOR, branch.clone(), NOW).unwrap();
        assert!(outcome.refused.is_none());
        writeln!(out, "\nchanged").unwrap();
        out.flush().unwrap();
    }
}

fn run_and_kill(folder: &Path, changes: usize, more: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_changes_branches_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let changed = lines.filter(|line| line == "changed").take(changes).count();
    assert_eq!(changed, changes, "the child ended by itself");
    for turn in 0..more {
        black_box(turn);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_process_killed_in_a_change_of_branches_opens_at_a_valid_head() {
    let folder = tempdir().unwrap();
    let (common, branches) = branches();
    for kill in 0..KILLS {
        let drawn = kill.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        run_and_kill(folder.path(), 1 + usize::try_from(drawn % 3).unwrap(), drawn % 30_000_000);
        let report = check(folder.path()).unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "after kill {kill}");
        let mut world = open(folder.path());
        let head = world.head();
        assert!(head.number >= ANCESTOR, "after kill {kill}");
        let known = common.iter().chain(branches.iter().flatten());
        assert!(known.into_iter().any(|block| block.hash() == head.hash()), "after kill {kill}");
        // Everything goes on from there: the tally is that of the head.
        assert_eq!(world.stored(head.number), world.ledger.position().tally);
        let outcome = world.ledger.reorganize(ANCESTOR, branches[1].clone(), NOW).unwrap();
        assert!(outcome.refused.is_none(), "after kill {kill}");
    }
}
