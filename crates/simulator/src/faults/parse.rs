//! Faults from text, for the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Faults, Quirk, RequestFault, RowFault};

/// All errors in a text that should specify faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultsError(Vec<String>);

impl fmt::Display for FaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for FaultsError {}

/// `NAME=PROBABILITY`, separated by commas. A preset (`none`, `some`, `many`) sets all of them; of
/// several values for one name the last counts. `retry-after`, `slow-by`, `late-by` and
/// `revised-for` take a duration: `some,throttle=0.2,retry-after=3s`.
impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        let mut errors = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            errors.extend(faults.set(part).err());
        }
        if errors.is_empty() { Ok(faults) } else { Err(FaultsError(errors)) }
    }
}

impl Faults {
    /// Applies one part of the text.
    fn set(&mut self, part: &str) -> Result<(), String> {
        let Some((name, value)) = part.split_once('=') else {
            *self = match part {
                "none" => Self::default(),
                "some" => Self::some(),
                "many" => Self::many(),
                _ if self.probability_mut(part).is_some() || self.duration_mut(part).is_some() => {
                    return Err(format!("`{part}` needs a value, as in `{part}=…`"));
                }
                _ => return Err(unknown(part)),
            };
            return Ok(());
        };
        let (name, value) = (name.trim(), value.trim());
        if let Some(probability) = self.probability_mut(name) {
            let number = value.parse().ok().filter(|number| (0.0..=1.0).contains(number));
            *probability = number.ok_or_else(|| {
                format!("`{name}={value}`: a probability is a number from 0 to 1")
            })?;
            return Ok(());
        }
        let duration = self.duration_mut(name).ok_or_else(|| unknown(name))?;
        let parsed = humantime::parse_duration(value).ok();
        *duration = parsed.filter(|span| *span <= Duration::from_hours(24)).ok_or_else(|| {
            format!("`{name}={value}`: a duration is like 500ms, 30s or 5m, and at most 24h")
        })?;
        Ok(())
    }

    fn probability_mut(&mut self, name: &str) -> Option<&mut f64> {
        if let Some(fault) = RequestFault::from_name(name) {
            return Some(&mut self.requests[fault as usize]);
        }
        if let Some(fault) = RowFault::from_name(name) {
            return Some(&mut self.rows[fault as usize]);
        }
        Quirk::from_name(name).map(|quirk| &mut self.quirks[quirk as usize])
    }

    fn duration_mut(&mut self, name: &str) -> Option<&mut Duration> {
        match name {
            "retry-after" => Some(&mut self.retry_after),
            "slow-by" => Some(&mut self.slow_by),
            "late-by" => Some(&mut self.late_by),
            "revised-for" => Some(&mut self.revised_for),
            _ => None,
        }
    }
}

fn unknown(name: &str) -> String {
    let known = [
        &RequestFault::ALL.map(RequestFault::name)[..],
        &RowFault::ALL.map(RowFault::name),
        &Quirk::ALL.map(Quirk::name),
    ];
    format!(
        "unknown fault `{name}`: expected one of {}; durations: retry-after, slow-by, late-by, \
         revised-for; presets: none, some, many",
        known.concat().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_durations_and_presets_are_read() {
        let faults: Faults = "throttle=0.05, cut=1,late=0.5,late-by=2m".parse().expect("valid");
        let expected = Faults::default()
            .with(RequestFault::Throttle, 0.05)
            .with(RequestFault::Cut, 1.0)
            .with_row(RowFault::Late, 0.5);
        assert_eq!(faults, Faults { late_by: Duration::from_mins(2), ..expected });
        assert_eq!("".parse(), Ok(Faults::default()));
        assert_eq!("none".parse(), Ok(Faults::default()));
        assert_eq!("many,drop=0".parse(), Ok(Faults::many().with(RequestFault::Drop, 0.0)));
    }

    #[test]
    fn every_fault_is_known_by_its_name() {
        for fault in RequestFault::ALL {
            let faults: Faults = format!("{}=0.25", fault.name()).parse().expect("valid");
            assert_eq!(faults, Faults::default().with(fault, 0.25));
        }
        for fault in RowFault::ALL {
            let faults: Faults = format!("{}=0.25", fault.name()).parse().expect("valid");
            assert_eq!(faults, Faults::default().with_row(fault, 0.25));
        }
        for quirk in Quirk::ALL {
            let faults: Faults = format!("{}=0.25", quirk.name()).parse().expect("valid");
            assert_eq!(faults, Faults::default().with_quirk(quirk, 0.25));
        }
    }

    #[test]
    fn every_error_is_reported_at_once_with_the_known_names() {
        let error = "trottle=0.1,cut=1.5,drop=NaN,late,slow-by=soon"
            .parse::<Faults>()
            .expect_err("five errors")
            .to_string();
        for part in [
            "unknown fault `trottle`",
            "throttle-date",
            "revised-end",
            "`cut=1.5`",
            "`drop=NaN`",
            "`late` needs",
            "`slow-by=soon`",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
