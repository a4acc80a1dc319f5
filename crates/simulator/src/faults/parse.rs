//! Faults from text, for the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Faults, Quirk, RequestFault, RowFault};

/// What is wrong with a text that should say faults: every mistake in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultsError(Vec<String>);

impl fmt::Display for FaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for FaultsError {}

/// `NAME=PROBABILITY`, separated by commas. A preset (`none`, `some`, `many`) sets all and may
/// stand among them; what comes later wins. `retry-after`, `slow-by`, `late-by` and `revised-for`
/// take a span of time: `some,throttle=0.2,retry-after=3s`.
impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        let mut mistakes = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match faults.clone().and_also(part) {
                Ok(more) => faults = more,
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(faults) } else { Err(FaultsError(mistakes)) }
    }
}

impl Faults {
    /// These, changed by one part of the text.
    fn and_also(mut self, part: &str) -> Result<Self, String> {
        let Some((name, value)) =
            part.split_once('=').map(|(name, value)| (name.trim(), value.trim()))
        else {
            return match part {
                "none" => Ok(Self::default()),
                "some" => Ok(Self::some()),
                "many" => Ok(Self::many()),
                _ if is_known(part) => Err(format!("`{part}` needs a value, as in `{part}=…`")),
                _ => Err(unknown(part)),
            };
        };
        if let Some(fault) = RequestFault::ALL.into_iter().find(|fault| fault.name() == name) {
            return Ok(self.with(fault, probability(name, value)?));
        }
        if let Some(fault) = RowFault::ALL.into_iter().find(|fault| fault.name() == name) {
            return Ok(self.with_row(fault, probability(name, value)?));
        }
        if let Some(quirk) = Quirk::ALL.into_iter().find(|quirk| quirk.name() == name) {
            return Ok(self.with_quirk(quirk, probability(name, value)?));
        }
        let named = self.span_named(name).ok_or_else(|| unknown(name))?;
        *named = span(name, value)?;
        Ok(self)
    }

    fn span_named(&mut self, name: &str) -> Option<&mut Duration> {
        match name {
            "retry-after" => Some(&mut self.retry_after),
            "slow-by" => Some(&mut self.slow_by),
            "late-by" => Some(&mut self.late_by),
            "revised-for" => Some(&mut self.revised_for),
            _ => None,
        }
    }
}

fn probability(name: &str, value: &str) -> Result<f64, String> {
    let number = value.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| format!("`{name}={value}`: a probability is a number from 0 to 1"))
}

fn span(name: &str, value: &str) -> Result<Duration, String> {
    let span =
        humantime::parse_duration(value).ok().filter(|span| *span <= Duration::from_hours(24));
    span.ok_or_else(|| {
        format!(
            "`{name}={value}`: a span of time is written like 500ms, 30s or 5m, and is at most 24h"
        )
    })
}

fn is_known(name: &str) -> bool {
    let mut faults = Faults::default();
    names().any(|known| known == name) || faults.span_named(name).is_some()
}

fn names() -> impl Iterator<Item = &'static str> {
    let faults = RequestFault::ALL
        .into_iter()
        .map(RequestFault::name)
        .chain(RowFault::ALL.into_iter().map(RowFault::name));
    faults.chain(Quirk::ALL.into_iter().map(Quirk::name))
}

fn unknown(name: &str) -> String {
    let known = names().collect::<Vec<_>>().join(", ");
    format!(
        "unknown fault `{name}`: known are {known}; spans of time: retry-after, slow-by, late-by, revised-for; presets: none, some, many"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_probabilities_spans_and_presets_are_read() {
        let faults: Faults = "throttle=0.05, cut=1,late=0.5,late-by=2m".parse().expect("right");
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
            let faults: Faults = format!("{}=0.25", fault.name()).parse().expect("right");
            assert_eq!(faults, Faults::default().with(fault, 0.25));
        }
        for fault in RowFault::ALL {
            let faults: Faults = format!("{}=0.25", fault.name()).parse().expect("right");
            assert_eq!(faults, Faults::default().with_row(fault, 0.25));
        }
        for quirk in Quirk::ALL {
            let faults: Faults = format!("{}=0.25", quirk.name()).parse().expect("right");
            assert_eq!(faults, Faults::default().with_quirk(quirk, 0.25));
        }
    }

    #[test]
    fn every_mistake_is_told_at_once_with_what_is_known() {
        let error = "trottle=0.1,cut=1.5,drop=NaN,late,slow-by=soon"
            .parse::<Faults>()
            .expect_err("five mistakes")
            .to_string();
        for piece in [
            "unknown fault `trottle`",
            "throttle-date",
            "revised-end",
            "`cut=1.5`",
            "`drop=NaN`",
            "`late` needs",
            "`slow-by=soon`",
        ] {
            assert!(error.contains(piece), "{piece} in {error}");
        }
    }
}
