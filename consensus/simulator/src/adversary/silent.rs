//! Says nothing for a while, or only to some.

use super::{Means, Said};
use alloy_primitives::Bytes;

pub(super) fn distort(frame: &Bytes, means: &mut Means<'_>) -> Vec<Said> {
    if means.random.percent(70) {
        return Vec::new();
    }
    let only = means.random.index(means.nodes);
    vec![Said { to: Some(only), frame: frame.clone(), delay: 0 }]
}
