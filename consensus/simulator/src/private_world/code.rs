//! The one contract that private and public transactions create, by hand: it does everything that the
//! properties are about, and what it must leave behind is easy to say ([`super::model`]).

use alloy_primitives::{Address, B256, Bytes, U256};

/// Bytes that every private word begins with: where they turn up in plain, something leaked.
pub(super) const MARK: &[u8; 8] = b"PLAINTXT";

/// Gas of every transaction: enough for the contract, a call of another, and a read.
pub(super) const GAS: u64 = 1_000_000;

/// Without data: answers slot 0. With data `word, target, reader`: keeps the word in slot 0, logs it,
/// counts in slot 1, gives the word to `target` and keeps in slot 2 how that went (1 failed, 2 done),
/// asks `reader` and keeps the answer in slot 3. Target and reader may be zero: none.
const RUNTIME: [u8; 0x67] = [
    0x36, 0x60, 0x0f, 0x57, // CALLDATASIZE, PUSH 15, JUMPI
    0x60, 0x00, 0x54, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3, // return slot 0
    0x5b, 0x60, 0x00, 0x35, 0x80, // JUMPDEST 15, word twice
    0x60, 0x00, 0x52, 0x60, 0x00, 0x55, // memory 0 and slot 0 = word
    0x60, 0x20, 0x60, 0x00, 0xa0, // LOG0 of the word
    0x60, 0x01, 0x54, 0x60, 0x01, 0x01, 0x60, 0x01, 0x55, // slot 1 += 1
    0x60, 0x20, 0x35, 0x80, 0x15, 0x60, 0x46, 0x57, // no target: on to 70
    0x60, 0x00, 0x60, 0x00, 0x60, 0x20, 0x60, 0x00, 0x60, 0x00, 0x85, // CALL's arguments
    0x62, 0x03, 0x0d, 0x40, 0xf1, // 200,000 gas, CALL
    0x60, 0x01, 0x01, 0x60, 0x02, 0x55, // slot 2 = 1 + success
    0x5b, 0x50, 0x60, 0x40, 0x35, 0x80, 0x15, 0x60, 0x65, 0x57, // JUMPDEST 70; no reader: 101
    0x60, 0x20, 0x60, 0x20, 0x60, 0x00, 0x60, 0x00, 0x84, // STATICCALL's arguments
    0x62, 0x01, 0x86, 0xa0, 0xfa, 0x50, // 100,000 gas, STATICCALL
    0x60, 0x20, 0x51, 0x60, 0x03, 0x55, // slot 3 = answer
    0x5b, 0x00, // JUMPDEST 101, STOP
];

/// What a transaction asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A new contract with a word in slot 0.
    Create { word: B256 },
    /// A call of a contract.
    Call { to: Address, word: B256, target: Option<Address>, reader: Option<Address> },
}

impl Call {
    /// Whom the transaction is sent to; nobody: it creates.
    pub(super) const fn to(&self) -> Option<Address> {
        match self {
            Self::Create { .. } => None,
            Self::Call { to, .. } => Some(*to),
        }
    }

    /// Init code or call data.
    pub(super) fn data(&self) -> Vec<u8> {
        match self {
            Self::Create { word } => init_code(*word),
            Self::Call { word, target, reader, .. } => {
                let place = |address: &Option<Address>| {
                    address.map_or(B256::ZERO, |address| address.into_word())
                };
                [word.0, place(target).0, place(reader).0].concat()
            }
        }
    }

    /// The same for the public transaction of a call that is not private.
    pub(super) fn public_data(&self) -> Bytes {
        self.data().into()
    }
}

fn init_code(word: B256) -> Vec<u8> {
    const STORE: [u8; 3] = [0x60, 0x00, 0x55];
    // PUSH length, DUP, PUSH place, PUSH 0, CODECOPY, PUSH 0, RETURN
    const COPY: [u8; 11] = [0x60, 0x67, 0x80, 0x60, 0x2f, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    [&[0x7f], word.as_slice(), &STORE, &COPY, &RUNTIME].concat()
}

/// A word as a slot holds it.
pub(super) fn as_slot(word: B256) -> U256 {
    U256::from_be_bytes(word.0)
}
