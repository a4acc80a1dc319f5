//! Label values made safe, and a table that keeps each of them once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

/// The longest label value, in bytes of UTF-8.
pub const MAX_LABEL_BYTES: usize = 256;

/// Replaces names that exceed a limit.
pub const OTHER: &str = "other";

/// The state that all names of `states.wrap_up` become.
pub const WRAP_UP: &str = "Wrap-up";

/// Separates the kept part of a truncated value from its hash.
const CUT_MARK: char = '…';

/// Digits of the hash at the end of a truncated value.
const HASH_DIGITS: usize = 8;

/// A name, by its index in its [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

impl NameId {
    /// The index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Label values, each kept once, made safe by [`label_value`] on the way in.
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_value: HashMap<Arc<str>, NameId, RandomState>,
    values: Vec<Arc<str>>,
}

impl Names {
    /// The id of `raw`, which is added if it is new.
    ///
    /// # Panics
    /// Past 2³² names; the limits on a report's size keep far below.
    pub fn intern(&mut self, raw: &str) -> NameId {
        // Known values are safe already, so most names need no escaping.
        if let Some(id) = self.find(raw) {
            return id;
        }
        let value = label_value(raw);
        if let Some(id) = self.find(&value) {
            return id;
        }
        let id = NameId(
            u32::try_from(self.values.len()).expect("reports are limited to far fewer names"),
        );
        let value: Arc<str> = Arc::from(value);
        self.values.push(Arc::clone(&value));
        self.by_value.insert(value, id);
        id
    }

    /// The same as [`Names::intern`], trying `guess` first.
    pub(super) fn intern_near(&mut self, raw: &str, guess: Option<NameId>) -> NameId {
        guess
            .filter(|guess| *self.values[guess.index()] == *raw)
            .unwrap_or_else(|| self.intern(raw))
    }

    /// The id of `value`, if it is known.
    #[must_use]
    pub fn find(&self, value: &str) -> Option<NameId> {
        self.by_value.get(value).copied()
    }

    /// The value at `id`.
    #[must_use]
    pub fn value(&self, id: NameId) -> &Arc<str> {
        &self.values[id.index()]
    }

    /// Every value, in the order of their ids.
    pub fn values(&self) -> impl Iterator<Item = &Arc<str>> {
        self.values.iter()
    }

    /// Number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// How near the sets of label values of one kind are to their limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSets {
    /// The label `kind`.
    pub kind: &'static str,
    /// `cxone_exporter_label_sets`.
    pub own: u64,
    /// `cxone_exporter_label_sets_limit`.
    pub limit: u64,
    /// `cxone_exporter_label_sets_over_limit`: those shown as `other`.
    pub over: u64,
}

impl LabelSets {
    /// `own` sets of `kind` out of at most `limit`; `over` more are shown as `other`.
    #[must_use]
    pub fn new(kind: &'static str, own: usize, limit: usize, over: usize) -> Self {
        let count = |number| u64::try_from(number).unwrap_or(u64::MAX);
        Self { kind, own: count(own), limit: count(limit), over: count(over) }
    }
}

/// `raw` as a label value: control characters but the newline become U+FFFD; what is longer than
/// [`MAX_LABEL_BYTES`] is truncated at a character boundary and ends in `…` and 8 hex digits of the
/// hash of the whole, so that different names stay different.
#[must_use]
pub fn label_value(raw: &str) -> Cow<'_, str> {
    if raw.len() <= MAX_LABEL_BYTES && raw.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return raw.into();
    }
    let unsafe_char = |c: char| c.is_control() && c != '\n';
    let clean: Cow<'_, str> = if raw.contains(unsafe_char) {
        raw.chars()
            .map(|c| if unsafe_char(c) { char::REPLACEMENT_CHARACTER } else { c })
            .collect::<String>()
            .into()
    } else {
        raw.into()
    };
    if clean.len() <= MAX_LABEL_BYTES {
        return clean;
    }
    let end = clean.floor_char_boundary(MAX_LABEL_BYTES - CUT_MARK.len_utf8() - HASH_DIGITS);
    format!("{}{CUT_MARK}{:08x}", &clean[..end], fnv1a(raw)).into()
}

/// `name` where [`OTHER`] is reserved: a name that equals it is marked as if it were truncated.
#[must_use]
pub fn escape_other(name: &str) -> Cow<'_, str> {
    if name == OTHER { format!("{OTHER}{CUT_MARK}{:08x}", fnv1a(name)).into() } else { name.into() }
}

/// FNV-1a: the same on every run and machine, unlike the standard library's hasher.
pub(super) fn hash_of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The same, folded to 32 bits.
fn fnv1a(text: &str) -> u32 {
    let hash = hash_of(text);
    let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
    u32::try_from(folded).expect("the upper half was folded away")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_replacement_characters_but_the_newline_stays() {
        assert_eq!(label_value("a\u{0}b\u{1b}c\nd\u{85}"), "a\u{fffd}b\u{fffd}c\nd\u{fffd}");
    }

    #[test]
    fn a_long_value_is_cut_at_a_characters_edge_and_two_names_stay_two() {
        let one = "🎧".repeat(2_500);
        let other = format!("{}x", "🎧".repeat(2_500));
        let (one, other) = (label_value(&one), label_value(&other));
        assert!(one.len() <= MAX_LABEL_BYTES && one.len() > MAX_LABEL_BYTES - 4);
        assert_ne!(one, other);
        let (kept, hash) = one.split_once('…').expect("the mark");
        assert!(kept.chars().all(|c| c == '🎧'));
        assert!(hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn a_value_of_exactly_the_limit_is_kept_whole() {
        let value = "x".repeat(MAX_LABEL_BYTES);
        assert_eq!(label_value(&value), value);
    }

    #[test]
    fn a_name_is_kept_once() {
        let mut names = Names::default();
        let ready = names.intern("Ready");
        assert_ne!(ready, names.intern("Wrap-up"));
        assert_eq!(ready, names.intern("Ready"));
        assert_eq!(names.len(), 2);
        assert_eq!(&**names.value(ready), "Ready");
    }
}
