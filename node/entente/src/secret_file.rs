//! Files that hold secrets: readable by their owner only, bounded, wiped from memory after use.

use anyhow::{Context, bail};
use std::path::Path;
use std::{fs, io::Read, io::Write, os::unix::fs::OpenOptionsExt, os::unix::fs::PermissionsExt};
use zeroize::Zeroizing;

/// No key, password or keystore file is larger.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Reads a secret file as text.
///
/// # Errors
/// When it is missing, too large, or others may read it.
pub(crate) fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let metadata = file.metadata().with_context(|| format!("cannot inspect {}", path.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!(
            "{} has mode {mode:04o}, others may read it: 0600 is expected (chmod 600 {})",
            path.display(),
            path.display()
        );
    }
    if metadata.len() > SECRET_FILE_BYTES_MAX {
        bail!(
            "{} has {} bytes, at most {SECRET_FILE_BYTES_MAX} are expected",
            path.display(),
            metadata.len()
        );
    }
    let mut text = Zeroizing::new(String::new());
    file.take(SECRET_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// Writes a new secret file with mode 0600, durable on return; never overwrites.
///
/// # Errors
/// When the file exists or cannot be written.
pub(crate) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The first line of a password file.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_password(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = read(path)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_may_read_is_refused_with_its_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        write_new(&path, "secret").expect("written");
        assert_eq!(*read(&path).expect("0600 is fine"), "secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        let error = read(&path).expect_err("0644 is not").to_string();
        assert!(error.contains("mode 0644"), "{error}");
    }

    #[test]
    fn an_existing_secret_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        write_new(&path, "first").expect("written");
        assert!(write_new(&path, "second").is_err());
        assert_eq!(*read(&path).expect("readable"), "first");
    }
}
