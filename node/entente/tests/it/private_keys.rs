//! `entente key privacy`: keys for private transactions, made and taken over.

use crate::network::ENTENTE;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The first key of Tessera's sample configuration.
const TESSERA_SECRET: &str = "yAWAJjwPqUtNVlqGjSrBmr1/iIkghuOh1803Yzx9jLM=";
const TESSERA_PUBLIC: &str = "/+UuD63zItL1EbjxkKUljMgG8Z1w0AJ8pNOR4iq2yQc=";

fn secret_file(path: PathBuf, text: &str) -> PathBuf {
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    path
}

/// Output of a command that must succeed; its error else.
fn key(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(ENTENTE).args(["key", "privacy"]).args(arguments).output();
    let output = output.expect("entente runs");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn privacy_keys_are_made_and_listed_and_only_their_owner_reads_them() {
    let folder = tempfile::tempdir().expect("folder");
    let keys = folder.path().join("keys");
    let dir = keys.to_str().expect("a path");
    let password = secret_file(folder.path().join("password"), "a password\n");
    let password = password.to_str().expect("a path");
    let new = ["new", "--dir", dir, "--password-file", password];
    let mut made = [key(&new).expect("made"), key(&new).expect("made")];
    made.sort_unstable();
    let refused = key(&["list", "--dir", &format!("{dir}-elsewhere")]).expect_err("refused");
    assert!(refused.contains("there is no such folder"), "{refused}");
    let listed = key(&["list", "--dir", dir]).expect("listed");
    let mut listed: Vec<_> = listed.lines().map(|line| format!("{line}\n")).collect();
    listed.sort_unstable();
    assert_eq!(listed, made);
    assert_eq!(mode(&keys), 0o700);
    let files = fs::read_dir(&keys).expect("folder").map(|entry| entry.expect("entry").path());
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 3, "two keys and that of the database: {files:?}");
    assert!(files.iter().all(|path| mode(path) == 0o600));

    let other = secret_file(folder.path().join("other"), "another\n");
    let other = other.to_str().expect("a path");
    let refused = key(&["new", "--dir", dir, "--password-file", other]).expect_err("refused");
    assert!(refused.contains("wrong password or damaged file"), "{refused}");
    fs::set_permissions(other, fs::Permissions::from_mode(0o644)).expect("chmod");
    let refused = key(&["new", "--dir", dir, "--password-file", other]).expect_err("refused");
    assert!(refused.contains("others may read it"), "{refused}");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o750)).expect("chmod");
    let refused = key(&["list", "--dir", dir]).expect_err("refused");
    assert!(refused.contains("mode is 750, 700 is expected"), "{refused}");
}

#[test]
fn a_key_of_tessera_is_taken_over_when_it_is_unlocked() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    let password = secret_file(path("password"), "a password");
    let unlocked = format!(r#"{{"data":{{"bytes":"{TESSERA_SECRET}"}},"type":"unlocked"}}"#);
    let file = secret_file(path("tm.key"), &unlocked);
    fs::write(path("tm.pub"), TESSERA_PUBLIC).expect("written");
    let keys = path("keys");
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let (keys, password, file) = (text(&keys), text(&password), text(&file));
    let arguments =
        ["new", "--dir", &keys, "--password-file", &password, "--import-tessera", &file];
    assert_eq!(key(&arguments).expect("taken over").trim(), TESSERA_PUBLIC);
    assert_eq!(key(&["list", "--dir", &keys]).expect("listed").trim(), TESSERA_PUBLIC);
    let refused = key(&arguments).expect_err("known");
    assert!(refused.contains("is stored already"), "{refused}");

    secret_file(path("tm.key"), r#"{"type":"argon2sbox","data":{"aopts":{}}}"#);
    let refused = key(&arguments).expect_err("locked");
    assert!(refused.contains("unlock it with `tessera -updatepassword`"), "{refused}");
    fs::remove_file(path("tm.pub")).expect("removed");
    secret_file(path("tm.key"), &unlocked);
    let refused = key(&arguments).expect_err("no public key");
    assert!(refused.contains("tm.pub"), "{refused}");
}
