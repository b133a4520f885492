//! Contract code with its jump destinations worked out, kept across blocks and calls.

use alloy_primitives::{B256, Bytes};
use lru::LruCache;
use revm::bytecode::Bytecode;
use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

/// Contracts kept: at 24 KiB each this is at most 24 MiB and an eighth for the jump tables.
const CONTRACTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Analysed code by hash, least recently used out first.
pub(crate) struct CodeCache(Mutex<LruCache<B256, Bytecode>>);

impl CodeCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CONTRACTS_MAX)))
    }

    pub(crate) fn get(&self, hash: B256) -> Option<Bytecode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    pub(crate) fn insert(&self, hash: B256, code: Bytecode) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(hash, code);
    }
}

/// Works out jump destinations. Only exactly EIP-7702's 23 bytes are a delegation; other code that
/// begins alike (possible from before EIP-3541) runs as it always did.
pub(crate) fn analyse(code: Bytes) -> Bytecode {
    if code.is_empty() {
        return Bytecode::default();
    }
    Bytecode::new_eip7702_raw(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_delegation_is_plain_code() {
        let short = Bytes::from_static(&[0xef, 0x01, 0x00, 0x11]);
        assert!(analyse(short.clone()).is_legacy());
        assert_eq!(analyse(short.clone()).original_bytes(), short);
        let mut delegation = vec![0xef, 0x01, 0x00];
        delegation.extend([7; 20]);
        assert!(analyse(delegation.clone().into()).is_eip7702());
        delegation[2] = 1;
        assert!(analyse(delegation.into()).is_legacy());
    }
}
