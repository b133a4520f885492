//! `entente dev`: one process, one validator, a block whenever a transaction waits.

use super::{account::random_secret, run::until_stopped};
use crate::{
    logging::{self, LogFormat},
    settings::{NetworkSettings, NodeSettings},
    wiring::Node,
};
use alloy_primitives::{B256, U256};
use anyhow::{Context, bail};
use entente_chain::{
    ChainSpec,
    genesis::{Genesis, GenesisBuilder},
    signer::SealSigner,
    spec::EngineKind,
};
use entente_p2p::NodeKey;
use entente_pool::PoolLimits;
use entente_rpc::{Namespace, RpcConfig};
use entente_storage::StorageOptions;
use entente_testnet::{BlockPeriod, DEV_BALANCE_ETHER, TestnetEngine, dev_accounts};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const WEI_PER_ETHER: u64 = 1_000_000_000_000_000_000;

/// Arguments of `entente dev`.
#[derive(clap::Args)]
pub(super) struct DevArgs {
    /// Port of HTTP and WebSocket
    #[arg(long, default_value_t = 8545)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Keep the chain in this folder; without it the chain is gone when the process ends
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Consensus engine: ibft (QBFT headers), istanbul (IBFT 1 headers), raft or clique [default: that of
    /// a kept chain, else ibft]
    #[arg(long)]
    engine: Option<TestnetEngine>,
    /// Time between blocks: on-demand, 1s or 250ms
    #[arg(long, default_value = "on-demand")]
    block_period: BlockPeriod,
    /// Chain id
    #[arg(long, default_value_t = 1337)]
    chain_id: u64,
    /// Level of log lines
    #[arg(long, default_value = "info")]
    log_level: String,
}

pub(super) fn run(args: &DevArgs) -> anyhow::Result<()> {
    logging::start(&args.log_level, LogFormat::Text)?;
    let scratch = match &args.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("no temporary folder for the chain")?),
    };
    let folder = args.data.as_deref().or_else(|| scratch.as_ref().map(tempfile::TempDir::path));
    let folder = folder.context("no folder for the chain")?;
    let settings = settings(args, folder)?;
    let spec = settings.genesis.spec.clone();
    super::runtime()?.block_on(async {
        let node = Node::start(settings).await?;
        if let Some(address) = node.rpc_address() {
            print_banner(address, &spec);
        }
        until_stopped(node).await
    })
}

fn settings(args: &DevArgs, folder: &Path) -> anyhow::Result<NodeSettings> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let secret = validator_secret(&folder.join("validator.key"))?;
    let signer = SealSigner::new(&secret)?;
    let json = genesis_json(args, folder, &signer)?;
    let genesis = Genesis::parse(json.as_bytes())?;
    let kept = TestnetEngine(genesis.spec.engine_at(0));
    if let Some(asked) = args.engine.filter(|asked| *asked != kept) {
        bail!("{} holds a chain of {kept}, not of {asked}: take another folder", folder.display());
    }
    let network = NetworkSettings {
        key: NodeKey::generate(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        peers: Vec::new(),
        allowed: Some(std::collections::BTreeSet::new()),
        pre_shared_key: None,
        max_peers: 1,
    };
    let rpc = RpcConfig {
        listen: SocketAddr::new(args.host, args.port),
        cors_origins: vec!["*".to_owned()],
        namespaces: Namespace::ALL.to_vec(),
        ..RpcConfig::default()
    };
    Ok(NodeSettings {
        genesis,
        genesis_json: json.into_bytes(),
        database: super::init::database_folder(folder),
        storage: StorageOptions::default(),
        private: None,
        accounts: Vec::new(),
        signer: Some(signer),
        network,
        rpc: Some(rpc),
        pool: PoolLimits::default(),
        vanity: B256::ZERO,
        metrics: PrometheusBuilder::new().install_recorder()?,
    })
}

/// The key of the one validator, kept beside the chain so that a kept chain goes on.
fn validator_secret(path: &Path) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    if path.exists() {
        return crate::keystore::load(path, None);
    }
    let secret = random_secret();
    let digits = Zeroizing::new(hex::encode(secret.as_slice()));
    crate::secret_file::write_new(path, &digits)?;
    Ok(secret)
}

/// The genesis file of a kept chain, or a new one.
fn genesis_json(args: &DevArgs, folder: &Path, signer: &SealSigner) -> anyhow::Result<String> {
    let path = folder.join("genesis.json");
    if path.exists() {
        return std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()));
    }
    let balance = U256::from(DEV_BALANCE_ETHER) * U256::from(WEI_PER_ETHER);
    let mut builder = GenesisBuilder::new(args.chain_id, vec![signer.address()]);
    builder.accounts =
        dev_accounts().into_iter().map(|account| (account.address, balance)).collect();
    builder.engine = args.engine.map_or(EngineKind::Qbft, |engine| engine.0);
    builder.block_period_ms = entente_testnet::period_ms(builder.engine, args.block_period);
    let json = builder.to_json();
    std::fs::write(&path, &json).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(json)
}

fn print_banner(address: SocketAddr, spec: &ChainSpec) {
    println!(
        "Ten accounts with {DEV_BALANCE_ETHER} ether each (keys are public: never use them elsewhere)\n"
    );
    for (index, account) in dev_accounts().iter().enumerate() {
        println!("({index}) {}  {}", account.address, account.private_key);
    }
    let engine = TestnetEngine(spec.engine_at(0));
    println!(
        "\nchain id {}, engine {engine}, base fee 0, a gas price of 0 is accepted",
        spec.chain_id
    );
    println!("READY http://{address} ws://{address}");
}
