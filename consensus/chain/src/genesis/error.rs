//! Why a genesis file is refused: always with the JSON path and where in the file that is.

use std::fmt;

/// Where in a genesis file something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// JSON path, `config.qbft.policy`.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {}, column {})", self.path, self.line, self.column)
    }
}

/// Why a genesis file is no genesis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not JSON.
    #[error("the genesis file is not JSON: {0}")]
    Syntax(String),
    /// A key that none of geth, GoQuorum, Besu and this node know.
    #[error("{place}: unknown key{}", hint(.suggestion.as_deref()))]
    UnknownKey {
        /// The key.
        place: Place,
        /// A known key that is spelled much alike.
        suggestion: Option<String>,
    },
    /// The same key or address twice; spelling of upper and lower case does not tell them apart.
    #[error("{place}: given twice")]
    Duplicate {
        /// The second of them.
        place: Place,
    },
    /// A key that must be there.
    #[error("{place}: {key} is missing, expected {expected}")]
    Missing {
        /// The object that lacks it.
        place: Place,
        /// The key.
        key: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// A value that is not what should be there.
    #[error("{place}: got {got}, expected {expected}")]
    Value {
        /// The value.
        place: Place,
        /// What is there, shortened.
        got: String,
        /// What should be there.
        expected: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!(", did you mean {known}?"))
}
