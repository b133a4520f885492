//! The list of all keys: what each may be, for errors, and what it is for, for the reference page.

use crate::NodeConfig;
use std::fmt::Write as _;

/// How a value is written in a variable or flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it is.
    Text,
    /// Digits.
    Number,
    /// `true` or `false`.
    Switch,
    /// Values with commas between them.
    List,
    /// Digits or a word.
    NumberOrText,
}

/// One key.
pub(crate) struct Key {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// What a value may be, as it stands after "expected".
    pub(crate) expected: &'static str,
    /// What it is for: a sentence.
    pub(crate) about: &'static str,
}

pub(crate) const fn key(
    path: &'static str,
    kind: Kind,
    expected: &'static str,
    about: &'static str,
) -> Key {
    Key { path, kind, expected, about }
}

pub(crate) const PATH: &str = "a path";
const ADDRESS: &str = "an address with a port, such as 127.0.0.1:8545";
const COUNT: &str = "a number above 0";
const MILLISECONDS: &str = "a number of milliseconds above 0";
const SECONDS: &str = "a number of seconds above 0";
const MIB: &str = "a number of MiB above 0";
const BYTES: &str = "a number of bytes above 0";
pub(crate) const LEVEL: &str =
    "error, warn, info, debug, trace or off, or such by part: info,entente_p2p=debug";
const SWITCH: &str = "true or false";

/// All keys, by section.
#[rustfmt::skip]
pub(crate) const KEYS: [Key; 48] = [
    key("data_dir", Kind::Text, PATH, "Where the database and the node's own key live."),
    key("genesis", Kind::Text, PATH, "Genesis file; not needed once the data directory has one."),
    key("p2p.listen", Kind::Text, "an address with a port above 0, such as 0.0.0.0:30303", "Address and port for peers."),
    key("p2p.peers", Kind::List, "a list of nodeid@host:port, node ids in 64 hex digits, each once", "Peers to stay connected with."),
    key("p2p.allowed", Kind::List, "a list of node ids, 64 hex digits each", "Who may connect beside the peers; empty lets everybody of the environment in."),
    key("p2p.pre_shared_key_file", Kind::Text, PATH, "Key of 32 bytes in hex that all nodes of the network share."),
    key("p2p.node_key_file", Kind::Text, PATH, "The node's own key; left out: `node.key` in the data directory, made when missing."),
    key("p2p.max_peers", Kind::Number, "a number of peers from 1 to 128", "Most connected peers."),
    key("rpc.enabled", Kind::Switch, SWITCH, "Whether JSON-RPC is served at all."),
    key("rpc.listen", Kind::Text, ADDRESS, "Address and port for HTTP and WebSocket; port 0 takes a free one."),
    key("rpc.allowed_hosts", Kind::List, "a list of host names", "Names that a request's Host header may have beside IP addresses; `*` is any."),
    key("rpc.cors", Kind::List, "a list of origins, such as https://app.example", "Origins of web pages that may ask; `*` is any."),
    key("rpc.namespaces", Kind::List, "a list of eth, net, web3, txpool, istanbul, qbft, raft, clique, admin, debug, privacy, quorumExtension, entente", "Groups of methods that are offered."),
    key("rpc.allow_unprotected_transactions", Kind::Switch, SWITCH, "Whether transactions without a chain id (EIP-155) are taken."),
    key("rpc.callbacks", Kind::List, "a list of servers, such as http://127.0.0.1:9000", "Servers that `eth_sendTransactionAsync` may tell its result to, as its callers name them."),
    key("rpc.limits.request_bytes", Kind::Number, BYTES, "Largest request."),
    key("rpc.limits.response_bytes", Kind::Number, BYTES, "Largest response."),
    key("rpc.limits.batch_calls", Kind::Number, COUNT, "Most calls in one batch."),
    key("rpc.limits.connections", Kind::Number, COUNT, "Most open connections."),
    key("rpc.limits.subscriptions", Kind::Number, COUNT, "Most subscriptions on one connection."),
    key("rpc.limits.filters", Kind::Number, COUNT, "Most filters of all clients together."),
    key("rpc.limits.call_gas", Kind::Number, "an amount of gas above 0", "Most gas of one `eth_call` or `eth_estimateGas`."),
    key("rpc.limits.call_time_ms", Kind::Number, MILLISECONDS, "Time one `eth_call` may take."),
    key("rpc.limits.logs", Kind::Number, COUNT, "Most logs in one answer."),
    key("rpc.limits.logs_time_ms", Kind::Number, MILLISECONDS, "Time one log query may take."),
    key("validator.key_file", Kind::Text, PATH, "Keystore file, or a key of 32 bytes in hex. Left out: the node follows and never votes."),
    key("validator.password_file", Kind::Text, "a path, together with validator.key_file", "Password of the keystore file."),
    key("privacy.key_folder", Kind::Text, PATH, "Folder of the keys for private transactions. Left out: the node takes no part in them."),
    key("privacy.password_file", Kind::Text, "a path, together with privacy.key_folder", "Password of these keys."),
    key("privacy.default_key", Kind::Text, "a public key of the folder in base64", "The key that sends when a request names none; left out: the first one."),
    key("privacy.states", Kind::List, "a list of NAME=KEY;KEY, each name once, the keys in base64", "Private states beside the default one, and the keys that belong to them."),
    key("privacy.state_tokens", Kind::List, "a list of NAME=PATH, each a private state", "Files of the tokens that open private states (`Authorization: Bearer`); a state without one is open to all who reach the server."),
    key("privacy.markers", Kind::Switch, SWITCH, "Whether private transactions of the node's own accounts go out inside privacy markers, which hide who sends what to which contract."),
    key("accounts.keystore", Kind::Text, PATH, "Folder of keystore files whose accounts the node signs for (`eth_sendTransaction`). Left out: it signs for nobody."),
    key("accounts.password_file", Kind::Text, "a path, together with accounts.keystore", "Password of these files."),
    key("pool.transactions", Kind::Number, COUNT, "Most waiting transactions."),
    key("pool.memory_mib", Kind::Number, MIB, "Most memory of waiting transactions."),
    key("pool.executable_per_sender", Kind::Number, COUNT, "Most executable transactions of one sender."),
    key("pool.gapped_per_sender", Kind::Number, COUNT, "Most transactions of one sender that wait for an earlier nonce."),
    key("pool.gapped_lifetime_seconds", Kind::Number, SECONDS, "How long these wait."),
    key("pool.price_bump_percent", Kind::Number, "a number of percent from 1 to 1000", "By how much a replacement must pay more."),
    key("pool.free_replacement_blocks", Kind::Number, "a number of blocks", "Blocks that a free transaction waits before a free one with its nonce may replace it."),
    key("pool.regossip_seconds", Kind::Number, SECONDS, "After how long peers are told of a waiting transaction again."),
    key("storage.cache_mib", Kind::Number, MIB, "Memory for reads."),
    key("storage.history", Kind::NumberOrText, "\"archive\" or a number of blocks above 0", "How far back states are kept, 128 blocks at least."),
    key("block.vanity", Kind::Text, "a text of up to 32 bytes", "Text in the extraData of this node's blocks."),
    key("log.format", Kind::Text, "text or json", "Form of log lines."),
    key("log.level", Kind::Text, LEVEL, "What is logged."),
];

pub(crate) fn find(path: &str) -> Option<&'static Key> {
    find_in(&KEYS, path)
}

/// A key of a list.
pub(crate) fn find_in(keys: &'static [Key], path: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.path == path)
}

/// The key that a variable's name means: `ENTENTE_P2P_MAX_PEERS` or `ENTENTE_P2P__MAX_PEERS`.
pub(crate) fn find_variable(name: &str) -> Option<&'static Key> {
    let plain = name.to_ascii_lowercase().replace("__", "_");
    KEYS.iter().find(|key| key.path.replace('.', "_") == plain)
}

/// The known key that is spelled most alike, when that is close.
pub(crate) fn nearest(path: &str) -> Option<&'static str> {
    nearest_in(&KEYS, path)
}

/// As [`nearest`], in a list.
pub(crate) fn nearest_in(keys: &'static [Key], path: &str) -> Option<&'static str> {
    let distance = |key: &&Key| strsim::osa_distance(path, key.path);
    let nearest = keys.iter().min_by_key(distance)?;
    (distance(&nearest) <= 1 + path.len() / 3).then_some(nearest.path)
}

/// The reference page of all keys, in Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         A node reads a TOML file (`--config FILE`), then variables (`ENTENTE_` and the key in \
         upper case, dots as `_` or `__`: `ENTENTE_P2P_MAX_PEERS`), then flags (`--set \
         p2p.max_peers=20`). Later ones win. In variables and flags a list has commas between its \
         values. `entente config show --effective` tells where each value comes from. An unknown \
         key is refused.\n",
    );
    let defaults = crate::layers::flatten(&NodeConfig::default());
    let mut section = "";
    for key in &KEYS {
        let own = key.path.rsplit_once('.').map_or("", |(section, _)| section);
        if own != section || key.path == "data_dir" {
            section = own;
            let title = if own.is_empty() { "Top level".into() } else { format!("`[{own}]`") };
            let head = "| key | default | value | what it is for |\n|---|---|---|---|";
            // Writing to a string cannot fail.
            let _ = write!(page, "\n## {title}\n\n{head}\n");
        }
        let name = key.path.rsplit_once('.').map_or(key.path, |(_, name)| name);
        let default = defaults.get(key.path).map_or_else(String::new, |value| format!("`{value}`"));
        let _ = writeln!(page, "| `{name}` | {default} | {} | {} |", key.expected, key.about);
    }
    page
}
