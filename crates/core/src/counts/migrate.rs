//! Records of older versions as those of this one.

use super::agent::Agent;
use super::label::{Label, LabelId, Labels};
use super::saved::{InvalidRecord, Record, RecordKey};
use crate::names::Names;
use crate::time::Timestamp;

/// What is to be written so that `records` of version 1, all of them in the order of their keys,
/// are those of version 2: agents have their state changes in records of their own.
///
/// # Errors
/// When a record makes no sense.
pub fn from_version_1(records: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<Record>, InvalidRecord> {
    let (mut names, mut labels) = (Names::default(), Labels::default());
    // What they are of makes no difference here.
    let (is_limited, used) = (false, Timestamp::MIN);
    for (key, value) in records {
        if let RecordKey::Label(number) = RecordKey::from_bytes(key)? {
            let (state, skill): (&str, Option<&str>) = Record::value(value)?;
            let label =
                Label { state: names.intern(state), skill: skill.map(|skill| names.intern(skill)) };
            if !labels.restore(LabelId::from_number(number), label, is_limited, used) {
                return Err(InvalidRecord);
            }
        }
    }
    let mut migrated = Vec::new();
    for (key, value) in records {
        if let RecordKey::Agent(name) = RecordKey::from_bytes(key)? {
            let agent = Agent::from_version_1(value, &labels)?;
            let starts = agent.starts.chunks().map(|(chunk, bytes)| Record {
                key: RecordKey::Starts(chunk, name.clone()).to_bytes(),
                value: Some(bytes.to_vec()),
            });
            migrated.extend(starts);
            migrated.push(Record { key: key.clone(), value: Some(Record::bytes(&agent)) });
        }
    }
    migrated.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(migrated)
}
