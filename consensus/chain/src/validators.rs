//! Validator sets, quorum sizes and whose turn it is.

use crate::limits::VALIDATORS_MAX;
use alloy_primitives::Address;

/// Why a list of addresses is no validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorSetError {
    /// A chain without validators could never go on.
    #[error("the validator set is empty")]
    Empty,
    /// More than [`VALIDATORS_MAX`].
    #[error("{got} validators, at most {VALIDATORS_MAX} are allowed")]
    TooMany {
        /// Validators given.
        got: usize,
    },
    /// The same address twice.
    #[error("validator {0} is listed twice")]
    Duplicate(Address),
}

/// Who may vote, ascending by address, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    sorted: Vec<Address>,
}

impl ValidatorSet {
    /// A set from addresses in any order.
    ///
    /// # Errors
    /// When the list is empty, too long, or has an address twice.
    pub fn new(mut addresses: Vec<Address>) -> Result<Self, ValidatorSetError> {
        if addresses.is_empty() {
            return Err(ValidatorSetError::Empty);
        }
        if addresses.len() > VALIDATORS_MAX {
            return Err(ValidatorSetError::TooMany { got: addresses.len() });
        }
        addresses.sort_unstable();
        match addresses.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(pair) => Err(ValidatorSetError::Duplicate(pair[0])),
            None => Ok(Self { sorted: addresses }),
        }
    }

    /// The zero address alone, which no key has.
    pub(crate) fn of_nobody() -> Self {
        Self { sorted: vec![Address::ZERO] }
    }

    /// How many validators there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The addresses, ascending.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.sorted
    }

    /// Whether an address may vote.
    #[must_use]
    pub fn contains(&self, address: Address) -> bool {
        self.sorted.binary_search(&address).is_ok()
    }

    /// Position of an address in the set.
    #[must_use]
    pub fn index_of(&self, address: Address) -> Option<usize> {
        self.sorted.binary_search(&address).ok()
    }

    /// Faulty validators that the set withstands: floor((N-1)/3).
    #[must_use]
    pub const fn faults(&self) -> usize {
        (self.sorted.len() - 1) / 3
    }

    /// Votes that decide: ceil(2N/3), so that two quorums always share an honest validator; or the
    /// 2F+1 of GoQuorum before `ceil2Nby3Block`.
    #[must_use]
    pub const fn quorum(&self, two_thirds: bool) -> usize {
        if two_thirds { (2 * self.sorted.len()).div_ceil(3) } else { 2 * self.faults() + 1 }
    }

    /// The proposer of a round. Round robin moves on from the last block's proposer, sticky stays
    /// with it; both move on by one each round. `last` is `None` (or no longer a validator) after
    /// genesis, when the order begins at the first address.
    #[must_use]
    pub fn proposer(&self, last: Option<Address>, round: u64, sticky: bool) -> Address {
        let count = self.sorted.len() as u64;
        let seed = match last.filter(|last| !last.is_zero()) {
            None => round,
            Some(last) => {
                // GoQuorum: an unknown last proposer counts as index 0.
                let offset = self.index_of(last).unwrap_or(0) as u64;
                let step = u64::from(!sticky);
                (offset + step) % count + round % count
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "below the number of validators")]
        let index = (seed % count) as usize;
        self.sorted[index]
    }

    /// The set with `address` added or removed; `None` when that changes nothing or would leave
    /// nobody.
    #[must_use]
    pub fn changed(&self, address: Address, add: bool) -> Option<Self> {
        let mut sorted = self.sorted.clone();
        match (sorted.binary_search(&address), add) {
            (Err(position), true) if sorted.len() < VALIDATORS_MAX => {
                sorted.insert(position, address);
            }
            (Ok(position), false) if sorted.len() > 1 => {
                sorted.remove(position);
            }
            _ => return None,
        }
        Some(Self { sorted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(count: u8) -> ValidatorSet {
        ValidatorSet::new((1..=count).map(Address::repeat_byte).collect()).expect("valid set")
    }

    /// celo-blockchain#117: two quorums must share at least F+1 validators, so one honest one.
    #[test]
    fn any_two_quorums_share_an_honest_validator() {
        for count in 1..=100 {
            let set = set(count);
            let shared = 2 * set.quorum(true) - set.len().min(2 * set.quorum(true));
            assert!(shared > set.faults(), "{count} validators share {shared}");
        }
    }

    #[test]
    fn round_robin_moves_on_from_the_last_proposer() {
        let set = set(4);
        let last = Some(Address::repeat_byte(4));
        assert_eq!(set.proposer(last, 0, false), Address::repeat_byte(1));
        assert_eq!(set.proposer(last, 2, false), Address::repeat_byte(3));
        assert_eq!(set.proposer(last, 0, true), Address::repeat_byte(4));
        assert_eq!(set.proposer(None, 1, false), Address::repeat_byte(2));
    }

    #[test]
    fn the_last_validator_stays() {
        assert_eq!(set(1).changed(Address::repeat_byte(1), false), None);
    }
}
