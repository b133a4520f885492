//! Reads test cases out of the archives of ethereum/tests.

use crate::case::Case;
use flate2::read::GzDecoder;
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// The two archives of BlockchainTests.
pub(crate) const ARCHIVES: [&str; 2] = ["blockchain.tar.gz", "general-state-as-blocks.tar.gz"];

/// The full sets where `CONFORMANCE_DIR` names them, else the selection of this repository.
pub(crate) fn directory() -> PathBuf {
    let selection = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/ethereum-tests");
    std::env::var_os("CONFORMANCE_DIR").map_or(selection, PathBuf::from)
}

/// Every case of an archive, named `path::case`.
pub(crate) fn cases(archive: &Path) -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    let file = File::open(archive).unwrap_or_else(|cause| panic!("{}: {cause}", archive.display()));
    for entry in tar::Archive::new(GzDecoder::new(file)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        if !path.ends_with(".json") {
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let file: BTreeMap<String, Case> =
            serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{path}: {cause}"));
        cases.extend(file.into_iter().map(|(name, case)| (format!("{path}::{name}"), case)));
    }
    cases
}
