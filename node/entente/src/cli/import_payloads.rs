//! `entente import --payloads`: takes over what the transaction manager of one party (Tessera) kept,
//! so that the private state comes into being as the blocks are imported.
//!
//! The file: `{"payloads": {HASH: {"payload", "sender", "parties", "flag", "acoths", "exec",
//! "mandatory"}}}`, hashes, keys and bytes in base64.

use crate::private_node::PrivateSettings;
use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entente_chain::private::{
    PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, RecipientKey,
};
use entente_privacy::{KdfCost, KeyStore, Privacy, Randomness};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Arguments about private transactions.
#[derive(clap::Args)]
pub(super) struct PayloadArgs {
    /// File of payloads that the party's transaction manager kept
    #[arg(long, value_name = "FILE", requires = "party")]
    pub(super) payloads: Option<PathBuf>,
    /// Public key of the party in base64
    #[arg(long, value_name = "KEY", requires = "payloads")]
    party: Option<RecipientKey>,
    /// Folder of the node's keys for private transactions [default: DIR/privacy-keys]
    #[arg(long, value_name = "DIR", requires = "password_file")]
    key_folder: Option<PathBuf>,
    /// Password of these keys
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct PayloadFile {
    payloads: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    payload: String,
    sender: String,
    parties: Vec<String>,
    flag: u64,
    #[serde(default)]
    acoths: Vec<String>,
    #[serde(default)]
    exec: String,
    #[serde(default)]
    mandatory: Vec<String>,
}

impl PayloadArgs {
    /// Where the keys are and what opens them. The key of the private columns is made when there is
    /// none.
    pub(super) fn settings(&self, data: &Path) -> anyhow::Result<Option<PrivateSettings>> {
        if self.payloads.is_none() {
            return Ok(None);
        }
        let folder = self.key_folder.clone().unwrap_or_else(|| data.join("privacy-keys"));
        let path = self
            .password_file
            .as_deref()
            .context("--password-file: missing, it protects the key of the private columns")?;
        let password = crate::secret_file::read_password(path)?;
        KeyStore::new(folder.clone(), KdfCost::default())
            .ensure_database_key(&password, &Randomness::from_os()?)?;
        Ok(Some(PrivateSettings {
            keys: folder,
            password,
            default_sender: None,
            residents: Vec::new(),
        }))
    }

    /// Takes over the payloads of the party; answers how many.
    pub(super) fn take(&self, privacy: &Privacy) -> anyhow::Result<usize> {
        let (Some(path), Some(party)) = (&self.payloads, self.party) else { return Ok(0) };
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let file: PayloadFile = serde_json::from_reader(BufReader::new(file))
            .with_context(|| path.display().to_string())?;
        let mut taken = 0;
        for (hash, entry) in file.payloads {
            let payload = payload(&entry, party);
            let Some(payload) = payload.with_context(|| format!("payload {hash}"))? else {
                continue;
            };
            let hash: PayloadHash = hash.parse().with_context(|| path.display().to_string())?;
            privacy.import(hash, &payload)?;
            taken += 1;
        }
        if taken == 0 {
            bail!("{}: no payload is for {party}", path.display());
        }
        Ok(taken)
    }
}

/// An entry that is for the party.
fn payload(entry: &Entry, party: RecipientKey) -> anyhow::Result<Option<PrivatePayload>> {
    let keys = |name: &'static str, list: &[String]| {
        let parsed: Result<Vec<RecipientKey>, _> = list.iter().map(|key| key.parse()).collect();
        parsed.context(name)
    };
    let parties = keys("parties", &entry.parties)?;
    if !parties.contains(&party) {
        return Ok(None);
    }
    let plain = STANDARD.decode(entry.payload.as_bytes()).context("payload")?;
    let root = STANDARD.decode(&entry.exec).context("exec")?;
    let flag = PrivacyFlag::from_number(entry.flag)
        .with_context(|| format!("flag: {} given, 0 to 3 allowed", entry.flag))?;
    let affected = entry.acoths.iter().map(|hash| hash.parse()).collect::<Result<_, _>>();
    Ok(Some(PrivatePayload {
        plain: Zeroizing::new(plain),
        sender: entry.sender.parse().context("sender")?,
        managed: vec![party],
        parties,
        terms: PrivacyTerms {
            flag,
            affected: affected.context("acoths")?,
            execution_root: root.as_slice().try_into().ok(),
            mandatory: keys("mandatory", &entry.mandatory)?,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Entry {
        serde_json::from_str(json).expect("an entry")
    }

    #[test]
    fn a_payload_of_others_is_left_out_and_a_wrong_one_named() {
        let (own, other) = (RecipientKey([1; 32]), RecipientKey([2; 32]));
        let json = format!(
            r#"{{"payload":"AQI=","sender":"{other}","parties":["{other}","{own}"],"flag":1}}"#
        );
        let found = payload(&entry(&json), own).expect("good").expect("ours");
        assert_eq!((found.plain.as_slice(), found.managed), (&[1_u8, 2][..], vec![own]));
        assert_eq!(payload(&entry(&json), RecipientKey([3; 32])).expect("good"), None);
        let wrong = entry(&json.replace("AQI=", "?"));
        assert!(format!("{:#}", payload(&wrong, own).expect_err("wrong")).starts_with("payload"));
        let wrong = entry(&json.replace(r#""flag":1"#, r#""flag":4"#));
        assert!(payload(&wrong, own).expect_err("wrong").to_string().starts_with("flag: 4"));
    }
}
