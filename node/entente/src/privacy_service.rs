//! `entente privacy`: private transactions for nodes of another make, as Tessera serves them, and
//! without a chain. The keys, payloads and exchange are those of a node; what differs is who asks.
//!
//! ```text
//! GoQuorum --REST--> server --> api --> private desk <--> payloads on disk
//!                                            ^
//! other managers --p2p--> payload threads ---+
//! ```

mod api;
mod failure;
mod forms;
mod resource;
mod server;
mod socket;

use crate::{
    clock::Clock,
    private_node::{
        self, ExchangePorts, KeyMaker, PayloadStall, PrivateDesk, PrivateInput, PrivateInputs,
        PrivateSettings,
    },
    settings::NetworkSettings,
    stop::{self, Stop},
};
use alloy_primitives::keccak256;
use anyhow::{Context as _, bail};
use api::Api;
use entente_chain::{EnvironmentId, NodeId};
use entente_ledger::Residents;
use entente_p2p::{Asked, Frame, NetworkEvent, NetworkEvents, NetworkHandle, Response};
use entente_privacy::{
    DatabaseCipher, KdfCost, KeyStore, OpenedKeys, Privacy, PrivacySettings, Randomness,
};
use entente_storage::{Database, StorageOptions};
use server::{Door, Listener};
use socket::SocketFile;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

/// How long the parties of a payload are waited for, in milliseconds: less than the five seconds
/// after which GoQuorum gives up, so that its user hears which key did not answer.
const DELIVERY_TIMEOUT: u64 = 4_000;
/// No chain, no chain id; the name of the environment tells networks apart.
const CHAIN_ID: u64 = 0;
/// What sets environments apart from the genesis hashes of chains.
const ENVIRONMENT_DOMAIN: &[u8] = b"entente privacy environment 1 ";
/// Holds the name that the payloads of a data folder belong to.
const ENVIRONMENT_FILE: &str = "environment";

/// What the service is started with.
pub(crate) struct PrivacyServiceSettings {
    /// Where payloads live.
    pub(crate) data_dir: PathBuf,
    /// Name of the network of managers.
    pub(crate) environment: String,
    /// Keys and resident groups.
    pub(crate) private: PrivateSettings,
    /// The network.
    pub(crate) network: NetworkSettings,
    /// Where the node asks.
    pub(crate) listen: Option<SocketAddr>,
    /// Where the node asks over a unix socket.
    pub(crate) socket: Option<PathBuf>,
    /// Where applications ask.
    pub(crate) third_party: Option<SocketAddr>,
    /// Names that a Host header may have.
    pub(crate) allowed_hosts: Vec<String>,
}

/// A running service.
pub(crate) struct PrivacyService {
    network: NetworkHandle,
    stall: Arc<PayloadStall>,
    threads: Vec<JoinHandle<()>>,
    doors: Vec<tokio::task::JoinHandle<()>>,
    stopping: watch::Sender<bool>,
    socket: Option<SocketFile>,
    stop: Stop,
}

impl PrivacyService {
    /// Starts every part. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When keys, database, network or servers cannot start.
    pub(crate) async fn start(settings: PrivacyServiceSettings) -> anyhow::Result<Self> {
        let environment = environment_of(&settings.environment);
        claim_folder(&settings.data_dir, &settings.environment)?;
        let node = settings.network.key.node_id();
        let (privacy, database, keys) = open_privacy(&settings, (environment, node))?;
        let residents = residents(&privacy, &settings.private)?;
        let config = settings.network.config(environment, CHAIN_ID, None);
        let (network, events) = entente_p2p::start(config)?;
        // There is no chain: all are at the same head for ever.
        network.set_head(0, environment.0, 0);
        let (stop, stall) = (Stop::default(), Arc::<PayloadStall>::default());
        let desk = Arc::new(PrivateDesk::new(
            (Arc::new(privacy), Arc::new(residents)),
            network.clone(),
            Arc::default(),
            Arc::clone(&stall),
            (Clock::start(), keys),
        ));
        let ports = ExchangePorts {
            desk: Arc::clone(&desk),
            reader: database.reader(),
            peers: settings.network.peers.iter().map(|peer| peer.node).collect(),
        };
        let NetworkEvents { urgent, transactions, payloads, requests } = events;
        let (inputs, threads) = private_node::start(ports, payloads, &stop.handle())?;
        tokio::spawn(tell_sessions(urgent, inputs));
        tokio::spawn(drain(transactions));
        tokio::spawn(decline(requests));
        let groups = settings.private.residents.iter().map(|resident| resident.id.clone());
        let api = Arc::new(Api { desk, groups: groups.collect() });
        let (stopping, stops) = watch::channel(false);
        let (doors, socket) = open_doors(&settings, &api, &stops).await?;
        tracing::info!(%node, p2p = %network.local_address(), "private transaction manager started");
        Ok(Self { network, stall, threads, doors, stopping, socket, stop })
    }

    /// Waits until a part failed; tells why.
    pub(crate) async fn failed(&mut self) -> String {
        self.stop.failed().await
    }

    /// Takes no new requests, waits for open ones, then ends the exchange.
    pub(crate) async fn stop(self) {
        self.stopping.send_replace(true);
        for door in self.doors {
            drop(door.await);
        }
        drop(self.socket);
        self.stall.stop();
        self.network.shutdown().await;
        stop::join(self.threads).await;
    }
}

/// Stands where a chain's genesis hash does: in protocol names, proofs and ciphers.
fn environment_of(name: &str) -> EnvironmentId {
    EnvironmentId(keccak256([ENVIRONMENT_DOMAIN, name.as_bytes()].concat()))
}

/// Payloads of one environment do not open in another: better to say so at the start.
fn claim_folder(folder: &Path, environment: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("data_dir: cannot create {}", folder.display()))?;
    let path = folder.join(ENVIRONMENT_FILE);
    match std::fs::read(&path) {
        Ok(stored) if stored == environment.as_bytes() => Ok(()),
        Ok(stored) => bail!(
            "environment: got {environment:?}, but {} holds payloads of {:?}",
            folder.display(),
            String::from_utf8_lossy(&stored)
        ),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(&path, environment)
                .with_context(|| format!("data_dir: cannot write {}", path.display()))
        }
        Err(cause) => Err(cause).with_context(|| format!("data_dir: {}", path.display())),
    }
}

fn open_privacy(
    settings: &PrivacyServiceSettings,
    place: (EnvironmentId, NodeId),
) -> anyhow::Result<(Privacy, Database, KeyMaker)> {
    let private = &settings.private;
    let database = Database::open(&settings.data_dir.join("payloads"), &StorageOptions::default())?;
    let randomness = Arc::new(Randomness::from_os()?);
    let store = KeyStore::new(private.keys.clone(), KdfCost::default());
    let OpenedKeys { parties, database: key } =
        store.open(&private.password).context("privacy.key_folder")?;
    if parties.is_empty() {
        bail!("privacy.key_folder: there is no key in {}", private.keys.display());
    }
    let cipher = DatabaseCipher::new(key, "payloads", Arc::clone(&randomness));
    let records = database.private_records(Arc::new(cipher))?;
    let privacy_settings = PrivacySettings {
        default_sender: private.default_sender,
        delivery_timeout: DELIVERY_TIMEOUT,
        ..PrivacySettings::default()
    };
    let privacy =
        Privacy::open(records, parties, place, Arc::clone(&randomness), &privacy_settings)
            .context("privacy.default_key")?;
    let keys = KeyMaker::new(store, private.password.clone(), randomness);
    Ok((privacy, database, keys))
}

fn residents(privacy: &Privacy, settings: &PrivateSettings) -> anyhow::Result<Residents> {
    let residents = Residents::default();
    let ours = privacy.keys();
    for resident in &settings.residents {
        if let Some(key) = resident.keys.iter().find(|key| !ours.contains(key)) {
            let folder = settings.keys.display();
            bail!("privacy.states: {key} of {} is not in {folder}", resident.id);
        }
        residents.assign(&resident.id, resident.keys.iter().copied());
    }
    Ok(residents)
}

type Doors = (Vec<tokio::task::JoinHandle<()>>, Option<SocketFile>);

async fn open_doors(
    settings: &PrivacyServiceSettings,
    api: &Arc<Api>,
    stops: &watch::Receiver<bool>,
) -> anyhow::Result<Doors> {
    let mut doors = Vec::new();
    let mut open = |third_party, hosts, listener| {
        let door = Arc::new(Door::new(Arc::clone(api), third_party, hosts));
        doors.push(tokio::spawn(door.serve(listener, stops.clone())));
    };
    let servers = [
        ("q2t.listen", settings.listen, false),
        ("third_party.listen", settings.third_party, true),
    ];
    for (key, listen, third_party) in servers {
        let Some(listen) = listen else { continue };
        let bound = TcpListener::bind(listen).await;
        let listener = bound.with_context(|| format!("{key}: cannot listen on {listen}"))?;
        tracing::info!(address = %listener.local_addr()?, "{key}");
        let hosts = Some(settings.allowed_hosts.clone());
        open(third_party, hosts, Listener::Tcp(listener));
    }
    let mut file = None;
    if let Some(path) = &settings.socket {
        let (listener, bound) = socket::bind(path)?;
        file = Some(bound);
        tracing::info!(path = %path.display(), "q2t.socket");
        open(false, None, Listener::Unix(listener));
    }
    Ok((doors, file))
}

/// Heads and votes mean nothing here.
async fn tell_sessions(mut urgent: mpsc::Receiver<NetworkEvent>, inputs: PrivateInputs) {
    while let Some(event) = urgent.recv().await {
        match event {
            NetworkEvent::Connected(peer) => inputs.tell(PrivateInput::Connected(peer.node)),
            NetworkEvent::Disconnected { node, .. } => {
                inputs.tell(PrivateInput::Disconnected(node));
            }
            NetworkEvent::Frame(_) | NetworkEvent::PeerHead { .. } => {}
        }
    }
}

/// Sessions need somebody to read each of their queues.
async fn drain(mut frames: mpsc::Receiver<Frame>) {
    while frames.recv().await.is_some() {}
}

/// There are no blocks.
async fn decline(mut requests: mpsc::Receiver<Asked>) {
    while let Some(asked) = requests.recv().await {
        asked.reply.send(Response::Blocks(Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_belongs_to_one_environment() {
        let folder = tempfile::tempdir().expect("folder");
        let data = folder.path().join("data");
        claim_folder(&data, "trade").expect("new");
        claim_folder(&data, "trade").expect("the same");
        let error = claim_folder(&data, "other").expect_err("another").to_string();
        assert!(error.starts_with("environment: got \"other\", but "), "{error}");
        assert_ne!(environment_of("trade"), environment_of("other"));
    }
}
