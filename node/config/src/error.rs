//! Why a configuration is refused.

use std::{fmt, path::PathBuf};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// As given.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// A `key=value` flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// Why a node cannot be configured so.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {cause}", .path.display())]
    Read {
        /// As given.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The file is larger than any configuration.
    #[error("the configuration file {} has {got} bytes, at most {allowed} are read", .path.display())]
    TooLarge {
        /// As given.
        path: PathBuf,
        /// Its size in bytes.
        got: u64,
        /// Bytes that are read.
        allowed: u64,
    },
    /// Not TOML, or a key twice.
    #[error("{}:{line}: not TOML: {cause}", .path.display())]
    Syntax {
        /// As given.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the parser said.
        cause: String,
    },
    /// A key that is none.
    #[error("{origin}: unknown key {key}{}", hint(.suggestion.as_deref()))]
    UnknownKey {
        /// Where it was set.
        origin: Origin,
        /// As given.
        key: String,
        /// A known key that is spelled much alike.
        suggestion: Option<&'static str>,
    },
    /// A flag that is not `key=value`.
    #[error("--set {got}: expected KEY=VALUE, such as rpc.listen=127.0.0.1:8545")]
    Flag {
        /// As given.
        got: String,
    },
    /// A value that the key cannot have.
    #[error("{origin}: {key}: got {got}, expected {expected}")]
    Value {
        /// Where it was set.
        origin: Origin,
        /// The key.
        key: String,
        /// As given.
        got: String,
        /// What it may be.
        expected: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!(", did you mean {known}?"))
}
