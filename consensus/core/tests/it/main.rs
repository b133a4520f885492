//! Whole engines against their rules and in simulated networks.

#![expect(clippy::expect_used, clippy::panic, reason = "what helpers refuse fails their test")]

mod clique_bench;
mod clique_branches;
mod clique_hostile;
mod clique_rules;
mod ibft_bench;
mod ibft_chain;
mod ibft_rules;
mod ibft_scenarios;
mod ibft_seeds;
mod ibft_world;
mod leaving_clique;
mod qbft_specification;
mod raft_bench;
mod raft_building;
mod raft_chain;
mod raft_elections;
mod raft_hostile;
mod raft_members;
mod raft_memory;
mod raft_rules;
mod raft_scenarios;
mod raft_seeds;
mod raft_switch;
mod raft_world;
mod rules;
mod sync;
