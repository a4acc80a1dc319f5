//! Settled state changes by minute, for the gauge over the trailing lookback.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::label::LabelId;
use crate::domain::time::Timestamp;

pub(super) const MINUTE: i64 = 60_000;

/// Settled state changes of one label within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Starts {
    /// Minutes since 1970; in a record, since those before it.
    pub(super) minute: u32,
    pub(super) label: LabelId,
    pub(super) count: u32,
}

/// Minutes since 1970.
pub(super) fn minute_of(time: Timestamp) -> u32 {
    u32::try_from(time.millis().div_euclid(MINUTE)).unwrap_or(0)
}

/// A day of them is most of an agent's record, and their minutes were most of that: what lies between them fits one byte each.
pub(super) fn serialize<S: Serializer>(starts: &[Starts], serializer: S) -> Result<S::Ok, S::Error> {
    let before = std::iter::once(0).chain(starts.iter().map(|starts| starts.minute));
    serializer.collect_seq(starts.iter().zip(before).map(|(starts, before)| Starts { minute: starts.minute - before, ..*starts }))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Starts>, D::Error> {
    let mut starts = Vec::<Starts>::deserialize(deserializer)?;
    let mut minute = 0_u32;
    for starts in &mut starts {
        minute = minute.checked_add(starts.minute).ok_or_else(|| D::Error::custom("minutes beyond the end of time"))?;
        starts.minute = minute;
    }
    Ok(starts)
}
