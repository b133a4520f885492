//! Named situations in a simulated network.

use crate::{ibft_chain::Timing, ibft_world::World};
use entente_chain::extra_data::qbft::QbftExtra;

fn healthy(count: usize, timing: Timing) -> World {
    let mut world = World::new(count, timing, 1, false);
    world.run(3 * timing.period.max(1000));
    world
}

fn round_of(world: &World, number: u64) -> u64 {
    let extra = &world.block(0, number).header.extra_data;
    QbftExtra::decode(extra).expect("extraData").round
}

#[test]
fn blocks_of_a_healthy_network_keep_the_beat_of_their_period() {
    for count in [1, 2, 3, 4, 5, 7] {
        let mut world = World::new(count, Timing::default(), 3, false);
        world.run(20_500);
        assert!(world.height(0) >= 19, "{count} validators: {:?}", world.heights());
        assert_eq!(world.round_max, 0, "no round was given up");
    }
}

/// L4: nobody waits a whole timeout for a validator that is known to be away.
#[test]
fn one_dead_validator_of_four_costs_less_than_two_periods_at_its_turn() {
    let timing = Timing { period: 1000, timeout: 4000, ..Timing::default() };
    let mut world = healthy(4, timing);
    world.crash(3);
    let limit = 2 * timing.period;
    for _ in 0..12 {
        let next = world.height(0) + 1;
        // The period itself, and less than two of them for a dead proposer.
        let took = world.run_until(60_000, |world| world.height(0) >= next);
        assert!(took < timing.period + limit, "block {next} took {took} ms");
    }
}

/// besu#7642, goal L3: however long the quorum was away, the next block comes within the cap.
#[test]
fn a_quorum_lost_for_ten_minutes_goes_on_within_the_cap() {
    let timing = Timing { timeout: 2000, cap: 20_000, ..Timing::default() };
    let mut world = healthy(4, timing);
    world.partition(&[&[0, 1], &[2], &[3]]);
    world.run(600_000);
    let stuck = world.height(0);
    world.heal();
    let took = world.run_until(2 * timing.cap, |world| world.height(0) > stuck);
    assert!(took <= timing.cap, "{took} ms after healing");
}

/// L3 again: one validator was alone for long, the rest of the quorum was down meanwhile.
#[test]
fn a_validator_that_was_alone_for_long_is_met_within_the_cap() {
    let timing = Timing { timeout: 2000, cap: 10_000, ..Timing::default() };
    let mut world = healthy(4, timing);
    for node in 1..4 {
        world.crash(node);
    }
    world.run(600_000);
    let stuck = world.height(0);
    world.start(1);
    world.start(2);
    world.run_until(2 * timing.cap + 3000, |world| world.height(0) > stuck);
}

/// On demand: no block and no round change while nothing waits, one at once when something does.
#[test]
fn a_chain_on_demand_sleeps_until_a_transaction_waits() {
    let timing = Timing { period: 0, ..Timing::default() };
    let mut world = World::new(4, timing, 5, false);
    world.run(120_000);
    assert_eq!((world.height(0), world.round_max), (0, 0));
    world.set_waiting(true);
    world.run_until(500, |world| world.height(0) >= 1);
}

#[test]
fn empty_blocks_come_after_the_empty_period_only() {
    let timing = Timing { period: 1000, empty_period: Some(10_000), ..Timing::default() };
    let mut world = World::new(4, timing, 5, false);
    world.run(40_900);
    assert!((3..=4).contains(&world.height(0)), "{:?}", world.heights());
    assert_eq!(world.round_max, 0);
}

/// A clock that is far ahead costs its validator its turns; the others go on.
#[test]
fn a_validator_with_a_clock_an_hour_ahead_does_not_stop_the_others() {
    let mut world = healthy(4, Timing { timeout: 1000, ..Timing::default() });
    world.set_skew(2, 3_600_000);
    world.run(30_000);
    let last = world.height(0);
    assert!(last > 10, "{:?}", world.heights());
    let ahead = world.block(0, last).header.timestamp * 1000;
    assert!(ahead < crate::ibft_world::START_UNIX + world.now + 6000);
}

/// A block that may have been decided is proposed again.
#[test]
fn a_prepared_block_is_proposed_again_after_the_round_changed() {
    let mut found = 0;
    for seed in 0..40 {
        let mut world = World::new(4, Timing { timeout: 600, ..Timing::default() }, seed, false);
        world.faults.loss = 35;
        world.run(20_000);
        for number in 1..=world.height(0) {
            let proposer = world.block(0, number).header.beneficiary;
            let status = world.status(0);
            // Decided in a later round, but built by the proposer of an earlier one.
            let addresses: Vec<_> = status.validators.iter().map(|seen| seen.address).collect();
            let place = |who| addresses.iter().position(|other| *other == who);
            let last = number.checked_sub(2).map(|_| world.block(0, number.max(2) - 1));
            let first = match last.filter(|_| number > 1).map(|block| block.header.beneficiary) {
                Some(last) => (place(last).expect("validator") + 1) % 4,
                None => 0,
            };
            let turn = usize::try_from(round_of(&world, number)).expect("small");
            found += usize::from((first + turn) % 4 != place(proposer).expect("validator"));
        }
    }
    assert!(found > 0, "forty lossy networks must show one");
}

/// A validator whose disk was wiped and that hears its own old votes does not contradict them.
#[test]
fn a_wiped_validator_rejoins() {
    let mut world = healthy(4, Timing::default());
    world.crash(1);
    world.forget_log(1);
    world.run(5000);
    world.start(1);
    let target = world.height(0) + 4;
    world.run_until(30_000, |world| (0..4).all(|node| world.height(node) >= target));
}
