//! `entente privacy`: a private transaction manager without a chain, until a signal or a failure.

use super::{node_settings, private_settings};
use crate::{
    logging,
    privacy_service::{PrivacyService, PrivacyServiceSettings},
};
use anyhow::{Context as _, bail};
use entente_config::{PrivacyConfig, PrivacyServiceConfig};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `entente privacy`.
#[derive(clap::Args)]
pub(super) struct PrivacyArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &PrivacyArgs) -> anyhow::Result<()> {
    let config = PrivacyServiceConfig::load(&args.config)?;
    logging::start(&config.log.level, node_settings::log_format(&config.log))?;
    let settings = settings(config)?;
    super::runtime()?.block_on(async {
        let service = PrivacyService::start(settings).await?;
        until_stopped(service).await
    })
}

fn settings(config: PrivacyServiceConfig) -> anyhow::Result<PrivacyServiceSettings> {
    let keys = PrivacyConfig {
        key_folder: Some(config.privacy.key_folder),
        password_file: Some(config.privacy.password_file),
        default_key: config.privacy.default_key,
        states: config.privacy.states,
        ..PrivacyConfig::default()
    };
    Ok(PrivacyServiceSettings {
        private: private_settings::private(&keys)?.context("privacy.key_folder")?,
        network: node_settings::network(&config.p2p, &config.data_dir)?,
        data_dir: config.data_dir,
        environment: config.environment,
        listen: config.q2t.listen,
        socket: config.q2t.socket,
        third_party: config.third_party.listen,
        allowed_hosts: config.q2t.allowed_hosts,
    })
}

async fn until_stopped(mut service: PrivacyService) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let failure = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        reason = service.failed() => Some(reason),
    };
    service.stop().await;
    match failure {
        None => Ok(()),
        Some(reason) => bail!(reason),
    }
}
