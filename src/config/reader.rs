//! Reading a map of a file by the table of settings: unknown keys, types and bounds, each mistake
//! with its line and path.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::duration::{parse_duration, within};
use super::mistake::{Findings, Origin, quote, shown};
use super::overrides::{Given, Overrides, ValueSource};
use super::settings::{Schema, Setting, SettingKind};
use super::yaml::{YamlEntry, YamlNode, YamlValue};

/// A file while it is read.
pub(super) struct ConfigDocument<'a> {
    pub(super) schema: &'static Schema,
    /// Where relative paths begin.
    pub(super) folder: &'a Path,
    pub(super) overrides: &'a Overrides,
    pub(super) findings: RefCell<Findings>,
}

impl ConfigDocument<'_> {
    pub(super) fn mistake(&self, at: Origin, message: impl Into<String>) {
        self.findings.borrow_mut().mistake(at, message);
    }

    pub(super) fn warn(&self, at: Origin, message: impl Into<String>) {
        self.findings.borrow_mut().warning(at, message);
    }

    /// How many mistakes there are so far.
    pub(super) fn mistakes(&self) -> usize {
        self.findings.borrow().mistakes.len()
    }
}

/// A map of the file. A section that is not there has no entries.
#[derive(Clone)]
pub(super) struct Section<'a> {
    pub(super) document: &'a ConfigDocument<'a>,
    path: String,
    line: Option<usize>,
    entries: &'a [YamlEntry],
    /// Something else stands where the map should: that is one mistake, and its keys are not
    /// missed.
    broken: bool,
}

impl<'a> Section<'a> {
    /// The whole file; `None` where there is none.
    pub(super) fn top(document: &'a ConfigDocument<'a>, node: Option<&'a YamlNode>) -> Self {
        let empty = Self { document, path: String::new(), line: None, entries: &[], broken: false };
        match node {
            Some(node) => Self { line: Some(node.line), ..empty }.filled_from(node),
            None => empty,
        }
    }

    /// The section with the entries of `node`, after their keys and shapes were checked.
    fn filled_from(self, node: &'a YamlNode) -> Self {
        let entries = match &node.value {
            YamlValue::Map(entries) => entries.as_slice(),
            YamlValue::Scalar { .. } | YamlValue::List(_) if node.is_null() => &[],
            YamlValue::Scalar { .. } | YamlValue::List(_) => {
                let known = self.document.schema.known_keys(&self.schema_path());
                let at = Origin { line: Some(node.line), key: self.path.clone() };
                self.document.mistake(at, format!("must be a map with the keys {known}"));
                return Self { broken: true, ..self };
            }
        };
        let section = Self { entries, ..self };
        for entry in entries {
            if let Some(refusal) =
                section.document.schema.refusal(&section.schema_path(), &entry.key)
            {
                section.mistake(&entry.key, refusal);
            } else if let Some(setting) = section.setting(&entry.key) {
                section.check_shape(setting.kind, entry);
            }
        }
        section
    }

    /// Whether the value is a list, a map or a single value as it should be.
    fn check_shape(&self, kind: SettingKind, YamlEntry { key, value, .. }: &YamlEntry) {
        let may_be_empty = self.document.schema.empty_is_default;
        let is_text =
            |node: &YamlNode| matches!(node.value, YamlValue::Scalar { .. }) && !node.is_null();
        match (kind, &value.value) {
            (SettingKind::List(..), YamlValue::List(items)) => {
                for (index, item) in items.iter().enumerate().filter(|(_, item)| !is_text(item)) {
                    self.document.mistake(self.at_item(key, index, item), "must be text");
                }
            }
            (SettingKind::Map(..), YamlValue::Map(entries)) => {
                for entry in entries {
                    let is_empty = may_be_empty && entry.value.is_null();
                    if !is_empty && !is_text(&entry.value) {
                        self.document.mistake(self.at_entry(key, entry), "must be a single value");
                    }
                }
            }
            (SettingKind::List(..) | SettingKind::Map(..), _) if value.is_null() => {}
            (SettingKind::List(..), _) => self.mistake(key, MUST_BE_LIST),
            (SettingKind::Map(..), _) => self.mistake(key, "must be a map"),
            (_, YamlValue::List(_) | YamlValue::Map(_)) => {
                self.mistake(key, "must be a single value, not a list or a map");
            }
            (_, YamlValue::Scalar { .. }) if value.is_null() && !may_be_empty => {
                self.mistake(key, "has no value");
            }
            (_, YamlValue::Scalar { .. }) => {}
        }
    }

    /// The map at `name`, whose mistakes [`section`](Self::section) finds.
    pub(super) fn entries_of(&self, name: &str) -> Self {
        let below = Self { path: self.path_of(name), entries: &[], ..self.clone() };
        match self.entry(name) {
            Some(YamlEntry {
                line,
                value: YamlNode { value: YamlValue::Map(entries), .. },
                ..
            }) => Self { line: Some(*line), entries, ..below },
            Some(_) | None => below,
        }
    }

    /// The map at `name`.
    pub(super) fn section(&self, name: &str) -> Self {
        let below = Self { path: self.path_of(name), entries: &[], ..self.clone() };
        match self.entry(name) {
            Some(entry) => Self { line: Some(entry.line), ..below }.filled_from(&entry.value),
            None => below,
        }
    }

    /// The maps in the list at `name`.
    pub(super) fn sections(&self, name: &str) -> Vec<Self> {
        let Some(entry) = self.entry(name) else { return Vec::new() };
        let YamlValue::List(items) = &entry.value.value else {
            if !entry.value.is_null() {
                self.mistake(name, MUST_BE_LIST);
            }
            return Vec::new();
        };
        let section = |(index, item): (usize, &'a YamlNode)| {
            let Origin { line, key: path } = self.at_item(name, index, item);
            Self { path, line, entries: &[], ..self.clone() }.filled_from(item)
        };
        items.iter().enumerate().map(section).collect()
    }

    /// The texts in the list at `name`, each with its place; `None` when there is no list.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<(Origin, &'a str)>> {
        let node = &self.entry(name)?.value;
        let YamlValue::List(items) = &node.value else {
            return (node.is_null() && !self.document.schema.empty_is_default).then(Vec::new);
        };
        let text = |(index, item): (usize, &'a YamlNode)| {
            Some((self.at_item(name, index, item), item.text()?))
        };
        Some(items.iter().enumerate().filter_map(text).collect())
    }

    /// The map at `name`, whatever its keys, as (place of the key, key, text); `None` when there is
    /// none.
    pub(super) fn texts_by_key(&self, name: &str) -> Option<Vec<(Origin, &'a str, &'a str)>> {
        let node = &self.entry(name)?.value;
        let YamlValue::Map(entries) = &node.value else {
            return node.is_null().then(Vec::new);
        };
        let may_be_empty = self.document.schema.empty_is_default;
        let text = |entry: &'a YamlEntry| {
            let empty = may_be_empty && entry.value.is_null();
            let text = if empty { "" } else { entry.value.text()? };
            Some((self.at_entry(name, entry), &*entry.key, text))
        };
        Some(entries.iter().filter_map(text).collect())
    }

    /// The text at `name`; `None` where there is none, or something else, which is a mistake
    /// already.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.entry(name)?.value.text()
    }

    /// The text at `name`, unless it is empty.
    pub(super) fn filled(&self, name: &str) -> Option<&'a str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// The value at `name` as `parse` reads it; where it is absent or wrong, the default.
    pub(super) fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let text = self.text(name);
        let parsed =
            text.and_then(|text| parse(text).map_err(|message| self.mistake(name, message)).ok());
        parsed.unwrap_or_else(|| {
            let default = self.setting(name).map_or("", |setting| setting.default);
            parse(default).expect("the tables' defaults are valid, as a test holds")
        })
    }

    /// The duration at `name`.
    pub(super) fn duration(&self, name: &str) -> Duration {
        let Some(Setting { kind: SettingKind::Duration(min, max), .. }) = self.setting(name) else {
            unreachable!("{name} is not a duration")
        };
        self.parsed(name, |text| within(text, parse_duration(text)?, &(*min..=*max)))
    }

    /// The whole number at `name`.
    pub(super) fn number<N: FromStr + Display>(&self, name: &str) -> N {
        let Some(Setting { kind: SettingKind::Number(min, max), .. }) = self.setting(name) else {
            unreachable!("{name} is not a number")
        };
        self.parsed(name, |text| {
            let is_within = text.parse().is_ok_and(|number: u64| (*min..=*max).contains(&number));
            let number = text.parse().ok().filter(|_| is_within);
            number.ok_or_else(|| {
                format!("{} must be a whole number from {min} to {max}", quote(text))
            })
        })
    }

    /// The value of the word at `name`; `values` are those of the table's words in their order.
    pub(super) fn word<T: Copy, const N: usize>(&self, name: &str, values: [T; N]) -> T {
        self.parsed(name, |text| self.value_of_word(name, text, values))
    }

    pub(super) fn value_of_word<T: Copy, const N: usize>(
        &self,
        name: &str,
        text: &str,
        values: [T; N],
    ) -> Result<T, String> {
        let Some(Setting { kind: SettingKind::Word(words), .. }) = self.setting(name) else {
            unreachable!("{name} is not a word")
        };
        let index = words.iter().position(|word| word.eq_ignore_ascii_case(text));
        index.and_then(|index| values.get(index).copied()).ok_or_else(|| {
            let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
            format!("{} must be one of {}", quote(text), words.join(", "))
        })
    }

    /// The value of `name` from the source that takes precedence.
    pub(super) fn given(&self, name: &str) -> Option<Given> {
        ValueSource::ALL.into_iter().find_map(|level| self.given_by(level, name))
    }

    /// The value of `name` from one source.
    pub(super) fn given_by(&self, level: ValueSource, name: &str) -> Option<Given> {
        if level != ValueSource::File {
            return self.document.overrides.get(level, &self.path_of(name)).cloned();
        }
        let text = self.text(name).map(str::to_owned);
        self.has(name).then(|| Given { level, at: self.at(name), text })
    }

    /// What was given, as `parse` reads it; `None` when it is wrong.
    pub(super) fn parse<T>(
        &self,
        given: &Given,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = given.text.as_deref()?;
        parse(text).map_err(|message| self.document.mistake(given.at.clone(), message)).ok()
    }

    /// Whether the key `name` is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Whether something else stands where this map should.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether there is no mistake at any of these keys.
    pub(super) fn is_valid(&self, names: &[&str]) -> bool {
        let findings = self.document.findings.borrow();
        let is_wrong = |path: String| findings.mistakes.iter().any(|mistake| mistake.key == path);
        !names.iter().any(|name| is_wrong(self.path_of(name)))
    }

    /// The place of `name`; where it is not there, that of the section.
    pub(super) fn at(&self, name: &str) -> Origin {
        let line = self.entry(name).map(|entry| entry.line).or(self.line);
        Origin { line, key: self.path_of(name) }
    }

    /// The place of the section itself.
    pub(super) fn here(&self) -> Origin {
        Origin { line: self.line, key: self.path.clone() }
    }

    fn at_item(&self, name: &str, index: usize, item: &YamlNode) -> Origin {
        Origin { line: Some(item.line), key: format!("{}[{index}]", self.path_of(name)) }
    }

    fn at_entry(&self, name: &str, entry: &YamlEntry) -> Origin {
        let key = format!("{}.{}", self.path_of(name), shown(&entry.key));
        Origin { line: Some(entry.line), key }
    }

    pub(super) fn mistake(&self, name: &str, message: impl Into<String>) {
        self.document.mistake(self.at(name), message);
    }

    pub(super) fn warn(&self, name: &str, message: impl Into<String>) {
        self.document.warn(self.at(name), message);
    }

    fn entry(&self, name: &str) -> Option<&'a YamlEntry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// The row of the table for `name`.
    pub(super) fn setting(&self, name: &str) -> Option<&'static Setting> {
        let section = self.schema_path();
        let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        self.document.schema.find(&key)
    }

    /// The path as the table has it: without the numbers of items.
    fn schema_path(&self) -> String {
        let mut path = self.path.clone();
        path.retain(|c| !c.is_ascii_digit());
        path
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { shown(name) } else { format!("{}.{}", self.path, shown(name)) }
    }
}

const MUST_BE_LIST: &str = "must be a list: write each item on a line of its own after `- `";
