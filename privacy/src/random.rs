//! Randomness as an argument: the operating system's in a node, a seed's in tests and simulations.

use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// The operating system gave no randomness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no randomness: {0}")]
pub struct NoRandomness(String);

/// A source of random bytes fit for keys. Shared by reference between threads.
pub struct Randomness(Mutex<StdRng>);

impl Randomness {
    /// Seeds a generator from the operating system.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn from_os() -> Result<Self, NoRandomness> {
        let generator =
            StdRng::try_from_os_rng().map_err(|cause| NoRandomness(cause.to_string()))?;
        Ok(Self(Mutex::new(generator)))
    }

    /// The same bytes for the same seed: **for tests and simulations only**.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// Fills a buffer.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }

    /// An array of random bytes.
    #[must_use]
    pub fn array<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// Shows nothing of its state.
impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}
