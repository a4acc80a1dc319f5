//! The records of a store: keys, and values as bytes.
//!
//! A record is a few bytes: integers of variable length ([postcard]'s wire format), labels and
//! targets by their numbers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::report::ReportFilter;
use crate::time::Timestamp;

/// Capacity, in bytes, that most values fit in.
const VALUE_CAPACITY: usize = 256;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKey {
    /// The version of the format.
    Version,
    /// What the ledger holds beside the other records.
    Ledger,
    /// A label, by its number: its names, and when it was last used.
    Label(u32),
    /// A target, by its filter.
    Target(ReportFilter),
    /// An agent, by its id.
    Agent(Arc<str>),
    /// Four hours of an agent's state changes, by their number since 1970 and the agent's id: what
    /// is written together is near.
    Starts(u32, Arc<str>),
    /// The counts over all agents of a label, by its number.
    Total(u32),
    /// A submit, by its wall time.
    Submit(Timestamp),
    /// The report job in progress of a target, by the target's filter.
    Job(ReportFilter),
    /// How the agents' ids are made, when they are not CXone's own.
    AgentIds,
    /// Whose history it is.
    Owner,
}

/// A key, and the value to store at it: `None` to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key, as bytes.
    pub key: Vec<u8>,
    /// The value.
    pub value: Option<Vec<u8>>,
}

/// Records that are not those of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store contains an invalid record")]
pub struct InvalidRecord;

impl RecordKey {
    /// The key as bytes: one for the kind, then what identifies the record among those of its kind.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbered = |kind: u8, number: &u32| [&[kind][..], &number.to_be_bytes()].concat();
        let filtered = |kind: &str, filter: &ReportFilter| {
            format!("{kind}{}\0{}", filter.kind, filter.id).into_bytes()
        };
        match self {
            Self::Version => vec![b'v'],
            Self::Ledger => vec![b'h'],
            Self::Label(number) => numbered(b'l', number),
            Self::Target(filter) => filtered("t", filter),
            Self::Agent(name) => [b"a", name.as_bytes()].concat(),
            Self::Starts(chunk, name) => [&numbered(b'w', chunk), name.as_bytes()].concat(),
            Self::Total(number) => numbered(b's', number),
            Self::Submit(time) => [&b"q"[..], &time.millis().to_be_bytes()].concat(),
            Self::Job(filter) => filtered("j", filter),
            Self::AgentIds => vec![b'i'],
            Self::Owner => vec![b'o'],
        }
    }

    /// Whether it is a record of the agent called `name`, or of a target for that agent alone.
    #[must_use]
    pub fn is_about(&self, name: &str) -> bool {
        match self {
            Self::Agent(agent) | Self::Starts(_, agent) => **agent == *name,
            Self::Target(filter) | Self::Job(filter) => filter.is_for(name),
            Self::Version
            | Self::Ledger
            | Self::Label(_)
            | Self::Total(_)
            | Self::Submit(_)
            | Self::AgentIds
            | Self::Owner => false,
        }
    }

    /// The key that [`RecordKey::to_bytes`] makes `bytes` of.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let (kind, rest) = bytes.split_first().ok_or(InvalidRecord)?;
        let number = || rest.try_into().map(u32::from_be_bytes).map_err(|_| InvalidRecord);
        let text_of = |bytes| std::str::from_utf8(bytes).map_err(|_| InvalidRecord);
        let text = || text_of(rest);
        let filter = || {
            let (kind, id) = text()?.split_once('\0').ok_or(InvalidRecord)?;
            Ok(ReportFilter { kind: kind.to_owned(), id: id.to_owned() })
        };
        Ok(match kind {
            b'v' => Self::Version,
            b'h' => Self::Ledger,
            b'l' => Self::Label(number()?),
            b't' => Self::Target(filter()?),
            b'a' => Self::Agent(Arc::from(text()?)),
            b's' => Self::Total(number()?),
            b'w' => {
                let (chunk, name) = rest.split_first_chunk().ok_or(InvalidRecord)?;
                Self::Starts(u32::from_be_bytes(*chunk), Arc::from(text_of(name)?))
            }
            b'q' => Self::Submit(Timestamp::from_millis(
                rest.try_into().map(i64::from_be_bytes).map_err(|_| InvalidRecord)?,
            )),
            b'j' => Self::Job(filter()?),
            b'i' => Self::AgentIds,
            b'o' => Self::Owner,
            _ => return Err(InvalidRecord),
        })
    }
}

impl Record {
    /// `value` at `key`.
    #[must_use]
    pub fn put(key: &RecordKey, value: &impl Serialize) -> Self {
        Self { key: key.to_bytes(), value: Some(Self::bytes(value)) }
    }

    /// `value` as bytes.
    #[must_use]
    pub fn bytes(value: &impl Serialize) -> Vec<u8> {
        postcard::to_extend(value, Vec::with_capacity(VALUE_CAPACITY))
            .expect("plain data of known length goes into memory")
    }

    /// Nothing at `key`.
    #[must_use]
    pub fn delete(key: &RecordKey) -> Self {
        Self { key: key.to_bytes(), value: None }
    }

    /// The value of a record.
    ///
    /// # Errors
    /// When it is not one of this type.
    pub fn value<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, InvalidRecord> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) | Err(_) => Err(InvalidRecord),
        }
    }
}
