//! What goes wrong on purpose, and how often.

mod parse;

use std::time::Duration;

use crate::endpoint::SimulatedEndpoint;
use crate::named::named_enum;
use crate::random::{hash, share};
pub use parse::FaultsError;

named_enum! {
    /// A fault of one request, or of the job that it submits. A request has one fault at most: of
    /// several that chance gives it, the first.
    pub enum RequestFault {
        /// 429 with `Retry-After` in seconds.
        Throttle => "throttle",
        /// 429 with `Retry-After` as an HTTP date.
        ThrottleDate => "throttle-date",
        /// 429 without `Retry-After`.
        ThrottleBare => "throttle-bare",
        /// 500, 502, 503 or 504.
        ServerError => "error",
        /// The request is carried out, but the body of its answer ends early.
        Cut => "cut",
        /// The request is carried out, but its connection closes without an answer.
        Drop => "drop",
        /// The request is carried out, but answered 200 with a body that is not JSON.
        NotJson => "not-json",
        /// The request is carried out, but answered late.
        Slow => "slow",
        /// 401, and the token is revoked. Only calls that need a token.
        Revoke => "revoke",
        /// The job is accepted, but the answer has no `id`. Submit only.
        NoId => "no-id",
        /// The job will fail. Submit only.
        Fail => "fail",
        /// The job will never end. Submit only.
        Endless => "endless",
        /// The answer has an undocumented `status`. Poll only.
        UnknownStatus => "unknown-status",
        /// The job is forgotten: 404, now and later. Poll only.
        Lose => "lose",
        /// The job is `COMPLETED`, but its `data` is missing, null or not a list. Poll only.
        NoData => "no-data",
    }
}

impl RequestFault {
    /// Whether requests to `endpoint` can have it.
    #[must_use]
    pub const fn applies_to(self, endpoint: SimulatedEndpoint) -> bool {
        match self {
            Self::Throttle
            | Self::ThrottleDate
            | Self::ThrottleBare
            | Self::ServerError
            | Self::Cut
            | Self::Drop
            | Self::NotJson
            | Self::Slow => !matches!(endpoint, SimulatedEndpoint::Other),
            Self::Revoke => {
                matches!(endpoint, SimulatedEndpoint::Submit | SimulatedEndpoint::Poll)
                    || endpoint.is_platform_call()
            }
            Self::NoId | Self::Fail | Self::Endless => {
                matches!(endpoint, SimulatedEndpoint::Submit)
            }
            Self::UnknownStatus | Self::Lose | Self::NoData => {
                matches!(endpoint, SimulatedEndpoint::Poll)
            }
        }
    }
}

named_enum! {
    /// A fault of single rows. It follows from the visit and the time of the request, so reports
    /// do not contradict each other.
    pub enum RowFault {
        /// The row is first reported some time after its start, less than [`Faults::late_by`].
        Late => "late",
        /// The row is reported twice.
        Repeated => "repeated",
        /// At first the row has a wrong state. Counters that saw it may remain too high.
        RevisedState => "revised-state",
        /// At first the row ends too early.
        RevisedEnd => "revised-end",
        /// At first the row has no end though the visit has ended. Counters that saw it are too
        /// high until the true count reaches them.
        RevisedOpen => "revised-open",
        /// An invalid row precedes this one.
        Malformed => "malformed",
        /// The rows of a report are not sorted. Chance is by report.
        Shuffled => "shuffled",
        /// No row of a report is valid: its times are in an ambiguous form. Chance is by report.
        /// Only the Reporting API.
        Unreadable => "unreadable",
    }
}

named_enum! {
    /// A valid answer in an unusual form. [`Quirk::KeyCase`], [`Quirk::Strings`] and
    /// [`Quirk::TimeFormat`] are of both APIs, the others of the platform API.
    pub enum Quirk {
        /// Keys in lower case, upper case or Pascal case. Chance is by answer.
        KeyCase => "odd-keys",
        /// Numbers and booleans as strings. Chance is by answer.
        Strings => "strings",
        /// An optional field of a row is `null`. Chance is by field.
        Nulls => "nulls",
        /// An optional field of a row is missing. Chance is by field.
        Missing => "missing",
        /// Times with no fraction of a second, a shorter one, or one of seven digits. In reports
        /// also with an offset, without a zone or with a space, and year 1 for no end. Chance is by
        /// row.
        TimeFormat => "odd-times",
        /// A duration as a number of seconds instead of in ISO 8601. Chance is by row.
        Seconds => "seconds",
        /// 204 instead of 200 with an empty list. Chance is by answer.
        NoContent => "no-content",
        /// 304 when nothing changed since `updatedSince`. Chance is by answer.
        NotModified => "not-modified",
        /// A page has fewer rows than requested, though more follow. Chance is by answer.
        ShortPages => "short-pages",
        /// The history omits a visit until it ends. Chance is by visit.
        OpenOmitted => "open-untold",
        /// The history reports a visit that has not ended with its length so far. Chance is by
        /// visit.
        OpenSoFar => "open-so-far",
        /// The agent is hidden from this role in every call. Chance is by agent.
        HiddenAgents => "hidden-agents",
        /// The call for the history of all agents is answered 404 or 405. Chance is by request.
        NoAllHistory => "no-all-history",
    }
}

/// How often each fault happens, as a probability from 0 to 1, and how bad it is. From text: see
/// [`Faults::from_str`].
///
/// [`Faults::from_str`]: std::str::FromStr::from_str
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    requests: [f64; RequestFault::ALL.len()],
    rows: [f64; RowFault::ALL.len()],
    quirks: [f64; Quirk::ALL.len()],
    /// `Retry-After` of throttled answers.
    pub retry_after: Duration,
    /// How long a slow answer takes.
    pub slow_by: Duration,
    /// Every late row is reported within this time of its start.
    pub late_by: Duration,
    /// Every revised row is correct within this time of its start.
    pub revised_for: Duration,
}

impl Default for Faults {
    /// Nothing goes wrong.
    fn default() -> Self {
        Self {
            requests: [0.0; RequestFault::ALL.len()],
            rows: [0.0; RowFault::ALL.len()],
            quirks: [0.0; Quirk::ALL.len()],
            retry_after: Duration::from_secs(5),
            slow_by: Duration::from_secs(5),
            late_by: Duration::from_mins(5),
            revised_for: Duration::from_secs(30),
        }
    }
}

/// The row faults of both presets, beside [`RowFault::Shuffled`]: none leaves a counter too high.
const CORRECTED: [RowFault; 4] =
    [RowFault::Late, RowFault::Repeated, RowFault::RevisedEnd, RowFault::Malformed];

impl Faults {
    /// An ordinary bad day. The counts of a client that retries become exact.
    #[must_use]
    pub fn some() -> Self {
        use RequestFault as R;
        let mut faults = Self::default();
        for fault in
            [R::Throttle, R::ThrottleDate, R::ThrottleBare, R::ServerError, R::Cut, R::Drop]
        {
            faults = faults.with(fault, 0.02);
        }
        for fault in [R::NotJson, R::Slow, R::Revoke, R::Fail, R::Lose] {
            faults = faults.with(fault, 0.01);
        }
        for quirk in [Quirk::Seconds, Quirk::NoContent, Quirk::NotModified, Quirk::ShortPages] {
            faults = faults.with_quirk(quirk, 0.25);
        }
        for fault in CORRECTED {
            faults = faults.with_row(fault, 0.02);
        }
        faults.with_row(RowFault::Shuffled, 0.25)
    }

    /// Everything goes wrong often, except what leaves counters too high or agents out.
    #[must_use]
    pub fn many() -> Self {
        let mut faults = Self::default();
        for fault in RequestFault::ALL {
            faults = faults.with(fault, 0.04);
        }
        let excluded =
            [Quirk::OpenOmitted, Quirk::OpenSoFar, Quirk::HiddenAgents, Quirk::NoAllHistory];
        for quirk in Quirk::ALL.into_iter().filter(|quirk| !excluded.contains(quirk)) {
            faults = faults.with_quirk(quirk, 0.3);
        }
        for fault in CORRECTED {
            faults = faults.with_row(fault, 0.15);
        }
        faults.with_row(RowFault::Shuffled, 0.5)
    }

    /// With this probability of `fault`, clamped to 0 to 1.
    #[must_use]
    pub fn with(mut self, fault: RequestFault, probability: f64) -> Self {
        self.requests[fault as usize] = probability.clamp(0.0, 1.0);
        self
    }

    /// With this probability of `fault`, clamped to 0 to 1.
    #[must_use]
    pub fn with_row(mut self, fault: RowFault, probability: f64) -> Self {
        self.rows[fault as usize] = probability.clamp(0.0, 1.0);
        self
    }

    /// With this probability of `quirk`, clamped to 0 to 1.
    #[must_use]
    pub fn with_quirk(mut self, quirk: Quirk, probability: f64) -> Self {
        self.quirks[quirk as usize] = probability.clamp(0.0, 1.0);
        self
    }

    /// The probability of `fault`.
    #[must_use]
    pub fn probability(&self, fault: RequestFault) -> f64 {
        self.requests[fault as usize]
    }

    /// The probability of `fault`.
    #[must_use]
    pub fn row_probability(&self, fault: RowFault) -> f64 {
        self.rows[fault as usize]
    }

    /// The probability of `quirk`.
    #[must_use]
    pub fn quirk_probability(&self, quirk: Quirk) -> f64 {
        self.quirks[quirk as usize]
    }

    /// The fault that chance gives to request `number`.
    pub(crate) fn request_fault(
        &self,
        seed: u64,
        number: u64,
        endpoint: SimulatedEndpoint,
    ) -> Option<RequestFault> {
        RequestFault::ALL.into_iter().find(|&fault| {
            fault.applies_to(endpoint)
                && share(hash(seed, &[number, fault as u64])) < self.probability(fault)
        })
    }

    /// Whether the row with this key has `fault`: then a number that its details follow from.
    pub(crate) fn row_fault(&self, key: u64, fault: RowFault) -> Option<u64> {
        let happens = share(hash(key, &[fault as u64])) < self.row_probability(fault);
        happens.then(|| hash(key, &[fault as u64, 1]))
    }

    /// Whether what has this key has `quirk`: then a number that its details follow from.
    pub(crate) fn quirk(&self, key: u64, quirk: Quirk) -> Option<u64> {
        let happens = share(hash(key, &[quirk as u64, 2])) < self.quirk_probability(quirk);
        happens.then(|| hash(key, &[quirk as u64, 3]))
    }
}

/// The next requests that fail whatever chance says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// How they fail.
    pub fault: RequestFault,
    /// Requests to which endpoint; `None`: to any that the fault applies to.
    pub endpoint: Option<SimulatedEndpoint>,
    /// How many.
    pub times: u32,
}

/// Injections that are not used up, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Injections(Vec<Injection>);

impl Injections {
    pub(crate) fn add(&mut self, injection: Injection) {
        self.0.push(injection);
    }

    /// The fault of the next request to `endpoint`, which uses up one of its times.
    pub(crate) fn take(&mut self, endpoint: SimulatedEndpoint) -> Option<RequestFault> {
        self.0.retain(|injection| injection.times > 0);
        let injection = self.0.iter_mut().find(|injection| {
            injection.fault.applies_to(endpoint)
                && injection.endpoint.is_none_or(|wanted| wanted == endpoint)
        })?;
        injection.times -= 1;
        Some(injection.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_follows_from_seed_and_request_number_with_the_given_probability() {
        let faults =
            Faults::default().with(RequestFault::Throttle, 0.1).with(RequestFault::Lose, 1.0);
        let of = |number| faults.request_fault(3, number, SimulatedEndpoint::Submit);
        let hits: Vec<u64> =
            (0..10_000).filter(|&number| of(number) == Some(RequestFault::Throttle)).collect();
        assert!((850..1150).contains(&hits.len()), "{}", hits.len());
        assert!(hits.iter().all(|&number| of(number) == Some(RequestFault::Throttle)));
        assert!(
            (0..10_000).all(|number| of(number) != Some(RequestFault::Lose)),
            "a submit has no job to lose"
        );
    }

    #[test]
    fn an_injection_hits_the_next_requests_of_its_endpoint_and_no_more() {
        let mut injections = Injections::default();
        injections.add(Injection {
            fault: RequestFault::Cut,
            endpoint: Some(SimulatedEndpoint::Poll),
            times: 2,
        });
        injections.add(Injection { fault: RequestFault::NoId, endpoint: None, times: 1 });
        assert_eq!(injections.take(SimulatedEndpoint::Token), None);
        assert_eq!(injections.take(SimulatedEndpoint::Poll), Some(RequestFault::Cut));
        assert_eq!(injections.take(SimulatedEndpoint::Submit), Some(RequestFault::NoId));
        assert_eq!(injections.take(SimulatedEndpoint::Submit), None);
        assert_eq!(injections.take(SimulatedEndpoint::Poll), Some(RequestFault::Cut));
        assert_eq!(injections.take(SimulatedEndpoint::Poll), None);
    }
}
