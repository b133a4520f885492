//! Says everything late: around the time when the others give up.

use super::{Means, Said};
use alloy_primitives::Bytes;

pub(super) fn distort(frame: &Bytes, means: &mut Means<'_>) -> Vec<Said> {
    let delay = 500 + means.random.below(3_500);
    vec![Said { to: None, frame: frame.clone(), delay }]
}
