//! `entente testnet init`: makes a network's folder.

use crate::{
    accounts::dev_accounts,
    error::TestnetError,
    genesis,
    keys::{self, Identity},
    layout::Layout,
    manifest::{Manifest, NodeEntry, write_atomically},
    node_config,
    options::TestnetOptions,
    private_keys::{PrivateIdentity, private_identity},
};
use serde_json::Value;
use std::{fs, path::Path};

/// Makes keys, genesis and configurations in `options.dir`; a network that is there already with
/// the same options stays as it is. An attempt that was cut short is taken up: `testnet.json` is
/// written last.
///
/// # Errors
/// When an option is outside its bounds, when the folder holds a network that was made with other
/// options, or when something cannot be written.
pub fn init(options: &TestnetOptions) -> Result<Layout, TestnetError> {
    Layout::new(options)?;
    let dir = &options.dir;
    fs::create_dir_all(dir).map_err(TestnetError::file("make", dir))?;
    // Nodes are told, and found again, by full paths.
    let dir = fs::canonicalize(dir).map_err(TestnetError::file("find", dir))?;
    let options = &TestnetOptions { dir, ..options.clone() };
    let layout = Layout::new(options)?;
    if let Some(existing) = Manifest::find(layout.dir())? {
        compare(&existing.options, options)?;
        return Ok(layout);
    }
    for node in layout.nodes() {
        fs::create_dir_all(&node.dir).map_err(TestnetError::file("make", &node.dir))?;
    }
    let identities: Vec<Identity> =
        layout.nodes().iter().map(keys::identity).collect::<Result<_, _>>()?;
    let validators = identities.iter().map(|identity| identity.validator).collect();
    let private: Option<Vec<PrivateIdentity>> = options
        .private
        .then(|| {
            let nodes = layout.nodes().iter().enumerate();
            nodes.map(|(index, node)| private_identity(node, index)).collect()
        })
        .transpose()?;
    let genesis = genesis::build(options, validators)?;
    write_atomically(&layout.genesis(), genesis.as_bytes())?;
    for (index, node) in layout.nodes().iter().enumerate() {
        let text = node_config::text(&layout, &identities, index, options.private);
        write_atomically(&node.config(), text.as_bytes())?;
    }
    describe(options, &layout, &identities, private.as_deref().unwrap_or_default()).write()?;
    Ok(layout)
}

fn describe(
    options: &TestnetOptions,
    layout: &Layout,
    identities: &[Identity],
    private: &[PrivateIdentity],
) -> Manifest {
    let nodes = layout
        .nodes()
        .iter()
        .zip(identities)
        .enumerate()
        .map(|(index, (place, identity))| NodeEntry {
            name: place.name.clone(),
            rpc: place.rpc_url(),
            ws: place.ws_url(),
            p2p: node_config::peer(place, identity),
            validator: identity.validator,
            privacy_key: private.get(index).map(|own| own.key.to_string()),
            account: private.get(index).map(|own| own.account),
            pid: None,
            metrics: format!("{}/metrics", place.rpc_url()),
        })
        .collect();
    Manifest {
        chain_id: options.chain_id,
        nodes,
        accounts: dev_accounts(),
        options: options.clone(),
    }
}

/// Names the first option that differs.
fn compare(stored: &TestnetOptions, asked: &TestnetOptions) -> Result<(), TestnetError> {
    let (stored, dir) = (fields(stored, &asked.dir)?, &asked.dir);
    for (option, asked) in fields(asked, dir)? {
        let stored = stored.get(&option).cloned().unwrap_or_default();
        if stored != asked {
            let (stored, asked) = (plain(&stored), plain(&asked));
            return Err(TestnetError::OptionDiffers { dir: dir.clone(), option, stored, asked });
        }
    }
    Ok(())
}

fn fields(
    options: &TestnetOptions,
    dir: &Path,
) -> Result<serde_json::Map<String, Value>, TestnetError> {
    match serde_json::to_value(options) {
        Ok(Value::Object(fields)) => Ok(fields),
        other => Err(TestnetError::Content {
            path: dir.to_owned(),
            expected: "options",
            cause: format!("{other:?}"),
        }),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::BlockPeriod;
    use entente_chain::genesis::Genesis;

    fn options(dir: &Path) -> TestnetOptions {
        TestnetOptions::new(dir.join("net"))
    }

    #[test]
    fn second_init_with_the_same_options_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = init(&options(dir.path())).unwrap();
        let read = || {
            let mut files: Vec<_> = vec![layout.genesis(), layout.dir().join("testnet.json")];
            for node in layout.nodes() {
                files.extend([node.config(), node.node_key(), node.validator_key()]);
            }
            files.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
        };
        let before = read();
        assert_eq!(init(&options(dir.path())).unwrap(), layout);
        assert_eq!(read(), before);
    }

    #[test]
    fn validators_of_the_genesis_are_those_of_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let layout = init(&options(dir.path())).unwrap();
        let genesis = Genesis::parse(&fs::read(layout.genesis()).unwrap()).unwrap();
        let manifest = Manifest::read(layout.dir()).unwrap();
        let mut validators: Vec<_> = manifest.nodes.iter().map(|node| node.validator).collect();
        validators.sort_unstable();
        assert_eq!(genesis.validators, validators);
        assert_eq!(genesis.spec.chain_id, manifest.chain_id);
    }

    #[test]
    fn a_private_network_says_who_has_which_key() {
        let dir = tempfile::tempdir().unwrap();
        let options = TestnetOptions { private: true, ..options(dir.path()) };
        let layout = init(&options).unwrap();
        let genesis = Genesis::parse(&fs::read(layout.genesis()).unwrap()).unwrap();
        assert!(genesis.spec.is_quorum && genesis.spec.rules_at(0).privacy_marker);
        let manifest = Manifest::read(layout.dir()).unwrap();
        let keys: std::collections::BTreeSet<_> =
            manifest.nodes.iter().map(|node| node.privacy_key.clone().unwrap()).collect();
        assert_eq!(keys.len(), 4);
        let own = |node: &NodeEntry| node.account.unwrap();
        let accounts = manifest.accounts.iter().map(|account| account.address);
        assert!(manifest.nodes.iter().map(own).eq(accounts.take(4)));
        assert_eq!(init(&options).unwrap(), layout);
        let without = TestnetOptions { private: false, ..options };
        assert!(init(&without).unwrap_err().to_string().contains("private = true"));
    }

    #[test]
    fn other_options_are_refused_with_both_values() {
        let dir = tempfile::tempdir().unwrap();
        let first = options(dir.path());
        init(&first).unwrap();
        let other = TestnetOptions { block_period: BlockPeriod::Every(250), ..first };
        let text = init(&other).unwrap_err().to_string();
        assert!(text.contains("block_period = 1s, but 250ms was asked for"), "{text}");
    }

    #[test]
    fn attempt_that_was_cut_short_keeps_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let layout = init(&options(dir.path())).unwrap();
        let before = Manifest::read(layout.dir()).unwrap();
        fs::remove_file(layout.dir().join("testnet.json")).unwrap();
        fs::remove_file(layout.genesis()).unwrap();
        init(&options(dir.path())).unwrap();
        assert_eq!(Manifest::read(layout.dir()).unwrap(), before);
    }
}
