//! Values from a file, from variables and from flags, each with its key and origin.

use crate::{
    ConfigError, NodeConfig, Origin,
    keys::{self, Key, Kind},
};
use entente_chain::limits::CONFIG_FILE_BYTES_MAX;
use std::{collections::BTreeMap, fs::File, io::Read, path::Path};
use toml::{Spanned, Table, Value, de::DeTable};

/// What variables of this program begin with.
const PREFIX: &str = "ENTENTE_";
/// Variables that Kubernetes sets in every container beside a service named `entente`.
const FOREIGN: [&str; 2] = ["ENTENTE_SERVICE_", "ENTENTE_PORT"];

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Settings by key, later layers over earlier ones.
pub(crate) type Settings = BTreeMap<&'static str, Setting>;

/// Reads a file. Symbolic links are followed as far as the operating system does.
pub(crate) fn read_file(
    path: &Path,
    keys: &'static [Key],
    settings: &mut Settings,
) -> Result<(), ConfigError> {
    let read = |cause| ConfigError::Read { path: path.into(), cause };
    let file = File::open(path).map_err(read)?;
    let got = file.metadata().map_err(read)?.len();
    let mut text = String::new();
    // A pipe has no size to look at beforehand.
    let bounded = file.take(CONFIG_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(read)?;
    let got = got.max(bounded as u64);
    if got > CONFIG_FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            path: path.into(),
            got,
            allowed: CONFIG_FILE_BYTES_MAX,
        });
    }
    parse_file(text.strip_prefix('\u{feff}').unwrap_or(&text), path, keys, settings)
}

pub(crate) fn parse_file(
    text: &str,
    path: &Path,
    keys: &'static [Key],
    settings: &mut Settings,
) -> Result<(), ConfigError> {
    let syntax = |cause: toml::de::Error| ConfigError::Syntax {
        path: path.into(),
        line: line_of(text, cause.span().map_or(0, |span| span.start)),
        cause: cause.message().to_owned(),
    };
    let spans = DeTable::parse(text).map_err(syntax)?;
    let values: Table = toml::from_str(text).map_err(syntax)?;
    let mut walk = Walk { text, path, keys, settings };
    walk.table("", spans.get_ref(), &values)
}

struct Walk<'a> {
    text: &'a str,
    path: &'a Path,
    keys: &'static [Key],
    settings: &'a mut Settings,
}

impl Walk<'_> {
    fn table(
        &mut self,
        section: &str,
        spans: &DeTable<'_>,
        values: &Table,
    ) -> Result<(), ConfigError> {
        for (name, span) in spans {
            let (name, line): (&Spanned<_>, _) = (name, line_of(self.text, name.span().start));
            let dot = if section.is_empty() { "" } else { "." };
            let path = format!("{section}{dot}{}", name.get_ref());
            let origin = Origin::File { path: self.path.into(), line };
            let Some(value) = values.get(name.get_ref().as_ref()) else { continue };
            match (keys::find_in(self.keys, &path), span.get_ref().as_table(), value.as_table()) {
                (Some(key), ..) => {
                    self.settings.insert(key.path, Setting { value: value.clone(), origin });
                }
                (None, Some(spans), Some(values)) if is_section(self.keys, &path) => {
                    self.table(&path, spans, values)?;
                }
                (None, ..) => return Err(unknown(self.keys, path, origin)),
            }
        }
        Ok(())
    }
}

fn is_section(keys: &[Key], path: &str) -> bool {
    let inside = |key: &Key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    keys.iter().any(inside)
}

fn unknown(keys: &'static [Key], key: String, origin: Origin) -> ConfigError {
    let suggestion = keys::nearest_in(keys, &key);
    ConfigError::UnknownKey { origin, key, suggestion }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Takes every variable that begins with `ENTENTE_`.
pub(crate) fn read_environment(
    variables: impl IntoIterator<Item = (String, String)>,
    settings: &mut Settings,
) -> Result<(), ConfigError> {
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if FOREIGN.iter().any(|foreign| name.starts_with(foreign)) {
            continue;
        }
        let Some(key) = keys::find_variable(rest) else {
            let path = rest.to_ascii_lowercase().replace("__", ".");
            let guess = path.replacen('_', ".", 1);
            let suggestion = keys::nearest(&path).or_else(|| keys::nearest(&guess));
            let origin = Origin::Environment(name.clone());
            return Err(ConfigError::UnknownKey { origin, key: name, suggestion });
        };
        let value = value(key, &text);
        settings.insert(key.path, Setting { value, origin: Origin::Environment(name) });
    }
    Ok(())
}

/// Takes `key=value` flags.
pub(crate) fn read_flags(flags: &[String], settings: &mut Settings) -> Result<(), ConfigError> {
    for flag in flags {
        let Some((path, text)) = flag.split_once('=') else {
            return Err(ConfigError::Flag { got: flag.clone() });
        };
        let Some(key) = keys::find(path.trim()) else {
            return Err(unknown(&keys::KEYS, path.trim().to_owned(), Origin::Flag));
        };
        settings.insert(key.path, Setting { value: value(key, text.trim()), origin: Origin::Flag });
    }
    Ok(())
}

/// A text as the kind of the key wants it; what does not fit stays text and is refused later.
fn value(key: &Key, text: &str) -> Value {
    let plain = || Value::String(text.to_owned());
    match key.kind {
        Kind::Text => plain(),
        Kind::Number | Kind::NumberOrText => {
            text.replace('_', "").parse().map_or_else(|_| plain(), Value::Integer)
        }
        Kind::Switch => text.parse().map_or_else(|_| plain(), Value::Boolean),
        Kind::List => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }
    }
}

/// Settings as the nested table they come from.
pub(crate) fn nest(settings: &Settings) -> Table {
    let mut root = Table::new();
    for (path, setting) in settings {
        let mut table = &mut root;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            if steps.peek().is_none() {
                table.insert(step.to_owned(), setting.value.clone());
                break;
            }
            let section = table.entry(step).or_insert_with(|| Value::Table(Table::new()));
            match section {
                Value::Table(inner) => table = inner,
                _ => break,
            }
        }
    }
    root
}

/// All values of a configuration by key.
pub(crate) fn flatten(config: &NodeConfig) -> BTreeMap<String, Value> {
    fn walk(section: &str, table: Table, found: &mut BTreeMap<String, Value>) {
        for (name, value) in table {
            let dot = if section.is_empty() { "" } else { "." };
            let path = format!("{section}{dot}{name}");
            match value {
                Value::Table(inner) => walk(&path, inner, found),
                value => {
                    found.insert(path, value);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    // Every value of the tree has a TOML form; an empty page would show that this changed.
    if let Ok(table) = Table::try_from(config) {
        walk("", table, &mut found);
    }
    found
}
