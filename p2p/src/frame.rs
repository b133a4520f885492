//! Frames on a lane: four bytes of length, big endian, then the body. The length is checked
//! before a byte of memory is spent on it, and memory grows only with what has arrived.

use alloy_primitives::Bytes;
use futures::{AsyncRead, AsyncReadExt};
use std::io;

/// Memory set aside for a frame before its first byte has come.
const FIRST_CHUNK: usize = 64 * 1024;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The length is over the lane's limit.
    #[error("frame of {got} bytes, at most {limit} expected")]
    TooLarge { got: usize, limit: usize },
    /// The connection is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The header of a frame.
#[expect(clippy::cast_possible_truncation, reason = "every lane's limit is far below 4 GiB")]
pub(crate) const fn header(length: usize) -> [u8; 4] {
    (length as u32).to_be_bytes()
}

/// Reads the length of the next frame and checks it.
pub(crate) async fn read_length<R: AsyncRead + Unpin>(
    reader: &mut R,
    limit: usize,
) -> Result<usize, FrameError> {
    let mut header = [0; 4];
    reader.read_exact(&mut header).await?;
    let got = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if got > limit { Err(FrameError::TooLarge { got, limit }) } else { Ok(got) }
}

/// Reads a body of a length that was checked.
pub(crate) async fn read_body<R: AsyncRead + Unpin>(
    reader: &mut R,
    length: usize,
) -> io::Result<Bytes> {
    let mut body = vec![0; length.min(FIRST_CHUNK)];
    let mut filled = 0;
    loop {
        if let Some(free) = body.get_mut(filled..) {
            reader.read_exact(free).await?;
        }
        filled = body.len();
        if filled >= length {
            return Ok(body.into());
        }
        body.resize(length.min(filled.saturating_mul(2)), 0);
    }
}

/// Reads one frame.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
    limit: usize,
) -> Result<Bytes, FrameError> {
    let length = read_length(reader, limit).await?;
    Ok(read_body(reader, length).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{executor::block_on, io::Cursor};

    fn framed(body: &[u8]) -> Vec<u8> {
        [&header(body.len()), body].concat()
    }

    #[test]
    fn a_large_frame_comes_back_whole() {
        let body: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut wire = Cursor::new(framed(&body));
        assert_eq!(block_on(read(&mut wire, 400_000)).expect("frame").as_ref(), &body);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_the_body() {
        let mut wire = Cursor::new(u32::MAX.to_be_bytes().to_vec());
        let error = block_on(read(&mut wire, 10)).expect_err("too large");
        assert_eq!(error.to_string(), "frame of 4294967295 bytes, at most 10 expected");
    }

    #[test]
    fn a_frame_cut_short_is_an_error() {
        let wire = framed(&[7; 100]);
        for length in 0..wire.len() {
            let mut cut = Cursor::new(wire.get(..length).expect("prefix").to_vec());
            assert!(block_on(read(&mut cut, 100)).is_err());
        }
    }
}
