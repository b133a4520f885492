//! `entente run`: a node from a configuration file, until a signal or a failure.

use super::node_settings;
use crate::{logging, wiring::Node};
use anyhow::bail;
use entente_config::Overrides;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `entente run`. Flags win over `ENTENTE_*` variables, those over the file.
#[derive(clap::Args)]
pub(super) struct RunArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Any key of the configuration, such as --set rpc.listen=127.0.0.1:8545
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

pub(super) fn run(args: RunArgs) -> anyhow::Result<()> {
    let config = node_settings::load(&Overrides { file: args.config, set: args.set })?;
    logging::start(&config.log.level, node_settings::log_format(&config.log))?;
    let settings = node_settings::from_config(&config)?;
    super::runtime()?.block_on(async {
        let node = Node::start(settings).await?;
        until_stopped(node).await
    })
}

/// Waits for SIGINT, SIGTERM or a failure, and stops the node in order.
pub(super) async fn until_stopped(mut node: Node) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let failure = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        reason = node.failed() => Some(reason),
    };
    if let Some(reason) = &failure {
        tracing::error!(%reason, "the node cannot go on");
    } else {
        tracing::info!("stopping");
    }
    node.stop().await;
    match failure {
        None => Ok(()),
        Some(reason) => bail!(reason),
    }
}
