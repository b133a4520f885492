//! `entente testnet`: local networks, one process per validator.

use entente_testnet::{BlockPeriod, TestnetEngine, TestnetOptions};
use std::{io::stdout, path::PathBuf};

/// What a network is made with.
#[derive(clap::Args)]
pub(super) struct NetworkArgs {
    /// Folder of the network
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Consensus engine: ibft (QBFT headers), istanbul (IBFT 1 headers), raft or clique
    #[arg(long, default_value = "ibft")]
    engine: TestnetEngine,
    /// Number of validators
    #[arg(long, default_value_t = 4)]
    validators: u16,
    /// Node i serves HTTP and WebSocket on this port + i
    #[arg(long, default_value_t = 8545)]
    base_port: u16,
    /// Time between blocks: 1s, 250ms or on-demand [default: 1s, with raft on-demand]
    #[arg(long)]
    block_period: Option<BlockPeriod>,
    /// Chain id
    #[arg(long, default_value_t = 1337)]
    chain_id: u64,
    /// Gas limit of blocks
    #[arg(long, default_value_t = 200_000_000)]
    gas_limit: u64,
    /// Make the network after a genesis file: new keys take the places of its validators
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["engine", "validators", "block_period", "chain_id", "gas_limit"]
    )]
    genesis: Option<PathBuf>,
    /// Private transactions: a key for payloads and an account to send from for each node
    #[arg(long)]
    private: bool,
}

/// Verbs of `entente testnet`.
#[derive(clap::Subcommand)]
pub(super) enum TestnetCommand {
    /// Make keys, genesis and configuration files
    Init(NetworkArgs),
    /// Make the network if needed and run it until Ctrl-C
    Up(NetworkArgs),
    /// Stop a running network
    Down {
        /// Folder of the network
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Show what each node is doing
    Status {
        /// Folder of the network
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

impl NetworkArgs {
    fn options(self) -> anyhow::Result<TestnetOptions> {
        let options = TestnetOptions {
            dir: self.dir,
            engine: self.engine,
            validators: self.validators,
            base_port: self.base_port,
            block_period: self.block_period.unwrap_or_else(|| self.engine.default_period()),
            chain_id: self.chain_id,
            gas_limit: self.gas_limit,
            template: None,
            private: self.private,
        };
        match self.genesis {
            Some(file) => Ok(entente_testnet::options_after(options, &file)?),
            None => Ok(options),
        }
    }
}

pub(super) fn run(command: TestnetCommand) -> anyhow::Result<()> {
    let runtime = super::runtime()?;
    match command {
        TestnetCommand::Init(args) => {
            let options = args.options()?;
            entente_testnet::init(&options)?;
            println!("network in {}", options.dir.display());
        }
        TestnetCommand::Up(args) => {
            let binary = std::env::current_exe()?;
            runtime.block_on(entente_testnet::up(&args.options()?, &binary, &mut stdout()))?;
        }
        TestnetCommand::Down { dir } => {
            runtime.block_on(entente_testnet::down(&dir, &mut stdout()))?;
        }
        TestnetCommand::Status { dir } => {
            runtime.block_on(entente_testnet::status(&dir, &mut stdout()))?;
        }
    }
    Ok(())
}
