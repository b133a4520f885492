//! Test networks on one machine: the library behind `entente testnet init|up|down|status`.
//!
//! A network is a folder: keys, a genesis file and one configuration per node are generated once
//! ([`init`]), one operating-system process per validator runs from them ([`up`]). Everything
//! listens on loopback, and every port lies in the fifty from the base port on.
//!
//! Never for production: the keys of the funded accounts are public and those of the validators lie
//! beside each other on one disk. Read on at [`layout::Layout`] (what a folder holds) and [`up`].

mod accounts;
mod down;
mod error;
mod genesis;
mod init;
mod keys;
pub mod layout;
mod logs;
pub mod manifest;
mod node_config;
mod options;
mod pid_file;
mod ports;
mod private_keys;
mod process;
mod readiness;
pub mod rpc;
mod status;
mod template;
mod up;

pub use accounts::{DEV_BALANCE_ETHER, DEV_MNEMONIC, DevAccount, dev_accounts};
pub use down::down;
pub use error::TestnetError;
pub use genesis::period_ms;
pub use init::init;
pub use options::{BlockPeriod, OptionError, TestnetEngine, TestnetOptions, VALIDATORS_MAX};
pub use status::status;
pub use template::options_after;
pub use up::up;
