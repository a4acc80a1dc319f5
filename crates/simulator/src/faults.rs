//! What goes wrong on purpose, and how often.

mod parse;
mod quirk;

use std::time::Duration;

use super::endpoint::ApiEndpoint;
use super::random::{hash, share};
pub use parse::FaultsError;
pub use quirk::Quirk;

/// A fault of one request, or of the job that it submits. A request has one fault at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestFault {
    /// 429 with `Retry-After` in seconds.
    Throttle,
    /// 429 with `Retry-After` as an HTTP date.
    ThrottleDate,
    /// 429 without `Retry-After`.
    ThrottleBare,
    /// 500, 502, 503 or 504.
    ServerError,
    /// The request is carried out, but the answer's body ends early.
    Cut,
    /// The request is carried out, but its connection is closed without an answer.
    Drop,
    /// The request is carried out, but answered 200 with a body that is no JSON.
    NotJson,
    /// The request is carried out, but answered late.
    Slow,
    /// 401, and the token is worth nothing from now on. Only calls that need a token.
    Revoke,
    /// The job is accepted, but the answer has no `id`. Submit only.
    NoId,
    /// The job will fail. Submit only.
    Fail,
    /// The job will never end. Submit only.
    Endless,
    /// The answer has a `status` that nobody knows. Poll only.
    UnknownStatus,
    /// The job is forgotten: 404, now and later. Poll only.
    Lose,
    /// The finished job is `COMPLETED`, but its `data` is missing, null or no list. Poll only.
    NoData,
}

impl RequestFault {
    /// All of them; of several that chance gives to one request, the first happens.
    pub const ALL: [Self; 15] = [
        Self::Throttle,
        Self::ThrottleDate,
        Self::ThrottleBare,
        Self::ServerError,
        Self::Cut,
        Self::Drop,
        Self::NotJson,
        Self::Slow,
        Self::Revoke,
        Self::NoId,
        Self::Fail,
        Self::Endless,
        Self::UnknownStatus,
        Self::Lose,
        Self::NoData,
    ];

    /// The name that the command line knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::ThrottleDate => "throttle-date",
            Self::ThrottleBare => "throttle-bare",
            Self::ServerError => "error",
            Self::Cut => "cut",
            Self::Drop => "drop",
            Self::NotJson => "not-json",
            Self::Slow => "slow",
            Self::Revoke => "revoke",
            Self::NoId => "no-id",
            Self::Fail => "fail",
            Self::Endless => "endless",
            Self::UnknownStatus => "unknown-status",
            Self::Lose => "lose",
            Self::NoData => "no-data",
        }
    }

    /// Whether requests to `endpoint` can have it.
    #[must_use]
    pub const fn applies_to(self, endpoint: ApiEndpoint) -> bool {
        match self {
            Self::Throttle
            | Self::ThrottleDate
            | Self::ThrottleBare
            | Self::ServerError
            | Self::Cut
            | Self::Drop
            | Self::NotJson
            | Self::Slow => !matches!(endpoint, ApiEndpoint::Other),
            Self::Revoke => {
                matches!(endpoint, ApiEndpoint::Submit | ApiEndpoint::Poll)
                    || endpoint.is_platform_call()
            }
            Self::NoId | Self::Fail | Self::Endless => matches!(endpoint, ApiEndpoint::Submit),
            Self::UnknownStatus | Self::Lose | Self::NoData => {
                matches!(endpoint, ApiEndpoint::Poll)
            }
        }
    }
}

/// A fault of single rows: a function of the visit and of the moment that was asked, so that
/// reports agree with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowFault {
    /// The row is not told until some time after its start, less than [`Faults::late_by`].
    Late,
    /// The row is told twice.
    Repeated,
    /// At first the row has a wrong state. Counters that saw it may stay too high for good.
    RevisedState,
    /// At first the row ends too early.
    RevisedEnd,
    /// At first the row goes on though the visit has ended. Counters that saw it stay too high
    /// until the truth catches up.
    RevisedOpen,
    /// A row that makes no sense comes after this one.
    Malformed,
    /// The rows of a report come in no order. Chance is by report.
    Shuffled,
    /// No row of a report makes sense: the times are in a form that means several things. Chance is
    /// by report. Only the Reporting API.
    Unreadable,
}

impl RowFault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Late,
        Self::Repeated,
        Self::RevisedState,
        Self::RevisedEnd,
        Self::RevisedOpen,
        Self::Malformed,
        Self::Shuffled,
        Self::Unreadable,
    ];

    /// The name that the command line knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Repeated => "repeated",
            Self::RevisedState => "revised-state",
            Self::RevisedEnd => "revised-end",
            Self::RevisedOpen => "revised-open",
            Self::Malformed => "malformed",
            Self::Shuffled => "shuffled",
            Self::Unreadable => "unreadable",
        }
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
    /// What `Retry-After` says on a throttled answer.
    pub retry_after: Duration,
    /// How long a slow answer takes.
    pub slow_by: Duration,
    /// Every late row is told before this time after its start has passed.
    pub late_by: Duration,
    /// Every revised row is told right when this time after its start has passed.
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

impl Faults {
    /// What goes wrong on an ordinary bad day. The counts of a reader that repeats what failed
    /// still come true.
    #[must_use]
    pub fn some() -> Self {
        let passing = [
            RequestFault::Throttle,
            RequestFault::ThrottleDate,
            RequestFault::ThrottleBare,
            RequestFault::ServerError,
            RequestFault::Cut,
            RequestFault::Drop,
        ];
        let faults =
            passing.into_iter().fold(Self::default(), |faults, fault| faults.with(fault, 0.02));
        let rare = [
            RequestFault::NotJson,
            RequestFault::Slow,
            RequestFault::Revoke,
            RequestFault::Fail,
            RequestFault::Lose,
        ];
        let faults = rare.into_iter().fold(faults, |faults, fault| faults.with(fault, 0.01));
        let told = [Quirk::Seconds, Quirk::NoContent, Quirk::NotModified, Quirk::ShortPages];
        let faults = told.into_iter().fold(faults, |faults, quirk| faults.with_quirk(quirk, 0.25));
        let rows = [RowFault::Late, RowFault::Repeated, RowFault::RevisedEnd, RowFault::Malformed];
        rows.into_iter()
            .fold(faults, |faults, fault| faults.with_row(fault, 0.02))
            .with_row(RowFault::Shuffled, 0.25)
    }

    /// Everything goes wrong often, but for what leaves counters too high or agents out: it must be
    /// asked for.
    #[must_use]
    pub fn many() -> Self {
        let faults = RequestFault::ALL
            .into_iter()
            .fold(Self::default(), |faults, fault| faults.with(fault, 0.04));
        let asked_for =
            [Quirk::OpenOmitted, Quirk::OpenSoFar, Quirk::HiddenAgents, Quirk::NoAllHistory];
        let told = Quirk::ALL.into_iter().filter(|quirk| !asked_for.contains(quirk));
        let faults = told.fold(faults, |faults, quirk| faults.with_quirk(quirk, 0.3));
        let rows = [RowFault::Late, RowFault::Repeated, RowFault::RevisedEnd, RowFault::Malformed];
        rows.into_iter()
            .fold(faults, |faults, fault| faults.with_row(fault, 0.15))
            .with_row(RowFault::Shuffled, 0.5)
    }

    /// These, but `fault` with this probability, kept between 0 and 1.
    #[must_use]
    pub fn with(mut self, fault: RequestFault, probability: f64) -> Self {
        self.requests[fault as usize] = probability.clamp(0.0, 1.0);
        self
    }

    /// These, but `fault` with this probability, kept between 0 and 1.
    #[must_use]
    pub fn with_row(mut self, fault: RowFault, probability: f64) -> Self {
        self.rows[fault as usize] = probability.clamp(0.0, 1.0);
        self
    }

    /// These, but `quirk` with this probability, kept between 0 and 1.
    #[must_use]
    pub fn with_quirk(mut self, quirk: Quirk, probability: f64) -> Self {
        self.quirks[quirk as usize] = probability.clamp(0.0, 1.0);
        self
    }

    /// How probable `fault` is.
    #[must_use]
    pub fn probability(&self, fault: RequestFault) -> f64 {
        self.requests[fault as usize]
    }

    /// How probable `fault` is.
    #[must_use]
    pub fn row_probability(&self, fault: RowFault) -> f64 {
        self.rows[fault as usize]
    }

    /// How probable `quirk` is.
    #[must_use]
    pub fn quirk_probability(&self, quirk: Quirk) -> f64 {
        self.quirks[quirk as usize]
    }

    /// The fault that chance gives to request `number`.
    pub(super) fn of_request(
        &self,
        seed: u64,
        number: u64,
        endpoint: ApiEndpoint,
    ) -> Option<RequestFault> {
        let happens = |fault: &RequestFault| {
            let probability = self.probability(*fault);
            fault.applies_to(endpoint)
                && probability > 0.0
                && share(hash(seed, &[number, *fault as u64])) < probability
        };
        RequestFault::ALL.into_iter().find(happens)
    }

    /// Whether the row with this key has `fault`: then a number that its details follow from.
    pub(super) fn of_row(&self, key: u64, fault: RowFault) -> Option<u64> {
        let probability = self.row_probability(fault);
        let happens = probability > 0.0 && share(hash(key, &[fault as u64])) < probability;
        happens.then(|| hash(key, &[fault as u64, 1]))
    }

    /// Whether what has this key is told in this odd way: then a number that its details follow
    /// from.
    pub(super) fn odd(&self, key: u64, quirk: Quirk) -> Option<u64> {
        let probability = self.quirk_probability(quirk);
        let happens = probability > 0.0 && share(hash(key, &[quirk as u64, 2])) < probability;
        happens.then(|| hash(key, &[quirk as u64, 3]))
    }
}

/// The next requests that go wrong whatever chance says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// How they go wrong.
    pub fault: RequestFault,
    /// Requests to which endpoint; `None`: to any that the fault applies to.
    pub endpoint: Option<ApiEndpoint>,
    /// How many.
    pub times: u32,
}

/// Injections that are not used up, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Injections(Vec<Injection>);

impl Injections {
    pub(super) fn add(&mut self, injection: Injection) {
        self.0.push(injection);
    }

    /// The fault that the next request to `endpoint` must have, and one time less of it.
    pub(super) fn take(&mut self, endpoint: ApiEndpoint) -> Option<RequestFault> {
        self.0.retain(|injection| injection.times > 0);
        let fits = |injection: &&mut Injection| {
            injection.fault.applies_to(endpoint)
                && injection.endpoint.is_none_or(|wanted| wanted == endpoint)
        };
        let injection = self.0.iter_mut().find(fits)?;
        injection.times -= 1;
        Some(injection.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_follows_from_seed_and_request_number_and_is_as_probable_as_asked() {
        let faults =
            Faults::default().with(RequestFault::Throttle, 0.1).with(RequestFault::Lose, 1.0);
        let of = |number| faults.of_request(3, number, ApiEndpoint::Submit);
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
            endpoint: Some(ApiEndpoint::Poll),
            times: 2,
        });
        injections.add(Injection { fault: RequestFault::NoId, endpoint: None, times: 1 });
        assert_eq!(injections.take(ApiEndpoint::Token), None);
        assert_eq!(injections.take(ApiEndpoint::Poll), Some(RequestFault::Cut));
        assert_eq!(injections.take(ApiEndpoint::Submit), Some(RequestFault::NoId));
        assert_eq!(injections.take(ApiEndpoint::Submit), None);
        assert_eq!(injections.take(ApiEndpoint::Poll), Some(RequestFault::Cut));
        assert_eq!(injections.take(ApiEndpoint::Poll), None);
    }
}
