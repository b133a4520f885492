//! Difficulty of ethash blocks: the formulas of Frontier, Homestead (EIP-2) and Byzantium
//! (EIP-100), each with its ice age.

use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use alloy_primitives::U256;
use entente_chain::{BlockNumber, Header, fork::Fork};

const DIFFICULTY_MIN: U256 = U256::from_limbs([131_072, 0, 0, 0]);
/// A step is the parent's difficulty over 2^11.
const STEP_SHIFT: usize = 11;
/// Blocks after which the ice age doubles.
const ICE_AGE_BLOCKS: u64 = 100_000;
/// Steps that one block may take down.
const STEPS_DOWN_MAX: u64 = 99;

/// The difficulty of block `number` at `timestamp` (seconds) on `parent` under `fork`.
#[must_use]
pub fn ethash_difficulty(fork: Fork, number: BlockNumber, timestamp: u64, parent: &Header) -> U256 {
    let elapsed = timestamp.saturating_sub(parent.timestamp);
    let (up, down) = if fork >= Fork::Byzantium {
        let weight = if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 };
        (weight, elapsed / 9)
    } else if fork >= Fork::Homestead {
        (1, elapsed / 10)
    } else if elapsed < 13 {
        (1, 0)
    } else {
        (0, 1)
    };
    let step = parent.difficulty.wrapping_shr(STEP_SHIFT);
    let moved = if up >= down {
        parent.difficulty.saturating_add(step.saturating_mul(U256::from(up.abs_diff(down))))
    } else {
        let steps = down.abs_diff(up).min(STEPS_DOWN_MAX);
        parent.difficulty.saturating_sub(step.saturating_mul(U256::from(steps)))
    };
    moved.max(DIFFICULTY_MIN).saturating_add(ice_age(number.saturating_sub(delay(fork))))
}

/// 2^(periods - 2) from the second period on.
fn ice_age(number: BlockNumber) -> U256 {
    match (number / ICE_AGE_BLOCKS).checked_sub(2) {
        None => U256::ZERO,
        Some(exponent) => usize::try_from(exponent)
            .ok()
            .and_then(|exponent| U256::ONE.checked_shl(exponent))
            .unwrap_or(U256::MAX),
    }
}

/// By how many blocks forks put the ice age off: EIP-649, 1234, 2384, 3554, 4345, 5133.
const fn delay(fork: Fork) -> u64 {
    match fork {
        Fork::Frontier | Fork::Homestead | Fork::TangerineWhistle | Fork::SpuriousDragon => 0,
        Fork::Byzantium => 3_000_000,
        Fork::Constantinople | Fork::Petersburg | Fork::Istanbul => 5_000_000,
        Fork::MuirGlacier | Fork::Berlin => 9_000_000,
        Fork::London => 9_700_000,
        Fork::ArrowGlacier => 10_700_000,
        Fork::GrayGlacier
        | Fork::Paris
        | Fork::Shanghai
        | Fork::Cancun
        | Fork::Prague
        | Fork::Osaka => 11_400_000,
    }
}
