//! Copies the files of a database that may be open in another process, so that something can be
//! tried on the copy. Tables never change once they are written and are linked where both folders
//! lie on one disk; everything else is small.

use crate::StoreError;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// Attempts to copy while files come and go.
const ATTEMPTS: usize = 20;

/// Copies the database in `from` into the folder `to`, which must be empty or missing. Nothing in
/// `from` is written.
///
/// # Errors
/// When there is no database, a file cannot be read or written, or a busy node changed its files
/// during every attempt.
pub fn copy_files(from: &Path, to: &Path) -> Result<(), StoreError> {
    if !from.join("CURRENT").exists() {
        return Err(disk(from, "there is no database here"));
    }
    fs::create_dir_all(to).map_err(|cause| disk(to, &cause.to_string()))?;
    for _ in 0..ATTEMPTS {
        let before = names(from)?;
        let copied = copy_once(from, to, &before);
        // A flush or a compaction makes or deletes files. Where neither happened, the manifest
        // names tables that are all there, and the logs, copied last, hold what came after them.
        if copied.is_ok() && names(from)? == before {
            return Ok(());
        }
        for name in names(to)? {
            let path = to.join(name);
            fs::remove_file(&path).map_err(|cause| disk(&path, &cause.to_string()))?;
        }
    }
    Err(disk(
        from,
        "the files changed during every attempt to copy them; try again, or stop the node",
    ))
}

/// Files that belong to the data, in no order.
fn names(folder: &Path) -> Result<BTreeSet<OsString>, StoreError> {
    let entries = fs::read_dir(folder).map_err(|cause| disk(folder, &cause.to_string()))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(|cause| disk(folder, &cause.to_string()))?.file_name();
        if rank(&name).is_some() {
            names.insert(name);
        }
    }
    Ok(names)
}

/// In which order kinds of files are copied; `None` is no data (lock, diagnostics).
fn rank(name: &OsString) -> Option<u8> {
    let name = name.to_string_lossy();
    match &*name {
        "CURRENT" | "IDENTITY" => Some(0),
        name if name.starts_with("MANIFEST-") => Some(1),
        name if name.starts_with("OPTIONS-") => Some(2),
        name if name.ends_with(".sst") || name.ends_with(".blob") => Some(3),
        name if name.ends_with(".log") => Some(4),
        _ => None,
    }
}

fn copy_once(from: &Path, to: &Path, names: &BTreeSet<OsString>) -> io::Result<()> {
    // Logs by number, the one that is being written last.
    let mut ordered: Vec<&OsString> = names.iter().collect();
    ordered.sort_by_key(|name| (rank(name), name.len()));
    for name in ordered {
        let (source, target): (PathBuf, PathBuf) = (from.join(name), to.join(name));
        let linked = rank(name) == Some(3) && fs::hard_link(&source, &target).is_ok();
        if !linked {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

fn disk(path: &Path, cause: &str) -> StoreError {
    StoreError::Disk { path: path.into(), cause: cause.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        assert!(copy_files(folder.path(), &to).is_err());
        assert!(!to.exists());
    }

    #[test]
    fn the_lock_and_diagnostics_stay_behind() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["CURRENT", "MANIFEST-000005", "000007.log", "000006.sst", "LOCK", "LOG"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let to = folder.path().join("copy");
        copy_files(folder.path(), &to).unwrap();
        let copied: Vec<_> = names(&to).unwrap().into_iter().collect();
        assert_eq!(copied, ["000006.sst", "000007.log", "CURRENT", "MANIFEST-000005"]);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 4);
    }
}
