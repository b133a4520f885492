//! Both copies are honest code; that they share a key is the lie (Twins, OPODIS 2021).

use super::Said;
use alloy_primitives::Bytes;

pub(super) fn distort(frame: &Bytes) -> Vec<Said> {
    vec![Said::to_all(frame.clone())]
}
