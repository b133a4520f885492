//! What `entente privacy` is started with: a manager of private transactions for nodes of another
//! make, without a chain. One TOML file, checked as a node's is.

use crate::{
    ConfigError, LogConfig, P2pConfig, check,
    keys::{Key, Kind, LEVEL, PATH, find_in, key},
    layers::{self, Settings},
    load,
};
use entente_chain::limits::PEERS_MAX;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Longest name of an environment, in bytes.
const ENVIRONMENT_BYTES_MAX: usize = 128;

/// All keys.
#[rustfmt::skip]
static KEYS: [Key; 18] = [
    key("data_dir", Kind::Text, PATH, "Where payloads and the node's own key live."),
    key("environment", Kind::Text, "a name of 1 to 128 bytes, the same at all its members", "Network of managers that exchange payloads."),
    key("q2t.listen", Kind::Text, "an address with a port, such as 127.0.0.1:9101, unless q2t.socket is there", "Where the node asks over HTTP. Whoever reaches it reads every payload."),
    key("q2t.socket", Kind::Text, PATH, "Where the node asks over a unix socket, made with mode 0600."),
    key("q2t.allowed_hosts", Kind::List, "a list of host names", "Names that a request's Host header may have beside IP addresses; `*` is any."),
    key("p2p.listen", Kind::Text, "an address with a port above 0, such as 0.0.0.0:30303", "Address and port for other managers."),
    key("p2p.peers", Kind::List, "a list of nodeid@host:port, node ids in 64 hex digits, each once", "Managers to stay connected with."),
    key("p2p.allowed", Kind::List, "a list of node ids, 64 hex digits each", "Who may connect beside the peers; empty lets everybody of the environment in."),
    key("p2p.pre_shared_key_file", Kind::Text, PATH, "Key of 32 bytes in hex that all managers share."),
    key("p2p.node_key_file", Kind::Text, PATH, "The manager's own key; left out: `node.key` in the data directory, made when missing."),
    key("p2p.max_peers", Kind::Number, "a number of peers from 1 to 128", "Most connected peers."),
    key("privacy.key_folder", Kind::Text, PATH, "Folder of the keys for private transactions."),
    key("privacy.password_file", Kind::Text, PATH, "Password of these keys."),
    key("privacy.default_key", Kind::Text, "a public key of the folder in base64", "The key that sends when a request names none; left out: the first one."),
    key("privacy.states", Kind::List, "a list of NAME=KEY;KEY, each name once, the keys in base64", "Resident groups and the keys that belong to them."),
    key("third_party.listen", Kind::Text, "an address with a port, such as 127.0.0.1:9081", "Where applications may store raw payloads and read keys. Left out: nowhere."),
    key("log.format", Kind::Text, "text or json", "Form of log lines."),
    key("log.level", Kind::Text, LEVEL, "What is logged."),
];

/// The configuration of `entente privacy`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyServiceConfig {
    /// Where payloads and the node's own key live.
    pub data_dir: PathBuf,
    /// Name of the network of managers that exchange payloads.
    pub environment: String,
    /// Where the node asks.
    pub q2t: Q2tConfig,
    /// Other managers.
    #[serde(default)]
    pub p2p: P2pConfig,
    /// Keys and resident groups.
    pub privacy: ServiceKeysConfig,
    /// Where applications ask.
    #[serde(default)]
    pub third_party: ThirdPartyConfig,
    /// What is logged, and how.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[q2t]`: one of the two at least.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Q2tConfig {
    /// Address and port for HTTP; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Path of the unix socket.
    pub socket: Option<PathBuf>,
    /// Names that a request's Host header may have beside IP addresses; `*` is any.
    pub allowed_hosts: Vec<String>,
}

impl Default for Q2tConfig {
    fn default() -> Self {
        Self { listen: None, socket: None, allowed_hosts: vec!["localhost".into()] }
    }
}

/// `[third_party]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThirdPartyConfig {
    /// Address and port for HTTP; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
}

/// `[privacy]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceKeysConfig {
    /// Folder of the keys, as `entente key privacy new` makes them.
    pub key_folder: PathBuf,
    /// Password of the keys.
    pub password_file: PathBuf,
    /// The key that sends when a request names none; left out: the first one.
    pub default_key: Option<String>,
    /// Resident groups: `NAME=KEY;KEY`.
    #[serde(default)]
    pub states: Vec<String>,
}

impl PrivacyServiceConfig {
    /// Reads a file and checks it.
    ///
    /// # Errors
    /// The first thing that is wrong, with where it was set.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut settings = Settings::new();
        layers::read_file(path, &KEYS, &mut settings)?;
        for needed in ["data_dir", "environment", "privacy.key_folder", "privacy.password_file"] {
            expect(&settings, settings.contains_key(needed), needed)?;
        }
        let listens = settings.contains_key("q2t.listen") || settings.contains_key("q2t.socket");
        expect(&settings, listens, "q2t.listen")?;
        let config: Self = load::typed(&KEYS, &settings)?;
        config.check(&settings)?;
        Ok(config)
    }

    fn check(&self, settings: &Settings) -> Result<(), ConfigError> {
        let name = self.environment.len();
        expect(settings, (1..=ENVIRONMENT_BYTES_MAX).contains(&name), "environment")?;
        expect(settings, self.p2p.listen.port() != 0, "p2p.listen")?;
        expect(settings, (1..=PEERS_MAX).contains(&self.p2p.max_peers), "p2p.max_peers")?;
        let nodes: BTreeSet<_> = self.p2p.peers.iter().map(|peer| peer.node).collect();
        expect(settings, nodes.len() == self.p2p.peers.len(), "p2p.peers")?;
        expect(settings, check::is_level(&self.log.level), "log.level")?;
        let servers = [
            ("p2p.listen", Some(self.p2p.listen)),
            ("q2t.listen", self.q2t.listen),
            ("third_party.listen", self.third_party.listen),
        ];
        let mut taken: Vec<(&str, u16)> = Vec::new();
        for (key, listen) in servers {
            let Some(port) = listen.map(|listen| listen.port()).filter(|port| *port != 0) else {
                continue;
            };
            if let Some((other, _)) = taken.iter().find(|(_, used)| *used == port) {
                return Err(load::wrong(settings, key, format!("another port than {other}")));
            }
            taken.push((key, port));
        }
        Ok(())
    }
}

fn expect(settings: &Settings, holds: bool, key: &str) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    let expected = find_in(&KEYS, key).map_or("", |key| key.expected);
    Err(load::wrong(settings, key, expected.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const WHOLE: &str = "data_dir = 'd'\nenvironment = 'e'\n[q2t]\nsocket = 's'\n[privacy]\n\
                         key_folder = 'k'\npassword_file = 'p'\n";

    fn load(text: &str) -> Result<PrivacyServiceConfig, String> {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        file.write_all(text.as_bytes()).expect("written");
        PrivacyServiceConfig::load(file.path()).map_err(|error| {
            let text = error.to_string();
            text.replace(&file.path().display().to_string(), "FILE")
        })
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = load(WHOLE).expect("valid");
        assert_eq!(config.environment, "e");
        assert_eq!(config.q2t, Q2tConfig { socket: Some("s".into()), ..Q2tConfig::default() });
        assert_eq!((config.p2p, config.log), (P2pConfig::default(), LogConfig::default()));
    }

    #[test]
    fn the_sample_is_valid() {
        let sample = include_str!("../../../testnets/samples/privacy/entente-privacy.toml");
        let config = load(sample).expect("valid");
        assert_eq!((config.p2p.peers.len(), config.p2p.allowed.len()), (2, 1));
    }

    #[test]
    fn what_is_wrong_is_told_with_line_key_value_and_expectation() {
        let addition = |text: &str| load(&format!("{WHOLE}{text}"));
        for (outcome, expected) in [
            (load(""), "default: data_dir: got nothing, expected a path"),
            (
                load(&WHOLE.replace("socket = 's'", "")),
                "default: q2t.listen: got nothing, expected an address with a port, such as \
                 127.0.0.1:9101, unless q2t.socket is there",
            ),
            (
                load(&WHOLE.replace("'e'", "''")),
                "FILE:2: environment: got \"\", expected a name of 1 to 128 bytes, the same at all \
                 its members",
            ),
            (
                addition("default_kei = 'x'"),
                "FILE:8: unknown key privacy.default_kei, did you mean privacy.default_key?",
            ),
            (
                addition("[p2p]\npeers = ['a@b:1']"),
                "FILE:9: p2p.peers: got [\"a@b:1\"], expected a list of nodeid@host:port, node ids \
                 in 64 hex digits, each once",
            ),
            (
                addition("[p2p]\nlisten = '127.0.0.1:1'\n[third_party]\nlisten = '127.0.0.1:1'"),
                "FILE:11: third_party.listen: got \"127.0.0.1:1\", expected another port than \
                 p2p.listen",
            ),
            (addition("[genesis]"), "FILE:8: unknown key genesis"),
        ] {
            assert_eq!(outcome.expect_err(expected), expected);
        }
    }
}
