use crate::{
    ConfigError, History, LogFormat, NodeConfig, Origin, Overrides, PeerAddress, keys, layers,
    reference_markdown,
};
use std::{collections::BTreeSet, io::Write};

fn load(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<NodeConfig, ConfigError> {
    let mut temporary = tempfile::NamedTempFile::new().expect("temporary file");
    temporary.write_all(file.as_bytes()).expect("written");
    let overrides = Overrides {
        file: Some(temporary.path().into()),
        set: flags.iter().map(|flag| (*flag).to_owned()).collect(),
    };
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    NodeConfig::load_with(&overrides, variables)
}

/// The error without the folder of the temporary file.
fn refused(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> String {
    let text = load(file, variables, flags).expect_err("must be refused").to_string();
    text.split_once(':')
        .filter(|(path, _)| path.contains('/'))
        .map_or_else(|| text.clone(), |(_, rest)| rest.into())
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let file = "[p2p]\nmax_peers = 5\n[storage]\ncache_mib = 7\nhistory = 9\n[log]\nlevel = 'warn'";
    let variables =
        [("ENTENTE_STORAGE__CACHE_MIB", "8"), ("ENTENTE_LOG_LEVEL", "debug"), ("HOME", "/")];
    let config = load(file, &variables, &["log.level=trace"]).expect("valid");
    assert_eq!((config.p2p.max_peers, config.storage.cache_mib), (5, 8));
    assert_eq!(config.log.level, "trace");
    assert_eq!(config.storage.history, History::Last(9));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.origin("log.level"), Origin::Flag);
    assert_eq!(
        config.origin("storage.cache_mib"),
        Origin::Environment("ENTENTE_STORAGE__CACHE_MIB".into())
    );
    assert!(matches!(config.origin("storage.history"), Origin::File { line: 5, .. }));
    assert_eq!(config.origin("rpc.listen"), Origin::Default);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_likely_one() {
    let error = refused("[p2p]\n\nlisten_ = '0.0.0.0:1'", &[], &[]);
    assert_eq!(error, "3: unknown key p2p.listen_, did you mean p2p.listen?");
    let error = refused("", &[("ENTENTE_P2P_MAX_PEER", "1")], &[]);
    assert_eq!(
        error,
        "ENTENTE_P2P_MAX_PEER: unknown key ENTENTE_P2P_MAX_PEER, did you mean p2p.max_peers?"
    );
    let error = refused("", &[], &["rpc.lissten=1"]);
    assert_eq!(error, "--set: unknown key rpc.lissten, did you mean rpc.listen?");
    assert!(refused("[pol]", &[], &[]).starts_with("1: unknown key pol"));
}

#[test]
fn a_wrong_value_is_refused_with_line_key_value_and_expectation() {
    let error = refused("[p2p]\nmax_peers = 'many'", &[], &[]);
    assert_eq!(error, "2: p2p.max_peers: got \"many\", expected a number of peers from 1 to 128");
    let error = refused("", &[("ENTENTE_RPC_LISTEN", "127.0.0.1:70000")], &[]);
    assert!(error.starts_with(
        "ENTENTE_RPC_LISTEN: rpc.listen: got \"127.0.0.1:70000\", expected an address"
    ));
    let error = refused("", &[], &["p2p.peers=abc@localhost:1"]);
    assert!(error.contains("expected a list of nodeid@host:port"), "{error}");
    assert!(refused("", &[], &["p2p.peers"]).contains("expected KEY=VALUE"));
    assert!(refused("[p2p]\npeers = 5", &[], &[]).contains("got 5, expected a list of nodeid"));
    assert!(refused("[rpc.limits]\nlogs = -1", &[], &[]).contains("got -1"));
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    assert!(refused("[p2p]\nlisten = ", &[], &[]).starts_with("2: not TOML"));
    assert!(
        refused("[p2p]\nmax_peers = 1\nmax_peers = 2", &[], &[])
            .starts_with("3: not TOML: duplicate key")
    );
}

#[test]
fn byte_order_marks_and_carriage_returns_do_no_harm() {
    let config = load("\u{feff}[p2p]\r\nmax_peers = 3\r\n", &[], &[]).expect("valid");
    assert_eq!(config.p2p.max_peers, 3);
}

#[test]
fn files_that_cannot_be_read_or_are_too_large_are_refused() {
    let overrides = Overrides { file: Some("does/not/exist".into()), set: vec![] };
    let error = NodeConfig::load_with(&overrides, []).expect_err("refused").to_string();
    assert!(error.starts_with("the configuration file does/not/exist cannot be read: "), "{error}");
    let large = "#".repeat(2 * 1024 * 1024);
    assert!(matches!(load(&large, &[], &[]), Err(ConfigError::TooLarge { got: 2_097_152, .. })));
}

#[test]
fn ports_are_there_and_not_shared() {
    assert!(refused("", &[], &["p2p.listen=0.0.0.0:0"]).contains("a port above 0"));
    load("", &[], &["rpc.listen=127.0.0.1:0"]).expect("a free port may be taken");
    let error = refused("", &[], &["rpc.listen=127.0.0.1:30303"]);
    assert!(error.contains("another port than p2p.listen"), "{error}");
    load("", &[], &["rpc.listen=127.0.0.1:30303", "rpc.enabled=false"]).expect("nobody listens");
}

#[test]
fn bounds_of_zero_are_refused() {
    for key in keys::KEYS.iter().filter(|key| key.expected.ends_with("a number above 0")) {
        let error = refused("", &[], &[&format!("{}=0", key.path)]);
        assert_eq!(error, format!("--set: {}: got 0, expected a number above 0", key.path));
    }
    for flag in ["p2p.max_peers=0", "p2p.max_peers=129", "storage.history=0"] {
        refused("", &[], &[flag]);
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    assert!(refused("", &[], &["rpc.namespaces=eth,ethh"]).contains("a list of eth, net"));
    assert!(refused("", &[], &["log.level=loud"]).contains("expected error, warn"));
    load("", &[], &["log.level=info,entente_p2p=debug"]).expect("levels by part");
    assert!(refused("", &[], &["validator.password_file=p"]).contains("together with"));
    let vanity = format!("block.vanity={}", "x".repeat(33));
    assert!(refused("", &[], &[&vanity]).contains("up to 32 bytes"));
    let peer = format!("{}@h:1", "ab".repeat(32));
    assert!(refused("", &[], &[&format!("p2p.peers={peer},{peer}")]).contains("each once"));
}

#[test]
fn variables_of_kubernetes_are_left_alone() {
    let variables = [("ENTENTE_SERVICE_HOST", "10.0.0.1"), ("ENTENTE_PORT_8545_TCP", "x")];
    load("", &variables, &[]).expect("not ours");
}

/// A configuration where every key has a value.
fn full() -> NodeConfig {
    let peer: PeerAddress = format!("{}@[::1]:30303", "cd".repeat(32)).parse().expect("peer");
    let mut config = NodeConfig { genesis: Some("g".into()), ..NodeConfig::default() };
    config.p2p.allowed = vec![peer.node];
    config.p2p.peers = vec![peer];
    config.p2p.pre_shared_key_file = Some("s".into());
    config.p2p.node_key_file = Some("n".into());
    config.validator.key_file = Some("k".into());
    config.validator.password_file = Some("p".into());
    config.privacy.key_folder = Some("f".into());
    config.privacy.password_file = Some("p".into());
    config.privacy.default_key = Some("d".into());
    config.accounts.keystore = Some("a".into());
    config.accounts.password_file = Some("p".into());
    config
}

#[test]
fn the_list_of_keys_is_the_tree() {
    let tree: BTreeSet<String> = layers::flatten(&full()).into_keys().collect();
    let listed: BTreeSet<String> = keys::KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(tree, listed);
}

#[test]
fn what_is_shown_is_read_back() {
    let read = load(&full().to_toml(), &[], &[]).expect("valid");
    assert_eq!(NodeConfig { origins: full().origins, ..read }, full());
}

#[test]
fn the_effective_configuration_names_every_key() {
    let config = load("[p2p]\nmax_peers = 5", &[], &[]).expect("valid");
    let effective = config.effective();
    assert_eq!(effective.len(), keys::KEYS.len());
    let entry = effective.iter().find(|entry| entry.key == "p2p.max_peers").expect("entry");
    assert_eq!(entry.value, "5");
    assert!(entry.origin.to_string().ends_with(":2"));
}

#[test]
fn the_reference_page_has_every_key() {
    let page = reference_markdown();
    assert!(page.contains("## `[rpc.limits]`"));
    assert!(page.contains("| `max_peers` | `64` | a number of peers from 1 to 128 | Most"));
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, keys::KEYS.len());
}
