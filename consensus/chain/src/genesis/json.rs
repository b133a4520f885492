//! Walks a JSON text by hand: every value knows its path and place, keys are compared without
//! case (Besu's rule), each is taken once, and what nobody took is an unknown key. Values stay
//! slices of the text, so numbers keep all their digits.

use super::error::{GenesisError, Place};
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, fmt};

type Result<T> = std::result::Result<T, GenesisError>;

/// Most characters of a wrong value that an error repeats.
const SHOWN_CHARACTERS: usize = 80;

/// A JSON value somewhere in the file.
#[derive(Clone)]
pub(super) struct Value<'a> {
    source: &'a str,
    raw: &'a RawValue,
    path: String,
}

impl<'a> Value<'a> {
    /// The whole file. Reads all of it once, so that later steps meet valid JSON only.
    pub(super) fn root(json: &'a [u8]) -> Result<Self> {
        let syntax = |cause: &dyn fmt::Display| GenesisError::Syntax(cause.to_string());
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let source = std::str::from_utf8(json).map_err(|cause| syntax(&cause))?;
        let raw = serde_json::from_str(source).map_err(|cause| syntax(&cause))?;
        Ok(Self { source, raw, path: String::new() })
    }

    pub(super) fn place(&self) -> Place {
        // Both slices belong to one text, so their distance is the offset in it.
        let offset = (self.raw.get().as_ptr() as usize).wrapping_sub(self.source.as_ptr() as usize);
        let before = self.source.as_bytes().get(..offset).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        let path = if self.path.is_empty() { "(file)".into() } else { self.path.clone() };
        Place { path, line, column }
    }

    /// The error that something else was expected here.
    pub(super) fn wrong(&self, expected: impl Into<String>) -> GenesisError {
        let text = self.raw.get();
        let mut got: String = text.chars().take(SHOWN_CHARACTERS).collect();
        if got.len() < text.len() {
            got.push_str("...");
        }
        GenesisError::Value { place: self.place(), got, expected: expected.into() }
    }

    fn is_null(&self) -> bool {
        self.raw.get() == "null"
    }

    fn child(&self, raw: &'a RawValue, step: &str) -> Self {
        let dot = if self.path.is_empty() || step.starts_with('[') { "" } else { "." };
        Self { source: self.source, raw, path: format!("{}{dot}{step}", self.path) }
    }

    pub(super) fn object(&self) -> Result<Object<'a>> {
        let entries: Entries<'a> =
            serde_json::from_str(self.raw.get()).map_err(|_| self.wrong("an object"))?;
        let mut seen = BTreeSet::new();
        for (key, raw) in &entries.0 {
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(GenesisError::Duplicate { place: self.child(raw, key).place() });
            }
        }
        let entries = entries.0.into_iter().map(|(key, raw)| (key, Some(raw))).collect();
        Ok(Object { value: self.clone(), entries, known: Vec::new() })
    }

    pub(super) fn is_object(&self) -> bool {
        self.raw.get().starts_with('{')
    }

    pub(super) fn array(&self) -> Result<Vec<Self>> {
        let items: Vec<&'a RawValue> =
            serde_json::from_str(self.raw.get()).map_err(|_| self.wrong("a list"))?;
        let child = |(index, raw)| self.child(raw, &format!("[{index}]"));
        Ok(items.into_iter().enumerate().map(child).collect())
    }

    pub(super) fn text(&self, expected: &str) -> Result<String> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.wrong(expected))
    }

    pub(super) fn bool(&self) -> Result<bool> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.wrong("true or false"))
    }

    /// A quantity as any of the three tools writes it: a number, or a string of decimal or 0x
    /// hexadecimal digits.
    pub(super) fn u256(&self, expected: &str) -> Result<U256> {
        let raw = self.raw.get();
        let text = if raw.starts_with('"') { self.text(expected)? } else { raw.to_owned() };
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let parsed = match digits {
            Some("") => Ok(U256::ZERO),
            Some(digits) => U256::from_str_radix(digits, 16),
            None if text.is_empty() => return Err(self.wrong(expected)),
            None => U256::from_str_radix(&text, 10),
        };
        parsed.map_err(|_| self.wrong(expected))
    }

    pub(super) fn u64(&self, expected: &str) -> Result<u64> {
        u64::try_from(self.u256(expected)?).map_err(|_| self.wrong(expected))
    }

    pub(super) fn bytes(&self) -> Result<Bytes> {
        const EXPECTED: &str = "0x and an even count of hexadecimal digits";
        let text = self.text(EXPECTED)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        hex::decode(digits).map(Bytes::from).map_err(|_| self.wrong(EXPECTED))
    }

    pub(super) fn address(&self) -> Result<Address> {
        let text = self.text(ADDRESS)?;
        parse_address(&text).ok_or_else(|| self.wrong(ADDRESS))
    }

    pub(super) fn addresses(&self) -> Result<Vec<Address>> {
        self.array()?.iter().map(Self::address).collect()
    }

    pub(super) fn hash(&self) -> Result<B256> {
        let bytes = self.bytes()?;
        B256::try_from(bytes.as_ref()).map_err(|_| self.wrong("32 bytes, 0x and 64 hex digits"))
    }

    /// What a map names: the last step of the path, for errors about keys.
    pub(super) fn wrong_key(&self, key: &str, expected: &str) -> GenesisError {
        GenesisError::Value { place: self.place(), got: key.into(), expected: expected.into() }
    }

    pub(super) fn duplicate(&self) -> GenesisError {
        GenesisError::Duplicate { place: self.place() }
    }
}

/// What an address looks like, for errors.
pub(super) const ADDRESS: &str = "an address, 0x and 40 hex digits";

/// An address with or without 0x, in any case.
pub(super) fn parse_address(text: &str) -> Option<Address> {
    let mut bytes = [0; 20];
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(Address::from(bytes))
}

/// An object whose keys are taken one by one.
pub(super) struct Object<'a> {
    value: Value<'a>,
    entries: Vec<(String, Option<&'a RawValue>)>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Takes a key by any of its spellings, the first of which is the usual one. `null` is absent,
    /// as geth writes it. Two spellings of one thing are given twice.
    pub(super) fn take_any(&mut self, keys: &[&'static str]) -> Result<Option<Value<'a>>> {
        self.known.extend(keys.first());
        let mut found: Option<Value<'a>> = None;
        for (name, slot) in &mut self.entries {
            if !keys.iter().any(|key| key.eq_ignore_ascii_case(name)) {
                continue;
            }
            let Some(raw) = slot.take() else { continue };
            let value = self.value.child(raw, name);
            if value.is_null() {
                continue;
            }
            if found.is_some() {
                return Err(value.duplicate());
            }
            found = Some(value);
        }
        Ok(found)
    }

    pub(super) fn take(&mut self, key: &'static str) -> Result<Option<Value<'a>>> {
        self.take_any(&[key])
    }

    pub(super) fn require(
        &mut self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Value<'a>> {
        let value = self.take(key)?;
        value.ok_or_else(|| GenesisError::Missing { place: self.value.place(), key, expected })
    }

    pub(super) fn u64(&mut self, key: &'static str, expected: &str) -> Result<Option<u64>> {
        self.take(key)?.map(|value| value.u64(expected)).transpose()
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<bool> {
        self.take(key)?.map_or(Ok(false), |value| value.bool())
    }

    /// Known keys that mean nothing here.
    pub(super) fn ignore(&mut self, keys: &[&'static str]) -> Result<()> {
        keys.iter().try_for_each(|key| self.take(key).map(drop))
    }

    /// All entries in the order of the file, for maps whose keys are data.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (String, Value<'a>)> {
        let Self { value, entries, .. } = self;
        entries.into_iter().filter_map(move |(key, raw)| {
            let child = value.child(raw?, &key);
            Some((key, child))
        })
    }

    pub(super) fn value(&self) -> &Value<'a> {
        &self.value
    }

    /// The object must hold nothing that was not asked for.
    pub(super) fn finish(self) -> Result<()> {
        let Some((key, raw)) = self.entries.iter().find_map(|(key, raw)| raw.map(|raw| (key, raw)))
        else {
            return Ok(());
        };
        Err(GenesisError::UnknownKey {
            place: self.value.child(raw, key).place(),
            suggestion: nearest(key, &self.known),
        })
    }
}

/// The known key that is at most a third of its letters away.
fn nearest(key: &str, known: &[&'static str]) -> Option<String> {
    let key = key.to_ascii_lowercase();
    let distance = |candidate: &&str| strsim::osa_distance(&key, &candidate.to_ascii_lowercase());
    let nearest = known.iter().copied().min_by_key(|candidate| distance(candidate))?;
    (distance(&nearest) <= 1 + key.len() / 3).then(|| nearest.to_owned())
}

/// The entries of one object, duplicates kept, values unread.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
