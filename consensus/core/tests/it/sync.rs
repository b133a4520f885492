//! Block sync against peers that serve, lie, stay silent or change their mind, in virtual time.
#![expect(clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod world;

use entente_consensus::{
    FetchId, ImportId,
    sync::{Sync, SyncSettings},
};
use world::{Behaviour, HONEST, LIARS, World, block, chain, node};

#[test]
fn a_long_chain_is_fetched_from_one_peer() {
    let mut world = World::new();
    world.peer(1, HONEST, 5_000);
    assert!(world.run_to_head(5_000, 60_000).is_some());
    assert!(world.fetches.len() <= 21, "{} requests", world.fetches.len());
    assert!(world.penalised.is_empty());
}

#[test]
fn two_peers_share_the_work() {
    let mut world = World::new();
    world.peer(1, HONEST, 5_000);
    world.peer(2, HONEST, 5_000);
    assert!(world.run_to_head(5_000, 60_000).is_some());
    let of_first = world.fetches.iter().filter(|(from, ..)| *from == node(1)).count();
    assert!((5..=16).contains(&of_first), "{of_first} of {} requests", world.fetches.len());
}

/// Big blocks: a frame holds only a few of them.
#[test]
fn short_answers_are_continued_without_a_hole() {
    let mut world = World::new();
    world.peer(1, Behaviour::Honest { most: 3 }, 1_000);
    world.peer(2, Behaviour::Honest { most: 7 }, 1_000);
    assert!(world.run_to_head(1_000, 600_000).is_some());
    assert!(world.penalised.is_empty());
}

#[test]
fn every_liar_is_penalised_and_an_honest_peer_brings_the_chain() {
    for liar in LIARS {
        let mut world = World::new();
        world.peer(1, liar, 1_000_000);
        world.peer(2, HONEST, 2_000);
        let took = world.run_to_head(2_000, 120_000);
        assert!(took.is_some(), "{liar:?} stopped the node at {}", world.head.number);
        world.run_for(120_000);
        assert!(world.penalised.contains(&node(1)), "{liar:?}");
        assert!(!world.penalised.contains(&node(2)), "{liar:?}");
    }
}

/// Seed 0: where chains fork, a peer on another branch has done nothing wrong.
#[test]
fn a_peer_on_another_branch_is_not_blamed_where_chains_fork() {
    for forks in [true, false] {
        let mut world = World::new();
        let head = world.head.clone();
        world.sync = Sync::new(SyncSettings { forks, ..SyncSettings::default() });
        world.tell(|sync, now, out| sync.on_head(now, &head, out));
        world.peer(1, Behaviour::Forked, 1_000);
        world.peer(2, HONEST, 900);
        assert!(world.run_to_head(900, 120_000).is_some(), "stopped at {}", world.head.number);
        assert_eq!(world.penalised.contains(&node(1)), !forks);
    }
}

#[test]
fn a_crowd_of_liars_does_not_stop_one_honest_peer() {
    let mut world = World::new();
    for (id, liar) in (10..).zip(LIARS.into_iter().chain(LIARS)) {
        world.peer(id, liar, u64::MAX);
    }
    world.peer(1, HONEST, 1_500);
    assert!(world.run_to_head(1_500, 600_000).is_some(), "stopped at {}", world.head.number);
}

/// Claims that nobody fulfils are believed ever more rarely.
#[test]
fn a_claim_that_is_never_fulfilled_counts_for_less_and_less() {
    for liar in LIARS {
        let mut world = World::new();
        world.peer(1, liar, 1_000_000);
        world.run_for(3_600_000);
        let asked = world.fetches.len();
        assert!((5..=30).contains(&asked), "{liar:?} was asked {asked} times in an hour");
        assert!(world.wakes < 200, "{} wakes in an hour", world.wakes);
    }
}

/// CometBFT CVE-2025-24371: a head claimed high and then low kept nodes syncing for ever.
#[test]
fn a_peer_that_lowers_its_claim_does_not_hold_the_node_up() {
    let mut world = World::new();
    world.peer(1, Behaviour::Silent, 1_000_000);
    world.peer(2, HONEST, 300);
    world.announce(1, 5);
    assert!(world.run_to_head(300, 60_000).is_some());
    assert_eq!(world.sync.best_peer_head(), 300);
    for height in 301..320 {
        world.announce(1, 1_000_000 - height);
        world.announce(1, 3);
        world.announce(2, height);
        assert!(world.run_to_head(height, world.now + 20_000).is_some(), "block {height}");
    }
}

/// A silent claimant of each next block may cost the slow-down of one request, not its timeout.
#[test]
fn another_peer_is_asked_before_a_silent_one_times_out() {
    let mut world = World::new();
    world.peer(1, Behaviour::Silent, 1_000);
    world.peer(2, HONEST, 1_000);
    let took = world.run_to_head(1_000, 60_000).expect("the honest peer has it");
    assert!(took < 4_000, "took {took} ms");
}

/// Both peers need longer than `slow_after` for an answer: late answers still count.
#[test]
fn slow_answers_are_used() {
    let mut world = World::new();
    world.peer_with_delay(1, HONEST, 1_000, 5_000);
    world.peer_with_delay(2, HONEST, 1_000, 6_000);
    assert!(world.run_to_head(1_000, 60_000).is_some(), "stopped at {}", world.head.number);
    assert!(world.penalised.is_empty());
}

#[test]
fn a_single_missing_block_may_come_by_votes_first() {
    let mut world = World::new();
    world.peer(1, HONEST, 1);
    world.run_for(299);
    assert!(world.fetches.is_empty());
    world.commit(&block(1, "main").header);
    world.run_for(5_000);
    assert!(world.fetches.is_empty(), "it came by votes");
    world.announce(1, 2);
    world.run_for(299);
    assert!(world.fetches.is_empty());
    world.run_for(2);
    assert_eq!(world.fetches, [(node(1), 2, 1)]);
}

#[test]
fn a_larger_gap_is_fetched_at_once() {
    let mut world = World::new();
    world.peer(1, HONEST, 2);
    assert_eq!(world.fetches, [(node(1), 1, 2)]);
}

#[test]
fn blocks_that_came_by_votes_meanwhile_are_not_imported_again() {
    let mut world = World::new();
    world.peer_with_delay(1, HONEST, 10, 100);
    for number in 1..=4 {
        world.commit(&block(number, "main").header);
    }
    assert!(world.run_to_head(10, 60_000).is_some());
    assert_eq!(world.fetches.len(), 1);
}

#[test]
fn a_range_of_a_peer_that_leaves_is_asked_of_another() {
    let mut world = World::new();
    world.peer(1, Behaviour::Silent, 500);
    world.tell(|sync, now, out| sync.on_peer(now, node(1), false, out));
    world.peer(2, HONEST, 500);
    let took = world.run_to_head(500, 60_000).expect("the second peer has it");
    assert!(took < 1_000, "took {took} ms");
    assert!(world.penalised.is_empty(), "leaving is no breach");
}

#[test]
fn coming_back_does_not_clear_a_record() {
    let mut world = World::new();
    world.peer(1, Behaviour::Empty, 500);
    world.run_for(100);
    assert_eq!(world.fetches.len(), 1);
    for _ in 0..10 {
        world.tell(|sync, now, out| sync.on_peer(now, node(1), false, out));
        world.tell(|sync, now, out| sync.on_peer(now, node(1), true, out));
        world.announce(1, 500);
    }
    world.run_for(4_000);
    assert_eq!(world.fetches.len(), 1, "still muted");
}

#[test]
fn own_trouble_blames_nobody_and_is_tried_again() {
    let mut world = World::new();
    world.peer(1, HONEST, 500);
    world.import_fails = true;
    world.run_for(10_000);
    assert!(world.penalised.is_empty());
    assert!(world.fetches.len() < 50, "{} requests in ten seconds", world.fetches.len());
    world.import_fails = false;
    assert!(world.run_to_head(500, world.now + 10_000).is_some());
}

#[test]
fn answers_that_nobody_waits_for_are_ignored() {
    let mut world = World::new();
    world.peer(1, HONEST, 500);
    let blocks = chain(1..4);
    world.tell(|sync, now, out| sync.on_fetched(now, FetchId(99), Ok(blocks), out));
    world.tell(|sync, now, out| sync.on_imported(now, ImportId(99), &Ok(()), out));
    assert!(world.run_to_head(500, 60_000).is_some());
}

fn behaviour(number: u8) -> Behaviour {
    match LIARS.get(usize::from(number)) {
        Some(liar) => *liar,
        None => Behaviour::Honest { most: 1 + 50 * usize::from(number) },
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    /// Whoever else is there, whatever they claim in between: one honest peer is enough.
    #[test]
    fn any_mix_of_peers_with_an_honest_one_reaches_its_head(
        peers in proptest::collection::vec((0_u8..12, 0_u64..3_000, 1_u64..4_000), 0..12),
        claims in proptest::collection::vec((0_usize..12, 0_u64..3_000, 0_u64..3_000), 0..40),
        height in 1_u64..1_500,
    ) {
        let mut world = World::new();
        for (id, (kind, has, delay)) in (10..).zip(&peers) {
            let has = if LIARS.len() > usize::from(*kind) { *has } else { (*has).min(height) };
            world.peer_with_delay(id, behaviour(*kind), has, *delay);
        }
        world.peer(1, HONEST, height);
        for (index, claim, pause) in &claims {
            let Some((kind, ..)) = peers.get(*index) else { continue };
            if LIARS.len() > usize::from(*kind) {
                world.announce(10 + u8::try_from(*index).expect("few peers"), *claim);
            }
            world.run_for(*pause);
        }
        let reached = world.run_to_head(height, world.now + 3_600_000);
        assert!(reached.is_some(), "stopped at {} of {height}", world.head.number);
        assert!(!world.penalised.contains(&node(1)));
    }
}
