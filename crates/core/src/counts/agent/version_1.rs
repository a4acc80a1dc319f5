//! An agent's record as version 1 of the store has it: with all of its starts.

use serde::Deserialize;

use super::{Agent, Buckets, Membership, Series};
use crate::counts::SubmitOrder;
use crate::counts::label::{LabelId, Labels};
use crate::counts::saved::{InvalidRecord, Record};
use crate::counts::starts::{Places, Start, Starts};
use crate::counts::timeline::Timeline;
use crate::time::{Timestamp, Window};

#[derive(Deserialize)]
struct AgentOfVersion1 {
    display_name: Option<Box<str>>,
    epoch: Timestamp,
    observed: Option<Timestamp>,
    known_from: Timestamp,
    last_told: Timestamp,
    memberships: Vec<Membership>,
    told_in: Vec<(SubmitOrder, Window)>,
    settled_to: Timestamp,
    timeline: Timeline,
    series: Vec<Series>,
    starts: Vec<StartOfVersion1>,
    buckets: Option<Box<Buckets>>,
}

#[derive(Deserialize)]
struct StartOfVersion1 {
    /// Minutes since the start before; of the first, since 1970.
    minute: u32,
    label: LabelId,
    count: u32,
}

impl Agent {
    /// The agent that a record of version 1 tells. `labels` knows all that it refers to.
    pub(in crate::counts) fn from_version_1(
        record: &[u8],
        labels: &Labels,
    ) -> Result<Self, InvalidRecord> {
        let told: AgentOfVersion1 = Record::value(record)?;
        if told.series.iter().any(|series| !labels.knows(series.label)) {
            return Err(InvalidRecord);
        }
        let mut minute = 0_u32;
        let mut starts = Vec::with_capacity(told.starts.len());
        for start in &told.starts {
            minute = minute.checked_add(start.minute).ok_or(InvalidRecord)?;
            let place = told
                .series
                .iter()
                .position(|series| series.label == start.label)
                .ok_or(InvalidRecord)?;
            starts.push(Start {
                minute,
                place: u32::try_from(place).map_err(|_| InvalidRecord)?,
                count: start.count,
            });
        }
        starts.sort_unstable();
        let places = Places::new(told.series.iter().map(|series| series.label), labels);
        Ok(Self {
            display_name: told.display_name,
            epoch: told.epoch,
            observed: told.observed,
            known_from: told.known_from,
            last_told: told.last_told,
            memberships: told.memberships,
            told_in: told.told_in,
            settled_to: told.settled_to,
            timeline: told.timeline,
            starts: Starts::encode(&starts, &places),
            series: told.series,
            buckets: told.buckets,
        })
    }
}
