//! Named situations in a simulated cluster.

use crate::raft_world::World;
use entente_consensus::{Operation, engine::MemberChange};

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

/// The leader is gone: another one has the next block out within two seconds.
#[test]
fn a_lost_leader_costs_less_than_two_seconds() {
    for seed in 0..30 {
        let (mut world, leader) = led(5, 5, 2, seed);
        world.set_waiting(true);
        world.run(1_000);
        world.crash(leader);
        let target = world.top() + 1;
        let took = world.run_until(5_000, |world| world.top() >= target);
        assert!(took < 2_000, "seed {seed}: {took} ms");
    }
}

/// Ongaro 9.6, quorum#1282: a node that comes back must not drive a good leader out.
#[test]
fn a_node_that_comes_back_does_not_disturb_the_leader() {
    for seed in 0..10 {
        let (mut world, leader) = led(5, 5, 2, seed);
        let away = (leader + 1) % 5;
        let term = world.status(leader).round;
        world.cut_off(away);
        world.run(10_000);
        world.heal();
        world.set_waiting(true);
        world.run(5_000);
        assert_eq!(world.leader(), Some(leader), "seed {seed}");
        assert_eq!(world.status(leader).round, term, "seed {seed}");
        assert_eq!(world.status(away).round, term, "it follows again");
    }
}

/// A leader that only one follower does not hear goes on, and so does a chain whose leader hears all
/// and is heard by a bare majority.
#[test]
fn a_broken_link_between_two_nodes_stops_nothing() {
    for seed in 0..10 {
        let (mut world, leader) = led(3, 3, 2, seed);
        world.link(leader, (leader + 1) % 3, false);
        world.set_waiting(true);
        let target = world.top() + 20;
        world.run_until(10_000, |world| world.heights().into_iter().all(|it| it >= target));
    }
}

/// Every disk but the chain is lost, one after the other: terms begin at the head's.
#[test]
fn a_cluster_that_lost_all_records_goes_on() {
    let (mut world, _) = led(3, 3, 20, 1);
    for _ in 0..4 {
        let leader = world.leader().expect("a leader");
        world.set_waiting(true);
        world.run(500);
        world.crash(leader);
        world.run_until(5_000, |world| world.leader().is_some_and(|other| other != leader));
        world.run(500);
        world.start(leader);
        world.run(1_000);
    }
    assert!(world.status(0).round >= 4);
    world.set_waiting(false);
    world.run(2_000);
    for node in 0..3 {
        world.crash(node);
        world.wipe(node, false);
    }
    world.run(100);
    for node in 0..3 {
        world.start(node);
    }
    let target = world.top() + 3;
    world.set_waiting(true);
    world.run_until(10_000, |world| world.heights().into_iter().all(|it| it >= target));
}

/// GoQuorum's way: a node is added first and started later, here with an empty disk.
#[test]
fn a_voter_is_added_then_started_and_then_counts() {
    let (mut world, leader) = led(4, 3, 2, 5);
    world.crash(3);
    world.set_waiting(true);
    let member = world.address(3);
    let change = MemberChange::AddVoter;
    world.operate((leader + 1) % 3, Operation::ChangeMember { member, change });
    world.run_until(5_000, |world| world.position(leader).next.len() == 4);
    world.start(3);
    world.run_until(5_000, |world| world.is_up(3) && world.status(3).role == "voter");
    // With one of the old ones away it takes the new one.
    let away = (leader + 1) % 3;
    world.crash(away);
    let target = world.top() + 10;
    world.run_until(5_000, |world| world.height(3) >= target);
}

#[test]
fn a_learner_follows_and_is_promoted() {
    let (mut world, leader) = led(4, 3, 2, 6);
    world.set_waiting(true);
    let member = world.address(3);
    for (change, role) in [(MemberChange::AddLearner, "learner"), (MemberChange::Promote, "voter")]
    {
        world.operate(leader, Operation::ChangeMember { member, change });
        world.run_until(5_000, |world| world.status(3).role == role);
        let target = world.top() + 10;
        world.run_until(5_000, |world| world.height(3) >= target);
    }
    assert_eq!(world.position(3).next.len(), 4);
}

/// R7: a removed leader steps down, and none of its words count any more.
#[test]
fn a_removed_leader_leaves_the_others_alone() {
    for seed in 0..10 {
        let (mut world, leader) = led(4, 4, 2, seed);
        world.set_waiting(true);
        let (member, change) = (world.address(leader), MemberChange::Remove);
        world.operate(leader, Operation::ChangeMember { member, change });
        world.run_until(5_000, |world| world.leader().is_some_and(|other| other != leader));
        world.run(5_000);
        let other = world.leader().expect("a leader");
        let term = world.status(other).round;
        world.run(10_000);
        assert_eq!((world.leader(), world.status(other).round), (Some(other), term));
        assert!(world.height(leader) + 20 >= world.top(), "block sync still brings it all");
    }
}

#[test]
fn leadership_is_handed_over_without_an_election() {
    for seed in 0..10 {
        let (mut world, leader) = led(3, 3, 2, seed);
        world.set_waiting(true);
        let to = (leader + 1) % 3;
        let asked = (leader + 2) % 3;
        let operation = Operation::TransferLeadership { to: world.address(to) };
        world.operate(asked, operation);
        let took = world.run_until(2_000, |world| world.leader() == Some(to));
        assert!(took < 500, "seed {seed}: {took} ms");
        assert_eq!(world.seen.handed_over, 2, "one question to each of the others");
    }
}

/// Other voters refuse blocks whose time is ahead of their clocks: somebody else leads.
#[test]
fn a_leader_with_a_wrong_clock_does_not_stop_the_chain() {
    let (mut world, leader) = led(3, 3, 2, 3);
    world.set_skew(leader, 600_000);
    world.set_waiting(true);
    let (second, third) = others(leader);
    world.run_until(10_000, |world| world.height(second) > 20 && world.height(third) > 20);
    assert!(world.reports.contains(&"proposed an invalid block"));
}

/// A disk that was lost with the chain on it: the node syncs, asks, and votes again.
#[test]
fn a_wiped_voter_comes_back() {
    for seed in 0..10 {
        let (mut world, leader) = led(3, 3, 2, seed);
        world.set_waiting(true);
        world.run(2_000);
        world.crash(leader);
        world.wipe(leader, true);
        world.run(3_000);
        world.start(leader);
        world.run_until(10_000, |world| world.status(leader).role == "voter");
        let (second, _) = others(leader);
        world.crash(second);
        let target = world.top() + 5;
        world.run_until(5_000, |world| world.height(leader) >= target);
    }
}
