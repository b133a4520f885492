//! Honest, and says again what anybody has said before (the adversary of the Dafny specification).

use super::{Means, Said};
use alloy_primitives::Bytes;

pub(super) fn distort(frame: &Bytes, means: &mut Means<'_>) -> Vec<Said> {
    let mut said = vec![Said::to_all(frame.clone())];
    for _ in 0..3 {
        let index = means.random.index(means.bag.len());
        if let Some(old) = means.bag.get(index) {
            said.push(Said { to: None, frame: old.clone(), delay: means.random.below(2_000) });
        }
    }
    said
}
