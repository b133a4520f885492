//! RocksDB as the disk. Column families are the columns; every batch goes through the write-ahead
//! log, and only synced ones wait for the disk.
//!
//! Never creates a database over the remains of one.

mod torn_log;

use crate::{Batch, Column, Durability, KeyRange, KeyValue, StoreError, Visit};
use alloy_primitives::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIterator, ErrorKind, Options, ReadOptions, WriteBatch, WriteOptions,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Files that RocksDB keeps open.
const OPEN_FILES_MAX: i32 = 512;
/// Memory for writes that are not yet in a table, over all columns, in bytes.
const WRITE_BUFFERS_BYTES: usize = 48 * 1024 * 1024;
/// The same for one column, in bytes.
const WRITE_BUFFER_BYTES: usize = 12 * 1024 * 1024;
/// Step in which write buffers grow, in bytes: small, because most columns of an idle node hold
/// next to nothing.
const ARENA_BLOCK_BYTES: usize = 64 * 1024;
/// Write-ahead log that may wait for idle columns, in bytes; bounds the time of a restart.
const LOG_BYTES_MAX: u64 = 96 * 1024 * 1024;
/// Block of a table for columns read at random, in bytes.
const BLOCK_BYTES: usize = 8 * 1024;
/// Block of a table for bodies and receipts, in bytes: bigger compresses better.
const LARGE_BLOCK_BYTES: usize = 64 * 1024;
/// Bits of filter per key.
const FILTER_BITS: f64 = 10.0;

/// The database files, open.
#[derive(Debug)]
pub(crate) struct Rocks {
    database: DB,
    path: PathBuf,
}

impl Rocks {
    /// Opens or creates the database in a directory.
    pub(crate) fn open(
        path: &Path,
        cache_bytes: usize,
        read_only: bool,
    ) -> Result<Self, StoreError> {
        refuse_remains(path)?;
        if read_only {
            // RocksDB takes no lock to read, and would see a running node's files change.
            if let Some(holder) = lock_holder(&path.join("LOCK")) {
                return Err(StoreError::Locked { path: path.into(), holder: Some(holder) });
            }
        } else {
            fs::create_dir_all(path).map_err(|cause| disk_error(path, &cause.to_string()))?;
        }
        let mut options = database_options();
        let cache = Cache::new_lru_cache(cache_bytes);
        let outcome = match open_with(&options, path, &cache, read_only) {
            Err(cause) if cause.kind() == ErrorKind::Corruption => {
                // What cannot be read now is reported as the damage that it is.
                match torn_log::is_torn(path).unwrap_or(false) {
                    true => open_torn(&mut options, path, &cache, read_only),
                    false => Err(cause),
                }
            }
            outcome => outcome,
        };
        let database = outcome.map_err(|cause| open_error(path, &cause))?;
        Ok(Self { database, path: path.into() })
    }

    fn family(&self, column: Column) -> Result<&ColumnFamily, StoreError> {
        self.database.cf_handle(column.name()).ok_or_else(|| StoreError::Damaged {
            path: self.path.as_path().into(),
            cause: format!("column {column} is missing").into(),
        })
    }

    fn error(&self, cause: &rocksdb::Error) -> StoreError {
        error_at(&self.path, cause)
    }

    fn cursor(&self, column: Column, range: &KeyRange) -> Result<DBRawIterator<'_>, StoreError> {
        let mut options = ReadOptions::default();
        if let Some(until) = &range.until {
            options.set_iterate_upper_bound(until.clone());
        }
        Ok(self.database.raw_iterator_cf_opt(self.family(column)?, options))
    }
}

impl KeyValue for Rocks {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.database
            .get_cf(self.family(column)?, key)
            .map(|value| value.map(Bytes::from))
            .map_err(|cause| self.error(&cause))
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut cursor = self.cursor(column, range)?;
        cursor.seek(&range.from);
        while let Some((key, value)) = cursor.item() {
            if visit(key, value)?.is_break() {
                break;
            }
            cursor.next();
        }
        cursor.status().map_err(|cause| self.error(&cause))
    }

    fn last(&self, column: Column, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let mut cursor = self.cursor(column, range)?;
        cursor.seek_to_last();
        let found = cursor
            .item()
            .filter(|(key, _)| range.contains(key))
            .map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        cursor.status().map_err(|cause| self.error(&cause))?;
        Ok(found)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        for (column, key, value) in batch.iter() {
            let family = self.family(column)?;
            match value {
                Some(value) => writes.put_cf(family, key, value),
                None => writes.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.database.write_opt(writes, &options).map_err(|cause| self.error(&cause))
    }
}

fn open_with(
    options: &Options,
    path: &Path,
    cache: &Cache,
    read_only: bool,
) -> Result<DB, rocksdb::Error> {
    let columns = columns_to_open(options, path, read_only)
        .into_iter()
        .map(|column| ColumnFamilyDescriptor::new(column.name(), column_options(column, cache)));
    match read_only {
        true => DB::open_cf_descriptors_read_only(options, path, columns, false),
        false => DB::open_cf_descriptors(options, path, columns),
    }
}

/// The last pages of the log never reached the disk: what they belong to was not durable, and
/// nobody was told that it was. All before it is read, and nothing after it.
fn open_torn(
    options: &mut Options,
    path: &Path,
    cache: &Cache,
    read_only: bool,
) -> Result<DB, rocksdb::Error> {
    tracing::warn!(path = %path.display(), "the end of the database's log was never written: dropped");
    options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
    open_with(options, path, cache, read_only)
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(2);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_total_wal_size(LOG_BYTES_MAX);
    // A batch that a crash cut off is dropped; all other damage is an error, not a silent rewind to
    // an older block and older votes. Pages that a loss of power took: `torn_log`.
    options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_paranoid_checks(true);
    options.set_bytes_per_sync(1024 * 1024);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(4 * 1024 * 1024);
    options.set_stats_dump_period_sec(0);
    options.set_skip_stats_update_on_db_open(true);
    options
}

/// Every column; those that are missing are made. A database that is only read may have been
/// written by a version that knew fewer.
fn columns_to_open(options: &Options, path: &Path, read_only: bool) -> Vec<Column> {
    let present = DB::list_cf(options, path).ok().filter(|_| read_only);
    let is_there = |column: &Column| match &present {
        Some(present) => present.iter().any(|name| name == column.name()),
        None => true,
    };
    Column::ALL.into_iter().filter(is_there).collect()
}

fn column_options(column: Column, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_format_version(5);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let large = matches!(column, Column::Bodies | Column::Receipts);
    table.set_block_size(if large { LARGE_BLOCK_BYTES } else { BLOCK_BYTES });
    // Point look-ups, many of them for keys that do not exist.
    if matches!(
        column,
        Column::Accounts
            | Column::Slots
            | Column::Code
            | Column::AccountTrie
            | Column::StorageTrie
            | Column::Transactions
            | Column::Numbers
    ) {
        table.set_bloom_filter(FILTER_BITS, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_arena_block_size(ARENA_BLOCK_BYTES);
    options
}

/// RocksDB makes a new database where `CURRENT` is missing, even over the files of an old one.
fn refuse_remains(path: &Path) -> Result<(), StoreError> {
    if path.join("CURRENT").exists() {
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let remains =
            name.starts_with("MANIFEST-") || [".sst", ".log"].iter().any(|end| name.ends_with(end));
        if remains {
            return Err(StoreError::Damaged {
                path: path.into(),
                cause: format!("file CURRENT is missing beside {name}").into(),
            });
        }
    }
    Ok(())
}

fn open_error(path: &Path, cause: &rocksdb::Error) -> StoreError {
    let text = cause.to_string();
    if cause.kind() == ErrorKind::IOError && text.contains("lock") && text.contains("LOCK") {
        return StoreError::Locked { path: path.into(), holder: lock_holder(&path.join("LOCK")) };
    }
    // Opening reads the log and the manifest: an argument that RocksDB refuses here (unknown
    // column, other format) is about the files, not about us.
    if cause.kind() == ErrorKind::InvalidArgument {
        return StoreError::Damaged { path: path.into(), cause: text.into() };
    }
    error_at(path, cause)
}

fn error_at(path: &Path, cause: &rocksdb::Error) -> StoreError {
    match cause.kind() {
        ErrorKind::Corruption => {
            StoreError::Damaged { path: path.into(), cause: cause.to_string().into() }
        }
        _ => disk_error(path, cause.as_ref()),
    }
}

fn disk_error(path: &Path, cause: &str) -> StoreError {
    StoreError::Disk { path: path.into(), cause: cause.into() }
}

/// Which process holds a lock on a file, from the kernel's table of locks.
fn lock_holder(file: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let inode = fs::metadata(file).ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // "1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(4);
        let process = words.next()?;
        let place = words.next()?;
        (place.rsplit(':').next()? == inode).then(|| process.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_version_that_knew_fewer_columns_is_read() {
        for added in [Column::Evidence, Column::Payloads] {
            let folder = tempfile::tempdir().unwrap();
            let older = Column::ALL.into_iter().filter(|column| *column != added);
            let names = older.map(Column::name);
            drop(DB::open_cf(&database_options(), folder.path(), names).unwrap());
            let disk = Rocks::open(folder.path(), 1 << 20, true).unwrap();
            assert_eq!(disk.get(Column::Meta, b"schema"), Ok(None));
            assert!(matches!(disk.get(added, b"key"), Err(StoreError::Damaged { .. })));
            drop(disk);
            let disk = Rocks::open(folder.path(), 1 << 20, false).unwrap();
            assert_eq!(disk.get(added, b"key"), Ok(None));
        }
    }
}
