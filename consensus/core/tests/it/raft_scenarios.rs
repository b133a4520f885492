//! Named situations in a simulated cluster.

use crate::raft_world::World;

/// A cluster with a leader, where nothing waits and a block is due as soon as something does; the
/// next one after it comes `period` later.
fn led(count: usize, voters: usize, period: u64, seed: u64) -> (World, usize) {
    let mut world = World::new(count, voters, period, seed);
    world.run_until(5_000, |world| world.leader().is_some());
    world.run(period.max(200));
    let leader = world.leader().expect("a leader");
    (world, leader)
}

/// The others of a cluster of three.
fn others(leader: usize) -> (usize, usize) {
    ((leader + 1) % 3, (leader + 2) % 3)
}

/// R3, R4: a block that only its leader accepted must not come back over the one that the others
/// committed at its height, even if the only other voter left is one that has committed it and
/// nothing above.
#[test]
fn a_block_of_a_lost_leader_never_replaces_a_committed_one() {
    for seed in 0..20 {
        let (mut world, first) = led(3, 3, 3_000, seed);
        let (second, third) = others(first);
        world.cut_off(first);
        world.set_waiting(true);
        world.run_until(5_000, |world| world.height(second) > 0 && world.height(third) > 0);
        world.set_waiting(false);
        world.run(1_000);
        assert_eq!(world.heights().iter().sum::<u64>(), 2, "one block, on two nodes");
        // One of the others goes, before block sync has brought the first one anything.
        world.crash(second);
        world.block_sync = false;
        world.link(first, third, true);
        world.run(5_000);
        world.block_sync = true;
        world.set_waiting(true);
        let target = world.height(third) + 2;
        world.run_until(10_000, |world| world.height(first) >= target);
    }
}
