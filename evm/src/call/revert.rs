//! Reads the text out of revert data, which a contract makes up as it likes. Nothing in block
//! processing ever looks at it.

use alloy_primitives::{U256, hex};

/// Selector of `Error(string)`.
const ERROR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// Selector of `Panic(uint256)`.
const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];
/// Longest text taken over, in bytes; the data itself is always given whole.
const REASON_BYTES_MAX: usize = 1024;

/// The reason in revert data; `None` when it has none of the two standard forms.
pub(crate) fn reason(output: &[u8]) -> Option<String> {
    let (selector, arguments) = output.split_first_chunk::<4>()?;
    match *selector {
        ERROR => string(arguments).map(harmless),
        PANIC => word(arguments, 0).map(panic_text),
        _ => None,
    }
}

fn word(data: &[u8], at: usize) -> Option<U256> {
    U256::try_from_be_slice(data.get(at..at.checked_add(32)?)?)
}

/// The first argument as an ABI string.
fn string(data: &[u8]) -> Option<&[u8]> {
    let offset = usize::try_from(word(data, 0)?).ok()?;
    let length = usize::try_from(word(data, offset)?).ok()?;
    let start = offset.checked_add(32)?;
    data.get(start..start.checked_add(length)?)
}

/// Text that may stand in a message and a log: no control characters, no broken UTF-8, not long.
fn harmless(text: &[u8]) -> String {
    let text = text.get(..REASON_BYTES_MAX).unwrap_or(text);
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '?' } else { c })
        .collect()
}

/// Solidity's panic codes in geth's words.
fn panic_text(code: U256) -> String {
    let known = match u8::try_from(code) {
        Ok(0x00) => "generic panic",
        Ok(0x01) => "assert(false)",
        Ok(0x11) => "arithmetic underflow or overflow",
        Ok(0x12) => "division or modulo by zero",
        Ok(0x21) => "enum overflow",
        Ok(0x22) => "invalid encoded storage byte array accessed",
        Ok(0x31) => "out-of-bounds array access; popping on an empty array",
        Ok(0x32) => "out-of-bounds access of an array or bytesN",
        Ok(0x41) => "out of memory",
        Ok(0x51) => "uninitialized function",
        _ => {
            return format!(
                "unknown panic code: 0x{}",
                hex::encode(code.to_be_bytes_trimmed_vec())
            );
        }
    };
    known.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(offset: u64, length: U256, text: &[u8]) -> Vec<u8> {
        let mut data = ERROR.to_vec();
        data.extend(U256::from(offset).to_be_bytes::<32>());
        data.extend(length.to_be_bytes::<32>());
        data.extend(text);
        data
    }

    #[test]
    fn an_error_string_is_read() {
        assert_eq!(reason(&error(32, U256::from(6), b"denied")).as_deref(), Some("denied"));
    }

    #[test]
    fn a_panic_code_has_a_name() {
        let mut data = PANIC.to_vec();
        data.extend(U256::from(0x11).to_be_bytes::<32>());
        assert_eq!(reason(&data).as_deref(), Some("arithmetic underflow or overflow"));
        data[35] = 0x99;
        assert_eq!(reason(&data).as_deref(), Some("unknown panic code: 0x99"));
    }

    #[test]
    fn broken_utf_8_and_control_characters_are_made_harmless() {
        let data = error(32, U256::from(5), &[b'a', 0xff, 0xfe, b'\n', 0x1b]);
        assert_eq!(reason(&data).as_deref(), Some("a????"));
    }

    #[test]
    fn a_huge_text_is_cut() {
        let text = vec![b'x'; 1 << 20];
        let data = error(32, U256::from(text.len()), &text);
        assert_eq!(reason(&data).map(|text| text.len()), Some(REASON_BYTES_MAX));
    }

    #[test]
    fn lengths_and_offsets_that_lie_give_no_reason() {
        assert_eq!(reason(&error(32, U256::MAX, b"x")), None);
        assert_eq!(reason(&error(u64::MAX, U256::ONE, b"x")), None);
        assert_eq!(reason(&error(0, U256::ONE, b"")), Some(String::new()));
        assert_eq!(reason(&ERROR), None);
    }

    proptest! {
        #[test]
        fn no_data_panics(data in proptest::collection::vec(any::<u8>(), 0..200), panic: bool) {
            let mut data = data;
            data.splice(0..0, if panic { PANIC } else { ERROR });
            reason(&data);
        }
    }
}
