//! Reading a map of the file: unknown keys, types and bounds, each mistake with its line and path.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::duration::{parse_duration, within};
use super::keys::{self, Table};
use super::mistake::{Notes, Origin, quote, shown};
use super::yaml::{Entry, Node, Value};

/// A map of the file and where it is. A section that is not there has no entries.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    table: &'static Table,
    path: String,
    /// The path as the table of keys has it: `targets[].filter`.
    table_path: String,
    line: Option<usize>,
    entries: &'a [Entry],
    /// Something else stands where the map should: told once, its keys are then not missed.
    broken: bool,
}

/// What stands at a key.
pub(super) enum Found<'a> {
    /// The key is not there.
    Absent,
    /// A value of the wrong type: told already.
    Wrong,
    /// Text.
    Text(&'a str),
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn top(node: &'a Node, table: &'static Table, notes: &mut Notes) -> Self {
        Self::new(node, table, String::new(), String::new(), notes)
    }

    /// A file that is not there.
    pub(super) fn none(table: &'static Table) -> Self {
        Self {
            table,
            path: String::new(),
            table_path: String::new(),
            line: None,
            entries: &[],
            broken: false,
        }
    }

    fn new(
        node: &'a Node,
        table: &'static Table,
        path: String,
        table_path: String,
        notes: &mut Notes,
    ) -> Self {
        let line = Some(node.line);
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Scalar { .. } | Value::List(_) if node.is_null() => &[],
            Value::Scalar { .. } | Value::List(_) => {
                let known: Vec<String> =
                    keys::children(table, &table_path).into_iter().map(quote).collect();
                notes.mistake(
                    Origin { line, key: path.clone() },
                    format!("must be a map with the keys {}", known.join(", ")),
                );
                return Self { table, path, table_path, line, entries: &[], broken: true };
            }
        };
        let section = Self { table, path, table_path, line, entries, broken: false };
        let known = keys::children(table, &section.table_path);
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            notes.mistake(
                section.at(&entry.key),
                keys::unknown(table, &section.table_path, &entry.key),
            );
        }
        section
    }

    /// The map at `name`.
    pub(super) fn section(&self, name: &str, notes: &mut Notes) -> Section<'a> {
        match self.entry(name) {
            Some(entry) => Section {
                line: Some(entry.line),
                ..Self::new(
                    &entry.value,
                    self.table,
                    self.path_of(name),
                    self.table_path_of(name),
                    notes,
                )
            },
            None => Section {
                table: self.table,
                path: self.path_of(name),
                table_path: self.table_path_of(name),
                line: self.line,
                entries: &[],
                broken: self.broken,
            },
        }
    }

    /// The maps in the list at `name`; `None` when there is no list.
    pub(super) fn sections(&self, name: &str, notes: &mut Notes) -> Option<Vec<Section<'a>>> {
        let items = self.list(name, notes)?;
        let section = |(index, item)| {
            Self::new(
                item,
                self.table,
                self.item_path(name, index),
                format!("{}[]", self.table_path_of(name)),
                notes,
            )
        };
        Some(items.iter().enumerate().map(section).collect())
    }

    /// The path of item `index` of the list at `name`.
    fn item_path(&self, name: &str, index: usize) -> String {
        format!("{}[{index}]", self.path_of(name))
    }

    /// The items of the list at `name`. `None` when the key is not there, or is no list, which is
    /// then told.
    fn list(&self, name: &str, notes: &mut Notes) -> Option<&'a [Node]> {
        let entry = self.entry(name)?;
        match &entry.value.value {
            Value::List(items) => Some(items),
            Value::Scalar { .. } | Value::Map(_) if entry.value.is_null() => {
                (!self.table.nothing_is_the_default).then_some(&[])
            }
            Value::Scalar { .. } | Value::Map(_) => {
                notes.mistake(
                    self.at(name),
                    "must be a list: write each item on a line of its own after `- `",
                );
                None
            }
        }
    }

    /// The texts in the list at `name`, each with its place; `None` when there is no list.
    pub(super) fn texts(&self, name: &str, notes: &mut Notes) -> Option<Vec<(Origin, &'a str)>> {
        let items = self.list(name, notes)?;
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = Origin { line: Some(item.line), key: self.item_path(name, index) };
            match &item.value {
                Value::Scalar { text, .. } if !item.is_null() => texts.push((at, text.as_str())),
                Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
                    notes.mistake(at, "must be text")
                }
            }
        }
        Some(texts)
    }

    /// The map at `name`, whatever its keys, as (place of the key, key, text); `None` when there is
    /// none.
    pub(super) fn free_map(
        &self,
        name: &str,
        notes: &mut Notes,
    ) -> Option<Vec<(Origin, &'a str, &'a str)>> {
        let entry = self.entry(name)?;
        let entries = match &entry.value.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Scalar { .. } | Value::List(_) if entry.value.is_null() => &[],
            Value::Scalar { .. } | Value::List(_) => {
                notes.mistake(self.at(name), "must be a map");
                return None;
            }
        };
        let mut texts = Vec::new();
        for Entry { key, line, value } in entries {
            let at =
                Origin { line: Some(*line), key: format!("{}.{}", self.path_of(name), shown(key)) };
            match &value.value {
                Value::Scalar { text, .. } if !value.is_null() => {
                    texts.push((at, key.as_str(), text.as_str()))
                }
                Value::Scalar { .. } if self.table.nothing_is_the_default => {
                    texts.push((at, key.as_str(), ""))
                }
                Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
                    notes.mistake(at, "must be a single value")
                }
            }
        }
        Some(texts)
    }

    /// What stands at `name`; that it is no single value is told.
    pub(super) fn text(&self, name: &str, notes: &mut Notes) -> Found<'a> {
        let Some(entry) = self.entry(name) else {
            return if self.broken { Found::Wrong } else { Found::Absent };
        };
        match &entry.value.value {
            Value::Scalar { text, .. } if !entry.value.is_null() => Found::Text(text),
            Value::Scalar { .. } if self.table.nothing_is_the_default => Found::Absent,
            Value::Scalar { .. } => {
                notes.mistake(self.at(name), "has no value");
                Found::Wrong
            }
            Value::List(_) | Value::Map(_) => {
                notes.mistake(self.at(name), "must be a single value, not a list or a map");
                Found::Wrong
            }
        }
    }

    /// The text at `name`; `None` when it is not there, is nothing or empty, or is no single value,
    /// which is then told.
    pub(super) fn filled(&self, name: &str, notes: &mut Notes) -> Option<&'a str> {
        let entry = self.entry(name).filter(|entry| !entry.value.is_null())?;
        match &entry.value.value {
            Value::Scalar { text, .. } => Some(text.as_str()).filter(|text| !text.is_empty()),
            Value::List(_) | Value::Map(_) => {
                notes.mistake(self.at(name), "must be a single value, not a list or a map");
                None
            }
        }
    }

    /// The value at `name` as `parse` reads it, `default` when it is not there, `None` when it is
    /// wrong, which is then told.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        default: T,
        notes: &mut Notes,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.text(name, notes) {
            Found::Absent => Some(default),
            Found::Wrong => None,
            Found::Text(text) => {
                parse(text).map_err(|message| notes.mistake(self.at(name), message)).ok()
            }
        }
    }

    /// The duration at `name`, within `bounds`.
    pub(super) fn duration(
        &self,
        name: &str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
        notes: &mut Notes,
    ) -> Option<Duration> {
        self.parsed(name, default, notes, |text| within(text, parse_duration(text)?, &bounds))
    }

    /// The whole number at `name`, within `bounds`.
    pub(super) fn number<N>(
        &self,
        name: &str,
        default: N,
        bounds: RangeInclusive<N>,
        notes: &mut Notes,
    ) -> Option<N>
    where
        N: FromStr + PartialOrd + Display,
    {
        self.parsed(name, default, notes, |text| {
            let number = text.parse().ok().filter(|number| bounds.contains(number));
            number.ok_or_else(|| {
                format!(
                    "{} is no whole number from {} to {}",
                    quote(text),
                    bounds.start(),
                    bounds.end()
                )
            })
        })
    }

    /// The value at `name` by its name among `choices`.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        default: T,
        choices: &[(&str, T)],
        notes: &mut Notes,
    ) -> Option<T> {
        self.parsed(name, default, notes, |text| {
            let found = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(text));
            found.map(|(_, value)| *value).ok_or_else(|| {
                let known: Vec<String> = choices.iter().map(|(choice, _)| quote(choice)).collect();
                format!("{} is none of {}", quote(text), known.join(", "))
            })
        })
    }

    /// A key that does nothing is a mistake: whoever wrote it expects that it does.
    pub(super) fn refuse_unused(&self, keys: &[&str], dialect: &str, notes: &mut Notes) {
        for key in keys.iter().filter(|key| self.has(key)) {
            notes.mistake(
                self.at(key),
                format!(
                    "is not used with `dialect: {dialect}`: remove it, or change `api.dialect`"
                ),
            );
        }
    }

    /// Whether the key `name` is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Whether something else stands where this map should.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The place of `name`; where it is not there, that of the section.
    pub(super) fn at(&self, name: &str) -> Origin {
        Origin {
            line: self.entry(name).map(|entry| entry.line).or(self.line),
            key: self.path_of(name),
        }
    }

    /// The place of the section itself.
    pub(super) fn here(&self) -> Origin {
        Origin { line: self.line, key: self.path.clone() }
    }

    fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { shown(name) } else { format!("{}.{}", self.path, shown(name)) }
    }

    fn table_path_of(&self, name: &str) -> String {
        if self.table_path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.table_path)
        }
    }
}
