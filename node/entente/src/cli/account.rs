//! `entente account`: keys in web3 keystore files.

use crate::{keystore, secret_file};
use anyhow::{Context, bail};
use k256::elliptic_curve::rand_core::{OsRng, RngCore};
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Where and with which password.
#[derive(clap::Args)]
pub(super) struct KeystoreArgs {
    /// Folder of the keystore files
    #[arg(long, value_name = "DIR", default_value = "keystore")]
    keystore: PathBuf,
    /// File (mode 0600) whose first line is the password; asked for on a terminal when left out
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Verbs of `entente account`.
#[derive(clap::Subcommand)]
pub(super) enum AccountCommand {
    /// Create a key
    New(KeystoreArgs),
    /// Encrypt a key that a file (mode 0600) holds as hexadecimal digits
    Import {
        #[command(flatten)]
        keystore: KeystoreArgs,
        /// File with the secret key
        file: PathBuf,
    },
    /// List addresses and files
    List {
        /// Folder of the keystore files
        #[arg(long, value_name = "DIR", default_value = "keystore")]
        keystore: PathBuf,
    },
}

pub(super) fn run(command: AccountCommand) -> anyhow::Result<()> {
    match command {
        AccountCommand::New(args) => store(&args, &random_secret()),
        AccountCommand::Import { keystore, file } => {
            let secret = keystore::load(&file, None)?;
            store(&keystore, &secret)
        }
        AccountCommand::List { keystore } => {
            for (address, path) in keystore::list(&keystore)? {
                println!("{address}  {}", path.display());
            }
            Ok(())
        }
    }
}

/// A random secp256k1 secret; nearly every 32 bytes are one, the rest are drawn again.
pub(super) fn random_secret() -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    loop {
        OsRng.fill_bytes(secret.as_mut_slice());
        if k256::SecretKey::from_slice(secret.as_slice()).is_ok() {
            return secret;
        }
    }
}

fn store(args: &KeystoreArgs, secret: &Zeroizing<[u8; 32]>) -> anyhow::Result<()> {
    let password = new_password(args.password_file.as_deref())?;
    let (address, path) = keystore::store(&args.keystore, secret, &password)?;
    println!("{address}  {}", path.display());
    Ok(())
}

/// The password of a file, or one asked for twice.
pub(super) fn new_password(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    if let Some(file) = file {
        return secret_file::read_password(file);
    }
    if !std::io::stdin().is_terminal() {
        bail!("no terminal to ask for a password: give --password-file");
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map(Zeroizing::new);
    let password = ask("Password: ").context("cannot read the password")?;
    let again = ask("Repeat it: ").context("cannot read the password")?;
    if *password != *again {
        bail!("the two passwords differ");
    }
    Ok(password)
}
