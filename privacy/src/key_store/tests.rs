use super::*;
use std::{fs, os::unix::fs::PermissionsExt as _};
use tempfile::{TempDir, tempdir};

const COST: KdfCost = KdfCost { memory_kib: 8, iterations: 1, parallelism: 1 };

fn password(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn store() -> (TempDir, KeyStore) {
    let folder = tempdir().unwrap();
    let store = KeyStore::new(folder.path().join("keys"), COST);
    (folder, store)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn created_keys_are_private_and_open_again_with_the_password() {
    let (_folder, store) = store();
    let randomness = Randomness::from_seed(1);
    let first = store.create(&password("secret"), &randomness).unwrap();
    let database = store.open(&password("secret")).unwrap().database;
    let second = store.create(&password("secret"), &randomness).unwrap();
    let opened = store.open(&password("secret")).unwrap();
    let mut expected = [first.public(), second.public()];
    expected.sort_unstable();
    assert_eq!(opened.parties.iter().map(PartyKey::public).collect::<Vec<_>>(), expected);
    assert_eq!(store.list().unwrap(), expected);
    assert_eq!(opened.database.secret(), database.secret(), "made once");
    assert_eq!(mode(&store.folder), 0o700);
    for entry in fs::read_dir(&store.folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let text = fs::read_to_string(&path).unwrap();
        for secret in [first.secret(), second.secret(), database.secret().clone()] {
            assert!(!text.contains(&STANDARD.encode(secret.as_slice())), "{text}");
        }
    }
}

#[test]
fn a_folder_has_no_more_keys_than_a_node_can_tell_its_peers() {
    let (_folder, store) = store();
    let randomness = Randomness::from_seed(1);
    for _ in 0..NODE_KEYS_MAX {
        store.create(&password("secret"), &randomness).unwrap();
    }
    assert_eq!(store.open(&password("secret")).unwrap().parties.len(), NODE_KEYS_MAX);
    let refused = store.create(&password("secret"), &randomness).unwrap_err();
    assert!(refused.to_string().contains("256 keys, and a node may have no more"), "{refused}");
    assert_eq!(store.list().unwrap().len(), NODE_KEYS_MAX);
    // One that got there by another way.
    let one = file::with_prefix(&store.folder, PARTY_PREFIX).unwrap().remove(0);
    let copy = store.folder.join(format!("{PARTY_PREFIX}copy.json"));
    fs::copy(one, copy).unwrap();
    assert!(matches!(store.open(&password("secret")), Err(KeyStoreError::Full { .. })));
}

#[test]
fn another_password_neither_opens_nor_adds() {
    let (_folder, store) = store();
    let randomness = Randomness::from_seed(1);
    store.create(&password("secret"), &randomness).unwrap();
    assert!(matches!(store.open(&password("other")), Err(KeyStoreError::Password { .. })));
    let added = store.create(&password("other"), &randomness);
    assert!(matches!(added, Err(KeyStoreError::Password { .. })));
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn keys_that_others_may_read_are_refused_with_the_mode() {
    let (_folder, store) = store();
    store.create(&password("secret"), &Randomness::from_seed(1)).unwrap();
    let path = store.folder.join(DATABASE_FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = store.open(&password("secret")).unwrap_err();
    assert!(matches!(error, KeyStoreError::Readable { mode: 0o640, expected: 0o600, .. }));
    fs::set_permissions(&store.folder, fs::Permissions::from_mode(0o755)).unwrap();
    let error = store.list().unwrap_err();
    assert!(matches!(error, KeyStoreError::Readable { mode: 0o755, expected: 0o700, .. }));
}

#[test]
fn a_lost_database_key_is_not_replaced() {
    let (_folder, store) = store();
    let randomness = Randomness::from_seed(1);
    store.create(&password("secret"), &randomness).unwrap();
    fs::remove_file(store.folder.join(DATABASE_FILE)).unwrap();
    for result in [
        store.create(&password("secret"), &randomness).map(drop),
        store.open(&password("secret")).map(drop),
    ] {
        assert!(matches!(result, Err(KeyStoreError::NoDatabaseKey { .. })));
    }
}

#[test]
fn a_file_that_was_changed_does_not_open() {
    let (_folder, store) = store();
    let key = store.create(&password("secret"), &Randomness::from_seed(1)).unwrap();
    let path = store.party_file(&key.public());
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"memory_kib\": 8", "\"memory_kib\": 4000000"),
        ("\"version\": 1", "\"version\": 2"),
        ("argon2id", "argon2i"),
        ("\"iterations\": 1", "\"iterations\": 2"),
        ("\"public_key\"", "\"other\""),
    ] {
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
        assert!(store.open(&password("secret")).is_err(), "{from}");
    }
}

fn tessera(folder: &Path, key: &str, public: &str) -> (PathBuf, PathBuf) {
    let (key_file, public_file) = (folder.join("tm.key"), folder.join("tm.pub"));
    fs::write(&key_file, key).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&public_file, public).unwrap();
    (key_file, public_file)
}

/// The first key of Tessera's sample configuration.
const TESSERA_SECRET: &str = "yAWAJjwPqUtNVlqGjSrBmr1/iIkghuOh1803Yzx9jLM=";
const TESSERA_PUBLIC: &str = "/+UuD63zItL1EbjxkKUljMgG8Z1w0AJ8pNOR4iq2yQc=";

#[test]
fn an_unlocked_key_of_tessera_is_taken_over() {
    let (folder, store) = store();
    let key = format!(r#"{{"data":{{"bytes":"{TESSERA_SECRET}"}},"type":"unlocked"}}"#);
    let (key_file, public_file) = tessera(folder.path(), &key, TESSERA_PUBLIC);
    let randomness = Randomness::from_seed(1);
    let import = || store.import_tessera(&key_file, &public_file, &password("p"), &randomness);
    assert_eq!(import().unwrap().to_string(), TESSERA_PUBLIC);
    assert_eq!(store.open(&password("p")).unwrap().parties[0].public().to_string(), TESSERA_PUBLIC);
    assert!(matches!(import(), Err(KeyStoreError::Known(_))));
}

#[test]
fn keys_of_tessera_that_cannot_be_used_are_refused() {
    let (folder, store) = store();
    let unlocked = |secret: &str| format!(r#"{{"data":{{"bytes":"{secret}"}},"type":"unlocked"}}"#);
    let other = PartyKey::new(Zeroizing::new([1; 32])).public().to_string();
    let locked = r#"{"type":"argon2sbox","data":{"aopts":{},"snonce":"x","asalt":"y"}}"#;
    for (key, public) in [
        (locked.to_owned(), TESSERA_PUBLIC),
        (unlocked("AAAA"), TESSERA_PUBLIC),
        (unlocked(TESSERA_SECRET), &other),
        (unlocked(TESSERA_SECRET), "nonsense"),
        ("{}".to_owned(), TESSERA_PUBLIC),
    ] {
        let (key_file, public_file) = tessera(folder.path(), &key, public);
        let result = store.import_tessera(
            &key_file,
            &public_file,
            &password("p"),
            &Randomness::from_seed(1),
        );
        let error = result.unwrap_err();
        assert!(matches!(error, KeyStoreError::Malformed { .. }), "{error}");
        assert!(!error.to_string().contains(TESSERA_SECRET), "{error}");
    }
    assert!(store.list().unwrap().is_empty());
}
