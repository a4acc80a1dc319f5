//! The ledger as records for a store, and back.
//!
//! All records of a [`Change`] are committed in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::agent::Agent;
use super::label::{LabelId, LabelTable};
use super::ledger::{Change, Ledger, TargetProgress};
use super::packed::PackedAgent;
use super::record::{InvalidRecord, Record, RecordKey};
use super::starts::{ChunksBuilder, is_valid_chunk};
use super::tally::Total;
use super::target::{TargetId, TargetKey, TargetKeys};
use super::{Catalog, CountingRules};
use crate::report::ReportFilter;
use crate::time::Timestamp;

/// The record of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    key: TargetKey,
    epoch: Option<Timestamp>,
    watermark: Option<Timestamp>,
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
}

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
