//! A process that commits blocks is killed at drawn moments; whatever the disk then holds must be
//! one whole block after the other.

use crate::world::World;
use entente_storage::{StorageOptions, check::check};
use std::{
    hint::black_box,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};
use tempfile::tempdir;

/// Names the database of the child process.
const FOLDER: &str = "ENTENTE_TEST_KILLED_DATABASE";
const KILLS: u64 = 20;

fn synced() -> StorageOptions {
    StorageOptions::default()
}

/// Not a test by itself: the child process, which commits until it is killed.
#[test]
fn child_commits_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut world = World::open(Path::new(&folder), &synced());
    let mut log = world.database.consensus_log().unwrap();
    let mut out = std::io::stdout();
    loop {
        let next = world.head() + 1;
        log.append([next.to_be_bytes().to_vec()].into_iter()).unwrap();
        world.commit(1);
        writeln!(out, "\ncommitted {next}").unwrap();
        out.flush().unwrap();
    }
}

/// Lets the child commit `blocks` blocks and some more work, then kills it; returns the last
/// block that it said was committed.
fn run_and_kill(folder: &Path, blocks: u64, more: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_commits_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut committed = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("committed ").and_then(|number| number.parse().ok()));
    let mut last = 0;
    for _ in 0..blocks {
        last = committed.next().expect("the child ended by itself");
    }
    for turn in 0..more {
        black_box(turn);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    committed.last().unwrap_or(last)
}

#[test]
fn database_of_a_killed_process_is_at_a_whole_block_that_was_promised() {
    let folder = tempdir().unwrap();
    for kill in 0..KILLS {
        let drawn = kill.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let promised = run_and_kill(folder.path(), 1 + drawn % 7, drawn % 4_000_000);
        let report = check(folder.path()).unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "after kill {kill}");
        let world = World::open(folder.path(), &synced());
        let head = world.reader.head().header.clone();
        assert!(head.number >= promised, "block {promised} was promised, got {}", head.number);
        let expected = crate::world::model_root(world.models.last().unwrap());
        assert_eq!(head.state_root, expected);
        let records = world.database.consensus_log().unwrap().recover().unwrap();
        assert!(records.len() as u64 >= head.number, "a vote is older than its block");
    }
}
