//! The little of Solidity's ABI that the management contract needs: addresses, booleans and texts.

use alloy_primitives::{Address, U256};

const WORD: usize = 32;
/// Longest text that is read: a payload hash in hex has 130 bytes.
const TEXT_BYTES_MAX: usize = 256;

/// One argument.
#[derive(Clone, Copy)]
pub(super) enum Argument<'a> {
    Address(Address),
    Bool(bool),
    Text(&'a str),
}

/// Encodes arguments as they follow a selector or a constructor's code.
pub(super) fn encode(arguments: &[Argument<'_>]) -> Vec<u8> {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let heads = arguments.len().saturating_mul(WORD);
    for argument in arguments {
        match argument {
            Argument::Address(address) => head.extend_from_slice(address.into_word().as_slice()),
            Argument::Bool(value) => head.extend(word(usize::from(*value))),
            Argument::Text(text) => {
                head.extend(word(heads.saturating_add(tail.len())));
                tail.extend(word(text.len()));
                tail.extend_from_slice(text.as_bytes());
                tail.resize(tail.len().next_multiple_of(WORD), 0);
            }
        }
    }
    [head, tail].concat()
}

fn word(number: usize) -> [u8; WORD] {
    U256::from(number).to_be_bytes()
}

/// Reads encoded arguments by their place, from 0.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a>(pub(super) &'a [u8]);

impl<'a> Arguments<'a> {
    fn word_at(self, start: usize) -> Option<&'a [u8]> {
        self.0.get(start..start.checked_add(WORD)?)
    }

    fn number_at(self, start: usize) -> Option<usize> {
        U256::try_from_be_slice(self.word_at(start)?)?.try_into().ok()
    }

    pub(super) fn address(self, place: usize) -> Option<Address> {
        let (zeros, address) = self.word_at(place.checked_mul(WORD)?)?.split_at(12);
        zeros.iter().all(|byte| *byte == 0).then(|| Address::from_slice(address))
    }

    pub(super) fn bool(self, place: usize) -> Option<bool> {
        match self.number_at(place.checked_mul(WORD)?)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn text(self, place: usize) -> Option<&'a str> {
        let start = self.number_at(place.checked_mul(WORD)?)?;
        let length = self.number_at(start).filter(|length| *length <= TEXT_BYTES_MAX)?;
        let start = start.checked_add(WORD)?;
        std::str::from_utf8(self.0.get(start..start.checked_add(length)?)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arguments_are_read_back() {
        let address = Address::repeat_byte(7);
        let encoded = encode(&[
            Argument::Address(address),
            Argument::Text("a key of more than thirty-two characters"),
            Argument::Bool(true),
            Argument::Text(""),
        ]);
        assert_eq!(encoded.len(), WORD * (4 + 3 + 1));
        let read = Arguments(&encoded);
        assert_eq!(read.address(0), Some(address));
        assert_eq!(read.text(1), Some("a key of more than thirty-two characters"));
        assert_eq!((read.bool(2), read.text(3)), (Some(true), Some("")));
        assert_eq!((read.bool(0), read.text(0), read.text(4)), (None, None, None));
    }

    #[test]
    fn a_text_that_is_too_long_is_not_read() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(Arguments(&encode(&[Argument::Text(&long)])).text(0), None);
    }

    proptest! {
        #[test]
        fn bytes_of_anybody_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let read = Arguments(&bytes);
            for place in 0..4 {
                let _ = (read.address(place), read.bool(place), read.text(place));
            }
        }
    }
}
