//! Files of secrets: readable by their owner only, bounded, durable, never overwritten.

use super::KeyStoreError;
use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// No key file is larger.
const FILE_BYTES_MAX: u64 = 64 * 1024;

fn failed(path: &Path) -> impl Fn(io::Error) -> KeyStoreError {
    move |cause| KeyStoreError::File { path: path.to_owned(), cause }
}

pub(super) fn create_folder(folder: &Path) -> Result<(), KeyStoreError> {
    if folder.exists() {
        return check_folder(folder);
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))
}

pub(super) fn check_folder(folder: &Path) -> Result<(), KeyStoreError> {
    check_mode(folder, &fs::metadata(folder).map_err(failed(folder))?, 0o700)
}

fn check_mode(path: &Path, found: &fs::Metadata, expected: u32) -> Result<(), KeyStoreError> {
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyStoreError::Readable { path: path.to_owned(), mode, expected });
    }
    Ok(())
}

/// The files of a folder whose names begin so; none where there is no folder.
pub(super) fn with_prefix(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, KeyStoreError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    check_folder(folder)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let name = entry.file_name();
        let named =
            name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(".json"));
        if named {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The text of a file that only its owner may read.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyStoreError> {
    read(path, |metadata| check_mode(path, metadata, 0o600))
}

/// The text of a file that anybody may read.
pub(super) fn read_public(path: &Path) -> Result<Zeroizing<String>, KeyStoreError> {
    read(path, |_| Ok(()))
}

fn read(
    path: &Path,
    check: impl Fn(&fs::Metadata) -> Result<(), KeyStoreError>,
) -> Result<Zeroizing<String>, KeyStoreError> {
    let file = fs::File::open(path).map_err(failed(path))?;
    let metadata = file.metadata().map_err(failed(path))?;
    check(&metadata)?;
    if metadata.len() > FILE_BYTES_MAX {
        let cause = format!("{} bytes, at most {FILE_BYTES_MAX} are expected", metadata.len());
        return Err(KeyStoreError::Malformed { path: path.to_owned(), cause });
    }
    let capacity = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1);
    // Sized before, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed(path))?;
    Ok(text)
}

/// Writes a new file with mode 600, whole or not at all, durable on return.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), KeyStoreError> {
    let folder = path.parent().unwrap_or(path);
    let scratch = path.with_extension("new");
    if scratch.exists() {
        // Left by a process that died; it never was a key.
        fs::remove_file(&scratch).map_err(failed(&scratch))?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&scratch)
        .map_err(failed(&scratch))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed(&scratch))?;
    // Unlike a rename, a link fails where there is a file.
    let linked = fs::hard_link(&scratch, path).map_err(failed(path));
    fs::remove_file(&scratch).map_err(failed(&scratch))?;
    linked?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}
