//! The ledger as records for a store, and back.
//!
//! A record is a few bytes: integers of variable length ([postcard]'s wire format), labels by their
//! number in one table. All records of a [`Change`] are to be committed in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::agent::Agent;
use super::label::{LabelId, Labels};
use super::rest::Resting;
use super::starts::{Chunks, is_chunk};
use super::{Change, CountingRules, Ledger, Progress, TargetId, Total};
use crate::report::ReportFilter;
use crate::time::Timestamp;

/// Room that most values fit in, in bytes.
const ROOM: usize = 256;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKey {
    /// The version of the format.
    Version,
    /// What the ledger holds beside the other records.
    Ledger,
    /// A label, by its number.
    Label(u32),
    /// When a label was last used, by its number.
    LabelUse(u32),
    /// A target, by its filter.
    Target(ReportFilter),
    /// An agent, by its id.
    Agent(Arc<str>),
    /// Four hours of state changes of an agent, by their number since 1970 and the agent's id:
    /// those that are written together are near.
    Starts(u32, Arc<str>),
    /// The counts over all agents of a label, by its number.
    Total(u32),
    /// A submit, by its wall time.
    Submit(Timestamp),
    /// The job that CXone works on for a target, by the target's filter.
    Job(ReportFilter),
    /// How the agents' ids are made, when they are not CXone's own.
    AgentIds,
    /// Whose history it is.
    Owner,
}

/// A key and what is to be there: `None`, nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key, as bytes.
    pub key: Vec<u8>,
    /// The value.
    pub value: Option<Vec<u8>>,
}

/// What a target's record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    place: usize,
    epoch: Option<Timestamp>,
    watermark: Option<Timestamp>,
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
}

/// Records that do not make a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store holds a record that makes no sense")]
pub struct InvalidRecord;

#[derive(Serialize, Deserialize)]
struct Head {
    horizon: Timestamp,
    forget_at: Timestamp,
}

impl RecordKey {
    /// The key as bytes: one for the kind, then what tells records of the kind apart.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Version => vec![b'v'],
            Self::Ledger => vec![b'h'],
            Self::Label(number) => [&b"l"[..], &number.to_be_bytes()].concat(),
            Self::LabelUse(number) => [&b"u"[..], &number.to_be_bytes()].concat(),
            Self::Target(filter) => [b"t", &*filter_bytes(filter)].concat(),
            Self::Agent(name) => [b"a", name.as_bytes()].concat(),
            Self::Starts(chunk, name) => {
                [&b"w"[..], &chunk.to_be_bytes(), name.as_bytes()].concat()
            }
            Self::Total(number) => [&b"s"[..], &number.to_be_bytes()].concat(),
            Self::Submit(time) => [&b"q"[..], &time.millis().to_be_bytes()].concat(),
            Self::Job(filter) => [b"j", &*filter_bytes(filter)].concat(),
            Self::AgentIds => vec![b'i'],
            Self::Owner => vec![b'o'],
        }
    }

    /// Whether it is the record of the agent called `name`, or of a target that asks for that agent
    /// alone.
    #[must_use]
    pub fn is_about(&self, name: &str) -> bool {
        match self {
            Self::Agent(agent) | Self::Starts(_, agent) => **agent == *name,
            Self::Target(filter) | Self::Job(filter) => filter.is_for(name),
            Self::Version
            | Self::Ledger
            | Self::Label(_)
            | Self::LabelUse(_)
            | Self::Total(_)
            | Self::Submit(_)
            | Self::AgentIds
            | Self::Owner => false,
        }
    }

    /// The key that `bytes` are.
    ///
    /// # Errors
    /// When they are none.
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
            b'u' => Self::LabelUse(number()?),
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

fn filter_bytes(filter: &ReportFilter) -> Vec<u8> {
    format!("{}\0{}", filter.kind, filter.id).into_bytes()
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
        postcard::to_extend(value, Vec::with_capacity(ROOM))
            .expect("plain data of known length goes into memory")
    }

    /// Nothing at `key`.
    #[must_use]
    pub fn delete(key: &RecordKey) -> Self {
        Self { key: key.to_bytes(), value: None }
    }

    /// What a record's value is.
    ///
    /// # Errors
    /// When it is nothing of the kind.
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
            vec![self.head_record(), self.target_record(change.target, filters, last_success)];
        self.label_records(&change.labels, &mut records);
        for (name, before) in &change.agents {
            self.agent_records(name, before.as_deref(), &mut records);
        }
        records.extend(change.totals.keys().map(|label| self.total_record(*label)));
        // What is near in the store is written together.
        records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        records
    }

    /// The records of everything.
    #[must_use]
    pub fn all_records(
        &self,
        filters: &[ReportFilter],
        last_success: &[Option<Timestamp>],
    ) -> Vec<Record> {
        let mut records = vec![self.head_record()];
        for (place, last_success) in last_success.iter().enumerate() {
            records.push(self.target_record(TargetId::new(place), filters, *last_success));
        }
        self.label_records(&Labels::default(), &mut records);
        for name in self.agents.keys() {
            self.agent_records(name, None, &mut records);
        }
        records.extend(self.totals.keys().map(|label| self.total_record(*label)));
        records
    }

    fn head_record(&self) -> Record {
        Record::put(&RecordKey::Ledger, &Head { horizon: self.horizon, forget_at: self.forget_at })
    }

    fn target_record(
        &self,
        id: TargetId,
        filters: &[ReportFilter],
        last_success: Option<Timestamp>,
    ) -> Record {
        let Progress { epoch, watermark, .. } = self.targets[id.index()];
        let saved = TargetRecord { place: id.index(), epoch, watermark, last_success };
        Record::put(&RecordKey::Target(filters[id.index()].clone()), &saved)
    }

    /// What is to be written of the labels that were `before`.
    fn label_records(&self, before: &Labels, records: &mut Vec<Record>) {
        let now = &*self.book.labels;
        if std::ptr::eq(before, now) {
            return;
        }
        let name = |name| &**self.book.names.value(name);
        for number in 0..now.places().max(before.places()) {
            let (key, use_key) = (RecordKey::Label(number), RecordKey::LabelUse(number));
            match (before.at(number), now.at(number)) {
                (Some(_), None) => records.extend([Record::delete(&key), Record::delete(&use_key)]),
                (known, Some((label, used))) => {
                    if known.is_none_or(|(before, _)| before != label) {
                        let names = (name(label.state), label.skill.map(name));
                        records.push(Record::put(&key, &names));
                    }
                    if known.is_none_or(|(_, before)| before != used) {
                        records.push(Record::put(&use_key, &used));
                    }
                }
                (None, None) => {}
            }
        }
    }

    /// What is to be written of an agent that was `before`.
    fn agent_records(&self, name: &Arc<str>, before: Option<&Resting>, records: &mut Vec<Record>) {
        let now = self.agents.get(name);
        let record = now.map(|agent| agent.record.to_vec());
        records.push(Record { key: RecordKey::Agent(Arc::clone(name)).to_bytes(), value: record });
        let chunk = |number, value: Option<&[u8]>| Record {
            key: RecordKey::Starts(number, Arc::clone(name)).to_bytes(),
            value: value.map(<[u8]>::to_vec),
        };
        let before = || before.into_iter().flat_map(|agent| agent.starts.chunks());
        let now = || now.into_iter().flat_map(|agent| agent.starts.chunks());
        let gone = before().filter(|(number, _)| now().all(|(kept, _)| kept != *number));
        records.extend(gone.map(|(number, _)| chunk(number, None)));
        let grown =
            now().filter(|(number, bytes)| !before().any(|known| known == (*number, *bytes)));
        records.extend(grown.map(|(number, bytes)| chunk(number, Some(bytes))));
    }

    fn total_record(&self, label: LabelId) -> Record {
        let key = RecordKey::Total(label.number());
        self.totals
            .get(&label)
            .map_or_else(|| Record::delete(&key), |total| Record::put(&key, total))
    }
}

/// Takes records in, in the order of their keys, and makes a ledger of them.
#[derive(Debug, Default)]
pub struct LedgerLoader {
    head: Option<(Timestamp, Timestamp)>,
    labels: Vec<(u32, String, Option<String>)>,
    used: HashMap<u32, Timestamp>,
    targets: HashMap<ReportFilter, TargetRecord>,
    agents: Vec<RestoredAgent>,
    /// Where the agent behind the one whose starts were told last stands.
    next: usize,
    totals: Vec<(u32, Total)>,
}

#[derive(Debug)]
struct RestoredAgent {
    name: Arc<str>,
    record: Box<[u8]>,
    starts: Chunks,
}

impl LedgerLoader {
    /// Takes in one record of the ledger's; others are nothing to it.
    ///
    /// # Errors
    /// When its value makes no sense.
    pub fn take(&mut self, key: RecordKey, value: &[u8]) -> Result<(), InvalidRecord> {
        match key {
            RecordKey::Ledger => {
                let head: Head = Record::value(value)?;
                self.head = Some((head.horizon, head.forget_at));
            }
            RecordKey::Label(number) => {
                let (state, skill) = Record::value(value)?;
                self.labels.push((number, state, skill));
            }
            RecordKey::LabelUse(number) => {
                self.used.insert(number, Record::value(value)?);
            }
            RecordKey::Target(filter) => {
                self.targets.insert(filter, Record::value(value)?);
            }
            RecordKey::Agent(name) => self.agents.push(RestoredAgent {
                name,
                record: value.into(),
                starts: Chunks::default(),
            }),
            RecordKey::Starts(chunk, name) => {
                // Mostly the next one's: agents are told by name, and so are the starts of each
                // chunk.
                let place = match self.agents.get(self.next) {
                    Some(agent) if agent.name == name => self.next,
                    Some(_) | None => self
                        .agents
                        .binary_search_by(|agent| agent.name.cmp(&name))
                        .map_err(|_| InvalidRecord)?,
                };
                self.next = place + 1;
                self.agents[place].starts.take(chunk, value).then_some(()).ok_or(InvalidRecord)?;
            }
            RecordKey::Total(number) => self.totals.push((number, Record::value(value)?)),
            RecordKey::Version
            | RecordKey::Submit(_)
            | RecordKey::Job(_)
            | RecordKey::AgentIds
            | RecordKey::Owner => {}
        }
        Ok(())
    }

    /// What is known of the target with this filter.
    #[must_use]
    pub fn target(&self, filter: &ReportFilter) -> Option<TargetRecord> {
        self.targets.get(filter).copied()
    }

    /// The filters of targets that are known and not among `filters`.
    #[must_use]
    pub fn removed(&self, filters: &[ReportFilter]) -> Vec<ReportFilter> {
        self.targets.keys().filter(|filter| !filters.contains(filter)).cloned().collect()
    }

    /// Whether every target has the place that it had, so that agents need not be written again.
    #[must_use]
    pub fn same_places(&self, filters: &[ReportFilter]) -> bool {
        let moved = |(filter, saved): (&ReportFilter, &TargetRecord)| {
            filters.get(saved.place) != Some(filter)
        };
        !self.targets.iter().any(moved)
    }

    /// The ledger, for targets with these filters. What is known of targets that are no more goes;
    /// what is known of agents stays.
    ///
    /// # Errors
    /// When the records contradict each other.
    pub fn into_ledger(
        mut self,
        rules: CountingRules,
        filters: &[ReportFilter],
    ) -> Result<Ledger, InvalidRecord> {
        let mut ledger = Ledger::new(rules, filters.len());
        let mut places: HashMap<usize, usize> = HashMap::new();
        for (place, filter) in filters.iter().enumerate() {
            if let Some(saved) = self.targets.get(filter) {
                places.insert(saved.place, place);
                ledger.targets[place] = Progress {
                    epoch: saved.epoch,
                    watermark: saved.watermark,
                    ..Progress::default()
                };
            }
        }
        // A state over all skills comes before its labels, wherever a place was free.
        self.labels.sort_unstable_by_key(|(number, _, skill)| (skill.is_some(), *number));
        // An older version did not tell: as if it had been used just now.
        let newest = self.targets.values().filter_map(|target| target.watermark).max();
        for (number, state, skill) in &self.labels {
            let used = self.used.get(number).copied().or(newest).unwrap_or(Timestamp::MIN);
            if !ledger.book.restore(*number, state, skill.as_deref(), used) {
                return Err(InvalidRecord);
            }
        }
        for (number, total) in std::mem::take(&mut self.totals) {
            ledger.totals.insert(ledger.known_label(LabelId::from_number(number))?, total);
        }
        for RestoredAgent { name, record, starts } in std::mem::take(&mut self.agents) {
            let mut agent: Agent = Record::value(&record)?;
            for label in agent.labels() {
                ledger.known_label(label)?;
            }
            agent.starts = starts.finish();
            if !agent
                .starts
                .chunks()
                .all(|(number, bytes)| is_chunk(number, bytes, agent.series.len()))
            {
                return Err(InvalidRecord);
            }
            let moved = agent
                .retarget(|target| places.get(&target.index()).map(|place| TargetId::new(*place)));
            for membership in agent.memberships.iter().filter(|membership| membership.newest) {
                Arc::make_mut(&mut ledger.targets[membership.target.index()].newest)
                    .insert(Arc::clone(&name));
            }
            let record = if moved { Record::bytes(&agent).into() } else { record };
            ledger.agents.insert(name, Resting::restored(&agent, record, &ledger.book));
        }
        if let Some((horizon, forget_at)) = self.head {
            (ledger.horizon, ledger.forget_at) = (horizon, forget_at);
        }
        Ok(ledger)
    }
}

impl Ledger {
    fn known_label(&self, label: LabelId) -> Result<LabelId, InvalidRecord> {
        self.book.labels.knows(label).then_some(label).ok_or(InvalidRecord)
    }
}
