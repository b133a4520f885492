//! Networks after a genesis file: the addresses of its validators give way to those of new keys,
//! wherever they stand (extraData, a section, transitions, a contract's storage). Nothing else
//! changes.

use crate::{
    error::TestnetError,
    options::{BlockPeriod, TestnetEngine, TestnetOptions},
};
use alloy_primitives::Address;
use entente_chain::{
    genesis::Genesis,
    limits::GENESIS_FILE_BYTES_MAX,
    spec::{EngineKind, RAFT_INTERVAL_MS},
};
use std::{fs, path::Path};

/// The options of a network after a genesis file.
///
/// # Errors
/// When the file cannot be read, is no genesis, or names no validators.
pub fn options_after(options: TestnetOptions, file: &Path) -> Result<TestnetOptions, TestnetError> {
    let path = fs::canonicalize(file).map_err(TestnetError::file("find", file))?;
    let (genesis, _) = read(&path)?;
    let count = u16::try_from(genesis.validators.len()).unwrap_or(u16::MAX);
    if count == 0 {
        return Err(content(&path, "it names nobody who seals".into()));
    }
    let rules = genesis.spec.rules_at(1);
    let block_period = match (rules.engine, rules.block_period_ms) {
        (EngineKind::Raft, RAFT_INTERVAL_MS) | (_, 0) => BlockPeriod::OnDemand,
        (_, period) => BlockPeriod::Every(period),
    };
    Ok(TestnetOptions {
        engine: TestnetEngine(rules.engine),
        validators: count,
        block_period,
        chain_id: genesis.spec.chain_id,
        gas_limit: genesis.header.gas_limit,
        template: Some(path),
        ..options
    })
}

/// The genesis file with these validators in the place of its own.
pub(crate) fn genesis(
    path: &Path,
    mut validators: Vec<Address>,
    private: bool,
) -> Result<String, TestnetError> {
    let (template, text) = read(path)?;
    if private && !template.spec.is_quorum {
        return Err(content(path, "--private needs config.isQuorum to be true".into()));
    }
    validators.sort_unstable();
    // Hexadecimal digits may be of either case; everything else of the text must stay.
    let lower = text.to_ascii_lowercase();
    let (mut made, mut rest) = (String::with_capacity(text.len()), 0);
    let places: Vec<(String, &Address)> = template
        .validators
        .iter()
        .map(|own| hex::encode(own.as_slice()))
        .zip(validators.iter())
        .collect();
    let next = |from: usize| {
        let tail = lower.get(from..)?;
        let found = places.iter().filter_map(|(own, new)| Some((tail.find(own)?, *new)));
        found.min_by_key(|(at, _)| *at)
    };
    while let Some((at, new)) = next(rest) {
        let start = rest.saturating_add(at);
        made.push_str(text.get(rest..start).unwrap_or_default());
        made.push_str(&hex::encode(new.as_slice()));
        rest = start.saturating_add(2 * Address::len_bytes());
    }
    made.push_str(text.get(rest..).unwrap_or_default());
    let parsed = Genesis::parse(made.as_bytes());
    let parsed = parsed.map_err(|cause| TestnetError::Genesis(cause.to_string()))?;
    if parsed.validators != validators {
        let (got, expected) = (validators.len(), template.validators.len());
        let text = match got == expected {
            true => format!("the validators of {} cannot be replaced", path.display()),
            false => {
                format!("{got} validators do not fit into {}, which has {expected}", path.display())
            }
        };
        return Err(TestnetError::Genesis(text));
    }
    Ok(made)
}

fn read(path: &Path) -> Result<(Genesis, String), TestnetError> {
    let size = fs::metadata(path).map_err(TestnetError::file("read", path))?.len();
    if size > GENESIS_FILE_BYTES_MAX {
        return Err(content(path, format!("{size} bytes are too many")));
    }
    let text = fs::read_to_string(path).map_err(TestnetError::file("read", path))?;
    let genesis =
        Genesis::parse(text.as_bytes()).map_err(|cause| content(path, cause.to_string()))?;
    Ok((genesis, text))
}

fn content(path: &Path, cause: String) -> TestnetError {
    TestnetError::Content { path: path.to_owned(), expected: "genesis to start from", cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{init, manifest::Manifest};
    use entente_config::{NodeConfig, Overrides};
    use std::path::PathBuf;

    fn samples() -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        // A manager of private transactions has no chain: the configuration crate reads its sample.
        entries.filter(|path| path.join("genesis.json").is_file()).collect()
    }

    #[test]
    fn every_sample_becomes_a_network_of_its_own_keys() {
        let samples = samples();
        assert!(samples.len() >= 5, "{samples:?}");
        for sample in samples {
            let file = sample.join("genesis.json");
            let dir = tempfile::tempdir().unwrap();
            let options = options_after(TestnetOptions::new(dir.path().join("net")), &file);
            let options = options.unwrap();
            let layout = init(&options).unwrap();
            let made = Genesis::parse(&fs::read(layout.genesis()).unwrap()).unwrap();
            let manifest = Manifest::read(layout.dir()).unwrap();
            let mut keys: Vec<_> = manifest.nodes.iter().map(|node| node.validator).collect();
            keys.sort_unstable();
            assert_eq!(made.validators, keys, "{}", sample.display());
            // No address of the sample is left anywhere.
            let text = fs::read_to_string(layout.genesis()).unwrap().to_ascii_lowercase();
            let (template, _) = read(&file).unwrap();
            for old in &template.validators {
                assert!(!text.contains(&hex::encode(old)), "{}", sample.display());
            }
            assert_eq!(made.spec.transitions.len(), template.spec.transitions.len());
            assert_eq!(init(&options).unwrap(), layout);
        }
    }

    #[test]
    fn every_sample_has_a_node_configuration_that_loads_and_no_key() {
        for sample in samples() {
            let file = Some(sample.join("node.toml"));
            let config = NodeConfig::load_with(&Overrides { file, set: Vec::new() }, []).unwrap();
            assert!(config.validator.key_file.is_some() && config.genesis.is_some());
            for entry in fs::read_dir(&sample).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(["README.md", "genesis.json", "node.toml"].contains(&&*name), "{name}");
            }
        }
    }

    #[test]
    fn a_number_of_validators_that_does_not_fit_is_refused() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/four-ibft/genesis.json");
        for count in [1, 3, 5] {
            let validators = (1..=count).map(Address::repeat_byte).collect();
            let text = genesis(&sample, validators, false).unwrap_err().to_string();
            assert!(text.contains("which has 4"), "{text}");
        }
    }

    #[test]
    fn private_transactions_after_a_genesis_without_them_are_refused() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/four-ibft/genesis.json");
        let validators = (1..=4).map(Address::repeat_byte).collect();
        let text = genesis(&sample, validators, true).unwrap_err().to_string();
        assert!(text.contains("isQuorum"), "{text}");
    }
}
