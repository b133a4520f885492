//! Keys on disk: one file per party key and one for the database key, each encrypted with the
//! password, in a folder that only its owner may enter.

mod file;
mod key_file;

use crate::{
    database_cipher::DatabaseKey, message::NODE_KEYS_MAX, party_key::PartyKey, random::Randomness,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entente_chain::private::RecipientKey;
use key_file::KeyFile;
use serde::Deserialize;
use std::{
    io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

pub use key_file::KdfCost;

const DATABASE_FILE: &str = "database.json";
const DATABASE_PURPOSE: &str = "database";
const PARTY_PREFIX: &str = "party-";
const PARTY_PURPOSE: &str = "party";

/// Why keys could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The operating system refused.
    #[error("{}: {cause}", path.display())]
    File {
        /// File or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Others may read it.
    #[error("{}: mode is {mode:o}, {expected:o} is expected (chmod {expected:o})", path.display())]
    Readable {
        /// File or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits that it should have.
        expected: u32,
    },
    /// The file holds something else.
    #[error("{}: {cause}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never a part of it.
        cause: String,
    },
    /// Which of the two it is cannot be told.
    #[error("{}: wrong password or damaged file", path.display())]
    Password {
        /// The file.
        path: PathBuf,
    },
    /// The key of the database is not there. Beside party keys none is made: it would not open what
    /// is stored.
    #[error(
        "{}: missing: a new folder gets it with its first key (entente key privacy new), an old one \
         from its backup", path.display()
    )]
    NoDatabaseKey {
        /// The file.
        path: PathBuf,
    },
    /// Argon2id cannot be run so, or it would take too long.
    #[error("cost {0:?} of the password is out of range")]
    Cost(KdfCost),
    /// As many keys as a node may have.
    #[error(
        "{}: {NODE_KEYS_MAX} keys, and a node may have no more: it tells each peer all of them in \
         one message", folder.display()
    )]
    Full {
        /// The folder.
        folder: PathBuf,
    },
    /// The key is in the folder already.
    #[error("key {0} is stored already")]
    Known(RecipientKey),
}

/// All keys of a node.
#[derive(Debug)]
pub struct OpenedKeys {
    /// Its party keys, ascending by public key.
    pub parties: Vec<PartyKey>,
    /// The key of its private columns.
    pub database: DatabaseKey,
}

/// A folder of keys.
#[derive(Clone, Debug)]
pub struct KeyStore {
    folder: PathBuf,
    cost: KdfCost,
}

impl KeyStore {
    /// The keys of a folder, which need not exist yet. `cost` is for keys that are written.
    #[must_use]
    pub const fn new(folder: PathBuf, cost: KdfCost) -> Self {
        Self { folder, cost }
    }

    /// Makes a key, and with the first one the key of the database. Durable on return.
    ///
    /// # Errors
    /// When the password is not the one of the keys that are there, there are as many as a node may
    /// have, or the disk fails.
    pub fn create(
        &self,
        password: &Zeroizing<String>,
        randomness: &Randomness,
    ) -> Result<PartyKey, KeyStoreError> {
        let key = PartyKey::generate(randomness);
        self.store(&key, password, randomness)?;
        Ok(key)
    }

    /// Stores a key that was made elsewhere. Durable on return; never overwrites.
    ///
    /// # Errors
    /// As [`create`](Self::create), and when the key is stored already.
    pub fn store(
        &self,
        key: &PartyKey,
        password: &Zeroizing<String>,
        randomness: &Randomness,
    ) -> Result<(), KeyStoreError> {
        // Before the password is worked on, which is meant to take long.
        self.check_room(1)?;
        self.ensure_database_key(password, randomness)?;
        if self.list()?.contains(&key.public()) {
            return Err(KeyStoreError::Known(key.public()));
        }
        let public = key.public();
        let guard = (password, self.cost);
        let sealed = KeyFile::seal(PARTY_PURPOSE, Some(public), &key.secret(), guard, randomness)?;
        file::write_new(&self.party_file(&public), &sealed.to_json())
    }

    /// Makes the key of the database where there is none yet, and checks the password where there is
    /// one. Durable on return.
    ///
    /// # Errors
    /// When the password is wrong, the folder has party keys and no database key, or the disk fails.
    pub fn ensure_database_key(
        &self,
        password: &Zeroizing<String>,
        randomness: &Randomness,
    ) -> Result<(), KeyStoreError> {
        file::create_folder(&self.folder)?;
        let path = self.folder.join(DATABASE_FILE);
        if path.exists() {
            // One folder, one password: a second one would be noticed only at the next start.
            return self.open_database(password).map(drop);
        }
        if !self.list()?.is_empty() {
            return Err(KeyStoreError::NoDatabaseKey { path });
        }
        let secret = DatabaseKey::generate(randomness);
        let guard = (password, self.cost);
        let sealed = KeyFile::seal(DATABASE_PURPOSE, None, secret.secret(), guard, randomness)?;
        file::write_new(&path, &sealed.to_json())
    }

    /// Public keys of the folder, ascending; needs no password.
    ///
    /// # Errors
    /// When the folder or a file cannot be read, others may read it, or a file is damaged.
    pub fn list(&self) -> Result<Vec<RecipientKey>, KeyStoreError> {
        let mut keys = Vec::new();
        for path in file::with_prefix(&self.folder, PARTY_PREFIX)? {
            let public = KeyFile::read(&path)?.public_key(&path)?;
            if path != self.party_file(&public) {
                let cause = format!("holds key {public}, which its name does not say");
                return Err(KeyStoreError::Malformed { path, cause });
            }
            keys.push(public);
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Opens every key.
    ///
    /// # Errors
    /// As [`list`](Self::list), when the password is wrong, and when there are more than a node may
    /// have.
    pub fn open(&self, password: &Zeroizing<String>) -> Result<OpenedKeys, KeyStoreError> {
        self.check_room(0)?;
        let database = self.open_database(password)?;
        let mut parties = Vec::new();
        for public in self.list()? {
            let path = self.party_file(&public);
            let secret = KeyFile::read(&path)?.open(&path, PARTY_PURPOSE, password)?;
            let key = PartyKey::new(secret);
            if key.public() != public {
                return Err(KeyStoreError::Password { path });
            }
            parties.push(key);
        }
        Ok(OpenedKeys { parties, database })
    }

    /// Takes over a key of Tessera: its unlocked key file and the file with the public key.
    ///
    /// # Errors
    /// When a file cannot be read, is locked or damaged, the two do not belong together, or as
    /// [`store`](Self::store).
    pub fn import_tessera(
        &self,
        key_file: &Path,
        public_file: &Path,
        password: &Zeroizing<String>,
        randomness: &Randomness,
    ) -> Result<RecipientKey, KeyStoreError> {
        let key = read_tessera(key_file)?;
        let listed = file::read_public(public_file)?;
        let listed: RecipientKey = listed.trim().parse().map_err(|_| KeyStoreError::Malformed {
            path: public_file.to_owned(),
            cause: "32 bytes in base64 are expected".to_owned(),
        })?;
        if listed != key.public() {
            let cause = format!("holds {listed}, but the secret belongs to {}", key.public());
            return Err(KeyStoreError::Malformed { path: public_file.to_owned(), cause });
        }
        self.store(&key, password, randomness)?;
        Ok(listed)
    }

    /// Whether so many keys more may be here.
    fn check_room(&self, more: usize) -> Result<(), KeyStoreError> {
        let there = file::with_prefix(&self.folder, PARTY_PREFIX)?.len();
        match there.saturating_add(more) > NODE_KEYS_MAX {
            true => Err(KeyStoreError::Full { folder: self.folder.clone() }),
            false => Ok(()),
        }
    }

    fn open_database(&self, password: &Zeroizing<String>) -> Result<DatabaseKey, KeyStoreError> {
        let path = self.folder.join(DATABASE_FILE);
        file::check_folder(&self.folder)?;
        if !path.exists() {
            return Err(KeyStoreError::NoDatabaseKey { path });
        }
        let secret = KeyFile::read(&path)?.open(&path, DATABASE_PURPOSE, password)?;
        Ok(DatabaseKey::new(secret))
    }

    fn party_file(&self, public: &RecipientKey) -> PathBuf {
        self.folder.join(format!("{PARTY_PREFIX}{}.json", hex::encode(public.0)))
    }
}

#[derive(Deserialize)]
struct TesseraKey {
    data: TesseraData,
    r#type: String,
}

#[derive(Deserialize)]
struct TesseraData {
    bytes: Option<String>,
}

/// `{"data":{"bytes":"<base64>"},"type":"unlocked"}`; Curve25519 keys of NaCl are X25519 keys.
fn read_tessera(path: &Path) -> Result<PartyKey, KeyStoreError> {
    let malformed =
        |cause: &str| KeyStoreError::Malformed { path: path.to_owned(), cause: cause.to_owned() };
    let text = file::read_secret(path)?;
    let read: TesseraKey =
        serde_json::from_str(&text).map_err(|_| malformed("not a key file of Tessera"))?;
    if read.r#type != "unlocked" {
        return Err(malformed("locked; unlock it with `tessera -updatepassword` first"));
    }
    let bytes = read.data.bytes.ok_or_else(|| malformed("data.bytes is missing"))?;
    let bytes = Zeroizing::new(bytes);
    let mut secret = Zeroizing::new([0; 32]);
    match STANDARD.decode_slice(bytes.as_bytes(), secret.as_mut_slice()) {
        Ok(32) => Ok(PartyKey::new(secret)),
        Ok(_) | Err(_) => Err(malformed("data.bytes: 32 bytes in base64 are expected")),
    }
}

#[cfg(test)]
mod tests;
