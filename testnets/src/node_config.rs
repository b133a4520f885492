//! A node's `node.toml`.

use crate::{
    keys::Identity,
    layout::{Layout, NodePlace},
};
use std::path::PathBuf;

/// All but `privacy`: everything listens on loopback, and the keys are public.
const NAMESPACES: &str = r#""eth", "net", "web3", "txpool", "istanbul", "qbft", "raft", "clique", "admin", "debug", "entente"#;

/// How other nodes are told about one.
pub(crate) fn peer(place: &NodePlace, identity: &Identity) -> String {
    format!("{}@127.0.0.1:{}", identity.node, place.p2p_port)
}

/// The configuration of node `index`: it knows all others, and nobody else may connect.
pub(crate) fn text(
    layout: &Layout,
    identities: &[Identity],
    index: usize,
    private: bool,
) -> String {
    let Some(own) = layout.nodes().get(index) else { return String::new() };
    let others = || layout.nodes().iter().zip(identities).filter(|(place, _)| *place != own);
    let peers = list(others().map(|(place, identity)| peer(place, identity)));
    let allowed = list(others().map(|(_, identity)| identity.node.to_string()));
    let path = |path: PathBuf| toml::Value::from(path.display().to_string());
    let (name, rpc_port, p2p_port) = (&own.name, own.rpc_port, own.p2p_port);
    let (data, genesis) = (path(own.data()), path(layout.genesis()));
    let (node_key, validator_key) = (path(own.node_key()), path(own.validator_key()));
    let (namespace, sections) = match private {
        true => (r#"", "privacy""#, private_sections(own)),
        false => ("\"", String::new()),
    };
    format!(
        "# {name} of a test network. Made by `entente testnet`; yours to change.\n\
         data_dir = {data}\n\
         genesis = {genesis}\n\
         \n\
         [validator]\n\
         key_file = {validator_key}\n\
         \n\
         [p2p]\n\
         listen = \"127.0.0.1:{p2p_port}\"\n\
         node_key_file = {node_key}\n\
         peers = {peers}\n\
         allowed = {allowed}\n\
         \n\
         [rpc]\n\
         listen = \"127.0.0.1:{rpc_port}\"\n\
         cors = [\"*\"]\n\
         namespaces = [{NAMESPACES}{namespace}]\n\
         \n\
         [storage]\n\
         # Several nodes share one machine.\n\
         cache_mib = 64\n{sections}"
    )
}

/// `[privacy]` and `[accounts]`.
fn private_sections(own: &NodePlace) -> String {
    let path = |path: PathBuf| toml::Value::from(path.display().to_string());
    let (keys, accounts) = (path(own.privacy_keys()), path(own.accounts()));
    let password = path(own.private_password());
    format!(
        "\n\
         [privacy]\n\
         key_folder = {keys}\n\
         password_file = {password}\n\
         \n\
         [accounts]\n\
         keystore = {accounts}\n\
         password_file = {password}\n"
    )
}

/// A TOML list of strings, one a line.
fn list(items: impl Iterator<Item = String>) -> String {
    let lines: String = items.map(|item| format!("    \"{item}\",\n")).collect();
    if lines.is_empty() { "[]".to_owned() } else { format!("[\n{lines}]") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TestnetOptions;
    use alloy_primitives::Address;
    use entente_chain::NodeId;
    use entente_config::NodeConfig;

    #[test]
    fn node_knows_all_others_and_not_itself() {
        let options = TestnetOptions { validators: 3, ..TestnetOptions::new("x") };
        let layout = Layout::new(&options).unwrap();
        let identities: Vec<Identity> = (0..3)
            .map(|id| Identity { node: NodeId([id; 32]), validator: Address::repeat_byte(id) })
            .collect();
        let parsed: NodeConfig = toml::from_str(&text(&layout, &identities, 1, false)).unwrap();
        let peers: Vec<_> = parsed.p2p.peers.iter().map(ToString::to_string).collect();
        let expected =
            [0, 2].map(|id| format!("{}@127.0.0.1:{}", NodeId([id; 32]), 8565 + u16::from(id)));
        assert_eq!(peers, expected);
        assert_eq!(parsed.p2p.allowed, [NodeId([0; 32]), NodeId([2; 32])]);
        assert_eq!(parsed.rpc.listen.port(), 8546);
        assert_eq!(parsed.data_dir, layout.nodes()[1].data());
    }

    #[test]
    fn only_node_has_no_peers() {
        let options = TestnetOptions { validators: 1, ..TestnetOptions::new("x") };
        let layout = Layout::new(&options).unwrap();
        let identity = Identity { node: NodeId([0; 32]), validator: Address::ZERO };
        let parsed: NodeConfig = toml::from_str(&text(&layout, &[identity], 0, true)).unwrap();
        assert!(parsed.p2p.peers.is_empty());
        let own = &layout.nodes()[0];
        assert_eq!(parsed.privacy.key_folder, Some(own.privacy_keys()));
        assert_eq!(parsed.accounts.keystore, Some(own.accounts()));
        assert_eq!(parsed.accounts.password_file, Some(own.private_password()));
        assert!(parsed.rpc.namespaces.contains(&"privacy".to_owned()));
    }
}
