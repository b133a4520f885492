//! Puts the layers together.

use crate::{
    ConfigError, NodeConfig, Origin, check, keys,
    layers::{self, Settings},
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, path::PathBuf};
use toml::Value;

/// Where each value that somebody set comes from.
pub(crate) type Origins = BTreeMap<&'static str, Origin>;

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Configuration file.
    pub file: Option<PathBuf>,
    /// `key=value` flags.
    pub set: Vec<String>,
}

/// One key as the node runs with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The key, `p2p.max_peers`.
    pub key: &'static str,
    /// Its value in TOML; empty when there is none.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

impl NodeConfig {
    /// Reads defaults, file, this process's environment and flags, and checks them.
    ///
    /// # Errors
    /// The first thing that is wrong, with where it was set.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        // A name or value that is not Unicode can be none of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::load_with(overrides, std::env::vars_os().filter_map(text))
    }

    /// As [`load`](Self::load), with the variables given.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(
        overrides: &Overrides,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut settings = Settings::new();
        if let Some(path) = &overrides.file {
            layers::read_file(path, &keys::KEYS, &mut settings)?;
        }
        layers::read_environment(environment, &mut settings)?;
        layers::read_flags(&overrides.set, &mut settings)?;
        Self::from_settings(&settings)
    }

    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let mut config: Self = typed(&keys::KEYS, settings)?;
        config.origins =
            settings.iter().map(|(key, setting)| (*key, setting.origin.clone())).collect();
        check::check(&config)?;
        Ok(config)
    }

    /// Where a key's value comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Every key with its value and who set it, as `entente config show --effective` prints it.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let values = layers::flatten(self);
        let effective = |key: &keys::Key| Effective {
            key: key.path,
            value: values.get(key.path).map(ToString::to_string).unwrap_or_default(),
            origin: self.origin(key.path),
        };
        keys::KEYS.iter().map(effective).collect()
    }

    /// The configuration as a TOML file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

/// The tree that settings fill.
pub(crate) fn typed<T: DeserializeOwned>(
    keys: &'static [keys::Key],
    settings: &Settings,
) -> Result<T, ConfigError> {
    let table = Value::Table(layers::nest(settings));
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(table, &mut track);
    T::deserialize(tracked).map_err(|cause| {
        // A list's element is named `p2p.peers[1]`; the key is what stands before it.
        let path = track.path().to_string();
        let path = path.split('[').next().unwrap_or_default();
        let key = keys::find_in(keys, path);
        let expected =
            key.map_or_else(|| cause.message().to_owned(), |key| key.expected.to_owned());
        wrong(settings, path, expected)
    })
}

/// A value that a key cannot have, with where it was set.
pub(crate) fn wrong(settings: &Settings, key: &str, expected: String) -> ConfigError {
    let setting = settings.get(key);
    ConfigError::Value {
        origin: setting.map_or(Origin::Default, |setting| setting.origin.clone()),
        key: key.to_owned(),
        got: setting.map_or_else(|| "nothing".into(), |setting| setting.value.to_string()),
        expected,
    }
}
