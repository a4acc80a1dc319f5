//! The ledger as records for a store, and back.
//!
//! A record is a few bytes: integers of variable length ([postcard]'s wire format), labels and
//! targets by their numbers. All records of a [`Change`] are committed in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::agent::Agent;
use super::label::{LabelId, LabelTable};
use super::ledger::{Change, Ledger, TargetProgress};
use super::packed::PackedAgent;
use super::starts::{ChunksBuilder, is_valid_chunk};
use super::tally::Total;
use super::target::{TargetId, TargetKey, TargetKeys};
use super::{Catalog, CountingRules};
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

/// The record of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    key: TargetKey,
    epoch: Option<Timestamp>,
    watermark: Option<Timestamp>,
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
}

/// Records that are not those of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store contains an invalid record")]
pub struct InvalidRecord;

/// What is committed with every change.
#[derive(Debug, Serialize, Deserialize)]
struct LedgerRecord {
    horizon: Timestamp,
    forget_at: Timestamp,
    /// Every target key from this one on is free.
    next_target: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct LabelRecord<T> {
    state: T,
    skill: Option<T>,
    used: Timestamp,
}

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

impl Ledger {
    /// The records of a change. `filters` are those of the targets in the order of the
    /// configuration, `last_success` is the target's.
    #[must_use]
    pub fn records(
        &self,
        change: &Change,
        filters: &[ReportFilter],
        last_success: Option<Timestamp>,
    ) -> Vec<Record> {
        let mut records =
            vec![self.ledger_record(), self.target_record(change.target, filters, last_success)];
        self.label_records(&change.labels, &mut records);
        for (name, before) in &change.agents {
            self.agent_records(name, before.as_deref(), &mut records);
        }
        records.extend(change.totals.keys().map(|label| self.total_record(*label)));
        // What is near in the store is written together.
        records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        records
    }

    /// The records of everything, in the order of their keys.
    #[must_use]
    pub fn all_records(
        &self,
        filters: &[ReportFilter],
        last_success: &[Option<Timestamp>],
    ) -> Vec<Record> {
        let mut records = vec![self.ledger_record()];
        for (index, last_success) in last_success.iter().enumerate() {
            records.push(self.target_record(TargetId::new(index), filters, *last_success));
        }
        self.label_records(&LabelTable::default(), &mut records);
        for name in self.agents.keys() {
            self.agent_records(name, None, &mut records);
        }
        records.extend(self.totals.keys().map(|label| self.total_record(*label)));
        records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        records
    }

    fn ledger_record(&self) -> Record {
        let (horizon, forget_at) = (self.horizon, self.forget_at);
        let next_target = self.catalog.targets.next;
        Record::put(&RecordKey::Ledger, &LedgerRecord { horizon, forget_at, next_target })
    }

    fn target_record(
        &self,
        id: TargetId,
        filters: &[ReportFilter],
        last_success: Option<Timestamp>,
    ) -> Record {
        let TargetProgress { epoch, watermark, .. } = self.targets[id.index()];
        let key = self.catalog.targets.key(id);
        let record = TargetRecord { key, epoch, watermark, last_success };
        Record::put(&RecordKey::Target(filters[id.index()].clone()), &record)
    }

    /// Appends what changed of the labels since they were as `before`.
    fn label_records(&self, before: &LabelTable, records: &mut Vec<Record>) {
        let now = &*self.catalog.labels;
        if std::ptr::eq(before, now) {
            return;
        }
        let name = |name| &**self.catalog.names.value(name);
        for number in 0..now.numbers().max(before.numbers()) {
            let (id, key) = (LabelId::from_number(number), RecordKey::Label(number));
            let before = before.entry(id).map(|entry| (entry.label, entry.used));
            match now.entry(id) {
                Some(entry) if before != Some((entry.label, entry.used)) => {
                    let (state, skill) = (name(entry.label.state), entry.label.skill.map(name));
                    records
                        .push(Record::put(&key, &LabelRecord { state, skill, used: entry.used }));
                }
                None if before.is_some() => records.push(Record::delete(&key)),
                Some(_) | None => {}
            }
        }
    }

    /// Appends what changed of an agent since it was as `before`: all of its own record, and the
    /// chunks of its starts that differ.
    fn agent_records(
        &self,
        name: &Arc<str>,
        before: Option<&PackedAgent>,
        records: &mut Vec<Record>,
    ) {
        let now = self.agents.get(name);
        let key = RecordKey::Agent(Arc::clone(name)).to_bytes();
        records.push(Record { key, value: now.map(|agent| agent.record.to_vec()) });
        let chunk = |number, value: Option<&[u8]>| Record {
            key: RecordKey::Starts(number, Arc::clone(name)).to_bytes(),
            value: value.map(<[u8]>::to_vec),
        };
        let before = || before.into_iter().flat_map(|agent| agent.starts.chunks());
        let now = || now.into_iter().flat_map(|agent| agent.starts.chunks());
        let gone = before().filter(|(number, _)| now().all(|(kept, _)| kept != *number));
        records.extend(gone.map(|(number, _)| chunk(number, None)));
        let changed =
            now().filter(|(number, bytes)| !before().any(|known| known == (*number, *bytes)));
        records.extend(changed.map(|(number, bytes)| chunk(number, Some(bytes))));
    }

    fn total_record(&self, label: LabelId) -> Record {
        let key = RecordKey::Total(label.number());
        match self.totals.get(&label) {
            Some(total) => Record::put(&key, total),
            None => Record::delete(&key),
        }
    }
}

/// Makes a ledger of its records, which are taken in the order of their keys.
#[derive(Debug, Default)]
pub struct LedgerLoader {
    head: Option<LedgerRecord>,
    labels: Vec<(LabelId, LabelRecord<String>)>,
    targets: HashMap<ReportFilter, TargetRecord>,
    agents: Vec<LoadedAgent>,
    /// The index of the agent after the one whose starts were taken last.
    next_agent: usize,
    totals: Vec<(LabelId, Total)>,
}

#[derive(Debug)]
struct LoadedAgent {
    name: Arc<str>,
    record: Box<[u8]>,
    starts: ChunksBuilder,
}

impl LedgerLoader {
    /// Takes a record of the ledger; others are ignored.
    ///
    /// # Errors
    /// When its value is invalid.
    pub fn take(&mut self, key: RecordKey, value: &[u8]) -> Result<(), InvalidRecord> {
        match key {
            RecordKey::Ledger => self.head = Some(Record::value(value)?),
            RecordKey::Label(number) => {
                self.labels.push((LabelId::from_number(number), Record::value(value)?));
            }
            RecordKey::Target(filter) => {
                self.targets.insert(filter, Record::value(value)?);
            }
            RecordKey::Agent(name) => {
                let starts = ChunksBuilder::default();
                self.agents.push(LoadedAgent { name, record: value.into(), starts });
            }
            RecordKey::Starts(chunk, name) => {
                // The agents are in the order of their ids, and so are the starts of each chunk:
                // mostly these are of the next agent.
                let index = match self.agents.get(self.next_agent) {
                    Some(agent) if agent.name == name => self.next_agent,
                    Some(_) | None => self
                        .agents
                        .binary_search_by(|agent| agent.name.cmp(&name))
                        .map_err(|_| InvalidRecord)?,
                };
                self.next_agent = index + 1;
                if !self.agents[index].starts.restore(chunk, value) {
                    return Err(InvalidRecord);
                }
            }
            RecordKey::Total(number) => {
                self.totals.push((LabelId::from_number(number), Record::value(value)?));
            }
            RecordKey::Version
            | RecordKey::Submit(_)
            | RecordKey::Job(_)
            | RecordKey::AgentIds
            | RecordKey::Owner => {}
        }
        Ok(())
    }

    /// The record of the target with this filter.
    #[must_use]
    pub fn target(&self, filter: &ReportFilter) -> Option<TargetRecord> {
        self.targets.get(filter).copied()
    }

    /// The filters of targets that have a record and are not among `filters`.
    #[must_use]
    pub fn removed(&self, filters: &[ReportFilter]) -> Vec<ReportFilter> {
        self.targets.keys().filter(|filter| !filters.contains(filter)).cloned().collect()
    }

    /// The ledger for targets with these filters. What is known of agents stays, whichever target
    /// reported it; the progress of removed targets is dropped.
    ///
    /// # Errors
    /// When the records contradict each other.
    pub fn into_ledger(
        mut self,
        rules: CountingRules,
        filters: &[ReportFilter],
    ) -> Result<Ledger, InvalidRecord> {
        let mut ledger = Ledger::new(rules, filters.len());
        let targets: Vec<Option<TargetRecord>> =
            filters.iter().map(|filter| self.target(filter)).collect();
        let next = self.head.as_ref().map_or(0, |head| head.next_target);
        let keys = TargetKeys::new(targets.iter().map(|record| Some((*record)?.key)), next)
            .ok_or(InvalidRecord)?;
        ledger.catalog.targets = Arc::new(keys);
        for (progress, record) in ledger.targets.iter_mut().zip(targets) {
            if let Some(TargetRecord { epoch, watermark, .. }) = record {
                (progress.epoch, progress.watermark) = (epoch, watermark);
            }
        }
        // A state over all skills must come before its pairs, whichever number was free for it.
        self.labels.sort_unstable_by_key(|(id, label)| (label.skill.is_some(), *id));
        for (id, LabelRecord { state, skill, used }) in &self.labels {
            if !ledger.catalog.restore(*id, state, skill.as_deref(), *used) {
                return Err(InvalidRecord);
            }
        }
        let exists = |catalog: &Catalog, label| catalog.labels.entry(label).is_some();
        for (label, total) in self.totals {
            if !exists(&ledger.catalog, label) {
                return Err(InvalidRecord);
            }
            ledger.totals.insert(label, total);
        }
        for LoadedAgent { name, mut record, starts } in self.agents {
            let mut agent: Agent = Record::value(&record)?;
            agent.starts = starts.finish();
            let series = agent.series.len();
            let is_valid = agent.labels().all(|label| exists(&ledger.catalog, label))
                && agent
                    .starts
                    .chunks()
                    .all(|(number, bytes)| is_valid_chunk(number, bytes, series));
            if !is_valid {
                return Err(InvalidRecord);
            }
            // In memory only: the store's record is replaced when the agent is next reported.
            if agent.retain_targets(|target| ledger.catalog.targets.id(target).is_some()) {
                record = Record::bytes(&agent).into();
            }
            let packed = PackedAgent::restored(&agent, record, &ledger.catalog);
            ledger.agents.insert(name, packed);
        }
        if let Some(LedgerRecord { horizon, forget_at, .. }) = self.head {
            (ledger.horizon, ledger.forget_at) = (horizon, forget_at);
        }
        ledger.rebuild_newest();
        Ok(ledger)
    }
}
