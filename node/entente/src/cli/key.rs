//! `entente key`: keys that are not accounts.

use super::account::new_password;
use clap::Subcommand;
use entente_privacy::{KdfCost, KeyStore, Randomness};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Nouns of `entente key`.
#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Keys that private transactions are encrypted to
    #[command(subcommand)]
    Privacy(PrivacyKeyCommand),
}

/// Verbs of `entente key privacy`.
#[derive(Subcommand)]
pub(super) enum PrivacyKeyCommand {
    /// Create a key, or take one of Tessera over; prints its public half in base64
    New(NewArgs),
    /// Print the public keys of a folder in base64, one a line
    List {
        /// Folder of the keys
        #[arg(long, value_name = "DIR", default_value = "privacy-keys")]
        dir: PathBuf,
    },
}

/// Where, with which password, and after what.
#[derive(clap::Args)]
pub(super) struct NewArgs {
    /// Folder of the keys, made when missing
    #[arg(long, value_name = "DIR", default_value = "privacy-keys")]
    dir: PathBuf,
    /// File (mode 0600) whose first line is the password, one for all keys of the folder; asked for
    /// on a terminal when left out
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Unlocked key file of Tessera (mode 0600) to take over; the file beside it that ends in .pub
    /// must hold its public key
    #[arg(long, value_name = "KEYFILE")]
    import_tessera: Option<PathBuf>,
}

pub(super) fn run(command: KeyCommand) -> anyhow::Result<()> {
    let KeyCommand::Privacy(command) = command;
    match command {
        PrivacyKeyCommand::New(args) => {
            let password = new_password(args.password_file.as_deref())?;
            new(&args.dir, args.import_tessera.as_deref(), &password)
        }
        PrivacyKeyCommand::List { dir } => {
            anyhow::ensure!(dir.is_dir(), "--dir {}: there is no such folder", dir.display());
            for key in KeyStore::new(dir, KdfCost::default()).list()? {
                println!("{key}");
            }
            Ok(())
        }
    }
}

fn new(dir: &Path, tessera: Option<&Path>, password: &Zeroizing<String>) -> anyhow::Result<()> {
    let store = KeyStore::new(dir.to_owned(), KdfCost::default());
    let random = Randomness::from_os()?;
    let public = match tessera {
        Some(file) => store.import_tessera(file, &file.with_extension("pub"), password, &random)?,
        None => store.create(password, &random)?.public(),
    };
    println!("{public}");
    Ok(())
}
