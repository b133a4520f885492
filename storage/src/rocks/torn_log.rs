//! Tells a write-ahead log whose end never reached the disk from one that is damaged.
//!
//! A machine that loses power may keep the length of a file and lose some of its last pages: they
//! read as zeros. RocksDB takes that for damage if such a page lies amid a batch. What was not synced
//! may go; but records of votes must not go in silence because a bit has rotted. So, as etcd does it,
//! a batch is torn only if a whole sector of it is zero, and it must be among the last ones.
//!
//! Format: blocks of 32 KiB; in them pieces of batches, each with checksum (CRC-32C of kind and data,
//! rotated and offset), length, kind; a batch is one whole piece, or a first one, any number of middle
//! ones and a last one.

use std::{fs, io, path::Path};

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;
/// The least that a disk writes as a whole.
const SECTOR: usize = 512;
/// Batches after the torn one: a synced write that was under way covers a block that was not synced,
/// and the deletion of old records.
const BATCHES_AFTER_MAX: usize = 2;

const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// What the logs of a database hold, from the oldest file to the newest.
#[derive(Debug, Default)]
struct Scan {
    is_torn: bool,
    is_damaged: bool,
    /// Amid a batch that began after the tear.
    amid: bool,
    after: usize,
}

/// Whether all damage in the write-ahead log is that of a write that never ended.
pub(super) fn is_torn(folder: &Path) -> io::Result<bool> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), Some("log")) = (number, path.extension().and_then(|it| it.to_str())) {
            logs.push((number, path));
        }
    }
    logs.sort_unstable();
    let mut scan = Scan::default();
    for (_, path) in logs {
        scan.file(&fs::read(path)?);
    }
    Ok(scan.is_torn && !scan.is_damaged && scan.after <= BATCHES_AFTER_MAX)
}

impl Scan {
    fn file(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK) {
            self.block(block, block.len() < BLOCK);
        }
    }

    fn block(&mut self, block: &[u8], is_last: bool) {
        let mut at = 0;
        while let Some((header, rest)) =
            block.get(at..).and_then(|rest| rest.split_first_chunk::<HEADER>())
        {
            let [c0, c1, c2, c3, low, high, kind] = *header;
            let length = usize::from(u16::from_le_bytes([low, high]));
            let Some(data) = rest.get(..length).filter(|_| kind != 0 || length > 0) else {
                // Cut off, which RocksDB forgives, or no header.
                if kind == 0 || !is_last {
                    self.tear(block, at, block.len());
                }
                return;
            };
            let end = at + HEADER + length;
            if masked(crc32c(kind, data)) == u32::from_le_bytes([c0, c1, c2, c3]) {
                self.piece(kind);
            } else {
                self.tear(block, at, end);
            }
            at = end;
        }
    }

    fn piece(&mut self, kind: u8) {
        let ends = match kind {
            WHOLE => true,
            LAST => self.amid,
            _ => false,
        };
        self.after += usize::from(ends && self.is_torn);
        self.amid = match kind {
            FIRST => true,
            MIDDLE => self.amid,
            _ => false,
        };
    }

    fn tear(&mut self, block: &[u8], from: usize, until: usize) {
        self.amid = false;
        match has_zero_sector(block, from, until) {
            true => self.is_torn = true,
            false => self.is_damaged = true,
        }
    }
}

/// Whether what lies in one of the sectors between two places is all zero.
fn has_zero_sector(block: &[u8], from: usize, until: usize) -> bool {
    let mut at = from;
    while at < until {
        let next = ((at / SECTOR + 1) * SECTOR).min(until);
        if block.get(at..next).is_some_and(|part| part.iter().all(|byte| *byte == 0)) {
            return true;
        }
        at = next;
    }
    false
}

/// CRC-32C (Castagnoli) of a kind and its data.
fn crc32c(kind: u8, data: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        let slot = (crc ^ u32::from(*byte)) & 0xff;
        (crc >> 8) ^ TABLE.get(slot as usize).copied().unwrap_or_default()
    };
    !std::iter::once(&kind).chain(data).fold(!0, byte)
}

const fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

static TABLE: [u32; 256] = table();

#[expect(clippy::cast_possible_truncation, reason = "below 256")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut slot = 0;
    while slot < 256 {
        let mut crc = slot as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[slot] = crc;
        slot += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::Rocks;
    use super::*;
    use crate::{Batch, Column, Durability, KeyRange, KeyValue, StoreError};
    use std::{ops::ControlFlow, path::PathBuf};

    /// Bytes of one batch: more than a block of the log, so that each has several pieces.
    const SIZE: usize = 50_000;

    fn log(folder: &Path) -> PathBuf {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap()
    }

    /// Writes six batches, changes what the log holds of them, and gives the batches that are there
    /// after opening again.
    fn opens_with(change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>, StoreError> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Rocks::open(folder.path(), 1 << 20, false).unwrap();
        for key in 0..6 {
            let mut batch = Batch::default();
            batch.put(Column::ConsensusLog, &[key], &[key + 1; SIZE]);
            disk.write(&batch, Durability::Buffered).unwrap();
        }
        drop(disk);
        let log = log(folder.path());
        let mut bytes = fs::read(&log).unwrap();
        change(&mut bytes);
        fs::write(&log, bytes).unwrap();
        let mut keys = Vec::new();
        // Twice: what was dropped stays so.
        for _ in 0..2 {
            let disk = Rocks::open(folder.path(), 1 << 20, false)?;
            keys.clear();
            disk.scan(Column::ConsensusLog, &KeyRange::all(), &mut |key, value| {
                assert_eq!(value, vec![key[0] + 1; SIZE]);
                keys.extend_from_slice(key);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(keys)
    }

    fn lose_page(bytes: &mut [u8], near: usize) {
        let page = near / 4096 * 4096;
        bytes[page..page + 4096].fill(0);
    }

    fn middle_of(batch: usize) -> usize {
        SIZE * batch + SIZE / 2
    }

    #[test]
    fn what_never_reached_the_disk_is_dropped_with_what_came_after_it() {
        let last = opens_with(|bytes| {
            let end = bytes.len();
            bytes[end - 4096..].fill(0);
        });
        assert_eq!(last.unwrap(), [0, 1, 2, 3, 4]);
        let in_last = opens_with(|bytes| lose_page(bytes, middle_of(5)));
        assert_eq!(in_last.unwrap(), [0, 1, 2, 3, 4]);
        // The synced write that would have covered it was under way.
        let before_last = opens_with(|bytes| lose_page(bytes, middle_of(4)));
        assert_eq!(before_last.unwrap(), [0, 1, 2, 3]);
        let both = opens_with(|bytes| {
            lose_page(bytes, middle_of(4));
            lose_page(bytes, middle_of(5));
        });
        assert_eq!(both.unwrap(), [0, 1, 2, 3]);
    }

    /// Else records of votes could go in silence.
    #[test]
    fn a_page_that_was_synced_long_ago_is_missed() {
        let early = opens_with(|bytes| lose_page(bytes, middle_of(1)));
        assert!(matches!(early, Err(StoreError::Damaged { .. })), "{early:?}");
    }

    #[test]
    fn a_bit_that_rotted_is_damage_wherever_it_is() {
        for batch in 0..6 {
            let found = opens_with(|bytes| bytes[middle_of(batch)] ^= 1);
            assert!(matches!(found, Err(StoreError::Damaged { .. })), "{batch}: {found:?}");
        }
    }

    #[test]
    fn a_log_that_is_cut_off_opens_as_before() {
        let cut = opens_with(|bytes| bytes.truncate(middle_of(5)));
        assert_eq!(cut.unwrap(), [0, 1, 2, 3, 4]);
    }

    /// RFC 3720, B.4: 32 bytes of zero; here the first of them is the kind.
    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32c(0, &[0; 31]), 0x8a91_36aa);
    }
}
