//! P2 and P4 of what is sent, whether it arrives or not, and what an acknowledgement is worth.

use super::{World, code::MARK, truth::Payload};
use alloy_primitives::{B512, Bytes};
use entente_chain::private::{PayloadHash, PrivacyFlag, RecipientKey};
use entente_privacy::EncryptedPayload;
use tiny_keccak::{Hasher as _, Sha3};

/// Kinds of frames: their second byte.
pub(super) const PAYLOAD_FRAME: u8 = 2;
pub(super) const ACKNOWLEDGE_FRAME: u8 = 3;
pub(super) const REFUSE_FRAME: u8 = 4;

/// The payload of a frame that has one.
pub(super) fn payload_in(frame: &Bytes) -> Option<EncryptedPayload> {
    let (head, body) = frame.split_first_chunk::<2>()?;
    (head[1] == PAYLOAD_FRAME).then(|| EncryptedPayload::decode(body).ok()).flatten()
}

/// Length of head and body of the RLP list that bytes begin with.
fn list(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.first()?);
    match first {
        0xc0..=0xf7 => Some((1, first - 0xc0)),
        0xf8..=0xff => {
            let digits = first - 0xf7;
            let length = bytes.get(1..=digits)?;
            let length = length.iter().try_fold(0_usize, |sum, byte| {
                sum.checked_mul(256)?.checked_add(usize::from(*byte))
            })?;
            Some((1 + digits, length))
        }
        _ => None,
    }
}

/// SHA3-512 of the first item of a payload: of what all copies share.
fn hash_of(payload: &[u8]) -> Option<PayloadHash> {
    let (head, _) = list(payload)?;
    let content = payload.get(head..)?;
    let (head, body) = list(content)?;
    let mut hasher = Sha3::v512();
    hasher.update(content.get(..head + body)?);
    let mut hash = [0; 64];
    hasher.finalize(&mut hash);
    Some(PayloadHash(B512::from(hash)))
}

impl World {
    pub(super) fn check_frame(&mut self, from: usize, to: usize, frame: &Bytes) {
        if frame.windows(MARK.len()).any(|window| window == MARK) {
            return self.fail("P2", format!("a frame from {from} to {to} has a payload in plain"));
        }
        let Some(payload) = payload_in(frame) else { return };
        let hash = payload.hash();
        if frame.get(2..).and_then(hash_of) != Some(hash) {
            return self.fail("P4", format!("{hash} is not the hash of what {from} sends"));
        }
        let serves = |key: &RecipientKey| self.units.get(key).is_some_and(|unit| unit.0 == to);
        let boxed = payload.boxed();
        let foreign = boxed.iter().any(|key| *key != payload.sender() && !serves(key));
        let parties = self.judge.requested.get(&hash);
        let is_party = parties.is_some_and(|parties| parties.iter().any(&serves));
        let tells =
            payload.terms().flag != PrivacyFlag::StateValidation && payload.disclosed().is_some();
        if foreign || !is_party || tells || !boxed.iter().any(serves) {
            let what = format!("node {from} sends {to} more of {hash} than it may see: {boxed:?}");
            self.fail("P2", what);
        }
    }

    /// A client was told that every party has its payload: then a loss of power changes nothing.
    pub(super) fn check_acknowledged(&mut self, hash: PayloadHash, payload: &Payload) {
        let units: Vec<_> =
            payload.parties.iter().filter_map(|key| self.units.get(key)).copied().collect();
        for (node, _) in units {
            let replaced = self.machines[node].wiped_at.is_some_and(|at| at >= payload.at);
            if !replaced && !self.is_durable(node, hash) {
                let what = format!("{hash} is acknowledged and not durable at node {node}");
                return self.fail("acknowledged", what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_both_forms_are_measured() {
        assert_eq!(list(&[0xc2, 1, 2]), Some((1, 2)));
        assert_eq!(list(&[0xf8, 60]), Some((2, 60)));
        assert_eq!(list(&[0xf9, 1, 2]), Some((3, 258)));
        assert_eq!(list(&[0x80]), None);
        assert_eq!(list(&[0xf9, 1]), None);
    }
}
