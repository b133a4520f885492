//! `entente config`: what a node would run with.

use super::{node_settings, run::RunArgs};
use entente_config::Overrides;

/// Verbs of `entente config`.
#[derive(clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Show the configuration that a node would run with
    Show {
        #[command(flatten)]
        args: RunArgs,
        /// Every key with its value and where it comes from
        #[arg(long)]
        effective: bool,
    },
    /// Print the reference page of all keys
    Reference,
}

pub(super) fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show { args, effective } => {
            let config = node_settings::load(&Overrides { file: args.config, set: args.set })?;
            if effective {
                for entry in config.effective() {
                    println!("{} = {}  # {}", entry.key, entry.value, entry.origin);
                }
            } else {
                print!("{}", config.to_toml());
            }
        }
        ConfigCommand::Reference => print!("{}", entente_config::reference_markdown()),
    }
    Ok(())
}
