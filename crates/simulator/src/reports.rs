//! The Reporting API: tokens, and report jobs that are accepted within the quota, done after a
//! while and forgotten later.

mod rows;
mod wire;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HOST};
use http::{HeaderValue, Request, StatusCode};
use serde_json::{Value, json};

use cxone_core::time::{Timestamp, Window};

use crate::counters::SubmitRecord;
use crate::dates::parse_date;
use crate::faults::RequestFault;
use crate::jobs::{AgentFilter, ReportJob, ReportQuery, SimulatedOutcome};
use crate::oauth::{OauthError, TokenForm, media_type};
use crate::options::SimulatorOptions;
use crate::random::hash;
use crate::response::{ApiReply, seconds, throttled, unauthorized};
use crate::tenant::{SimulatedTenant, TenantState};
use rows::{ReportWriter, TooManyRows};
use wire::{DataFirstBody, JobBody, MissingDataBody, ReportRequestBody, WireFilter, WireSubmit};

/// The path of submits. That of a poll appends `/` and the job's id.
pub(crate) const REPORTS: &str = "/api/v2/reports";

/// The id of the job at `path`.
pub(crate) fn job_id(path: &str) -> Option<&str> {
    path.strip_prefix(REPORTS)?.strip_prefix('/').filter(|id| !id.is_empty() && !id.contains('/'))
}

impl SimulatedTenant {
    pub(crate) fn report_token(&self, now: Timestamp, request: &Request<Bytes>) -> ApiReply {
        self.issue_report_token(now, request)
            .unwrap_or_else(|error| ApiReply::json(error.status, &error))
    }

    fn issue_report_token(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
    ) -> Result<ApiReply, OauthError> {
        let form = TokenForm::read(request)?;
        if form.grant_type != "client_credentials" {
            let message = "grant_type must be client_credentials.";
            return Err(OauthError::unsupported_grant_type(message));
        }
        self.options().check_client(&form.client_id, &form.client_secret)?;
        self.options().check_enabled()?;
        let options = self.options();
        let (first, second) = self.token_numbers(now, 8);
        let token = format!("simulated-{first:016x}{second:016x}");
        self.state().report_tokens.add(now, token.clone(), now.plus(options.token_life));
        let body = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": options.token_life.as_secs(),
            "scope": if options.scope_granted { "reports:read" } else { "" },
        });
        Ok(ApiReply::json(StatusCode::OK, &body)
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store")))
    }

    /// Whether `request` may submit and poll.
    fn authorize(&self, now: Timestamp, request: &Request<Bytes>) -> Result<(), ApiReply> {
        if !self.state().report_tokens.admits(now, request) {
            return Err(unauthorized());
        }
        if !self.options().scope_granted {
            let message =
                "The scope reports:read is missing, or the Reporting module is not licensed.";
            return Err(ApiReply::error(StatusCode::FORBIDDEN, "forbidden", message));
        }
        Ok(())
    }

    pub(crate) fn submit(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        fault: Option<RequestFault>,
    ) -> ApiReply {
        let query = self.authorize(now, request).and_then(|()| self.query(now, request));
        let mut state = self.state();
        let accepted = query.and_then(|query| state.accept(self.options(), now, query, fault));
        state.counters.submitted(SubmitRecord { at: now, accepted: accepted.is_ok() });
        drop(state);
        let id = match accepted {
            Ok(id) => id,
            Err(reply) => return reply,
        };
        let host = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let configured = self.options().status_url_origin.clone();
        let origin = configured.or_else(|| host().map(|host| format!("http://{host}")));
        let body = WireSubmit {
            id: (fault != Some(RequestFault::NoId)).then_some(&id),
            status: "PENDING",
            status_url: &format!("{}{REPORTS}/{id}", origin.unwrap_or_default()),
        };
        ApiReply::json(StatusCode::ACCEPTED, &body)
    }

    pub(crate) fn poll(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        id: &str,
        fault: Option<RequestFault>,
    ) -> ApiReply {
        if let Err(reply) = self.authorize(now, request) {
            return reply;
        }
        let options = self.options();
        let mut state = self.state();
        if fault == Some(RequestFault::Lose) {
            state.jobs.remove(id);
        }
        let is_known = |job: &&ReportJob| now < job.query.submitted_at.plus(options.job_life);
        let job = state.jobs.find(id).filter(is_known).cloned();
        let faults = state.faults.clone();
        drop(state);
        let Some(ReportJob { query, outcome, .. }) = job else {
            let message = "There is no such report job.";
            return ApiReply::error(StatusCode::NOT_FOUND, "not_found", message);
        };
        let age = now.since(query.submitted_at);
        let body = JobBody { id, status: "COMPLETED", error_message: None, data: None };
        let unfinished = if fault == Some(RequestFault::UnknownStatus) {
            Some("ARCHIVED")
        } else if age < options.job_time / 4 {
            Some("PENDING")
        } else if age < options.job_time || outcome == SimulatedOutcome::NeverEnds {
            Some("RUNNING")
        } else {
            None
        };
        if let Some(status) = unfinished {
            return ApiReply::json(StatusCode::OK, &JobBody { status, ..body });
        }
        let failed = |message| {
            let error_message = Some(message);
            ApiReply::json(StatusCode::OK, &JobBody { status: "FAILED", error_message, ..body })
        };
        if outcome == SimulatedOutcome::Fails {
            return failed("The report could not be generated.");
        }
        if fault == Some(RequestFault::NoData) {
            let data = match hash(options.seed, &[query.job, 6]) % 3 {
                0 => None,
                1 => Some(Value::Null),
                _ => Some(json!({})),
            };
            let body = MissingDataBody { id, status: "COMPLETED", data };
            return ApiReply::json(StatusCode::OK, &body);
        }
        let writer = ReportWriter {
            floor: self.floor(),
            rows: options.rows,
            open_end: options.open_end,
            faults: &faults,
            max_rows: options.max_rows,
        };
        match writer.write(&query) {
            Err(TooManyRows) => failed("The report has too many rows; submit a shorter window."),
            // Clients must accept either order.
            Ok(data) if hash(options.seed, &[query.job, 5]).is_multiple_of(2) => {
                let body = DataFirstBody { data: &data, id, status: "COMPLETED" };
                ApiReply::json(StatusCode::OK, &body)
            }
            Ok(data) => ApiReply::json(StatusCode::OK, &JobBody { data: Some(&data), ..body }),
        }
    }

    /// The query of a submit, if it is as strict as the API demands.
    fn query(&self, now: Timestamp, request: &Request<Bytes>) -> Result<ReportQuery, ApiReply> {
        if media_type(request).as_deref() != Some("application/json") {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let message = "The body must be application/json.";
            return Err(ApiReply::error(status, "unsupported_media_type", message));
        }
        let report: ReportRequestBody =
            serde_json::from_slice(request.body()).map_err(|error| {
                if error.is_data() {
                    return unprocessable(&error.to_string());
                }
                let message = format!("The body is not valid JSON: {error}");
                ApiReply::error(StatusCode::BAD_REQUEST, "bad_request", &message)
            })?;
        if report.report_type != "agent-state-history" {
            return Err(unprocessable("reportType must be agent-state-history"));
        }
        if !is_same_set(&report.group_by, &["userId", "stateName", "skillName"]) {
            return Err(unprocessable("groupBy must be userId, stateName and skillName"));
        }
        if !is_same_set(&report.metrics, &["count"]) {
            return Err(unprocessable("metrics must be count"));
        }
        let window = self.window(now, &report)?;
        Ok(ReportQuery { submitted_at: now, window, filter: filter(report.filter)?, job: 0 })
    }

    fn window(&self, now: Timestamp, report: &ReportRequestBody) -> Result<Window, ApiReply> {
        let date = |name: &str, text: &str| {
            parse_date(text).ok_or_else(|| {
                unprocessable(&format!("{name} must be of the form YYYY-MM-DDTHH:MM:SS.mmmZ"))
            })
        };
        let window = Window {
            from: date("dateFrom", &report.date_from)?,
            to: date("dateTo", &report.date_to)?,
        };
        let options = self.options();
        if window.from >= window.to {
            return Err(unprocessable("dateFrom must be before dateTo"));
        }
        if window.length() > options.max_window {
            let max = humantime::format_duration(options.max_window);
            let message = format!("dateFrom and dateTo must not be further apart than {max}");
            return Err(unprocessable(&message));
        }
        if options.retention.is_some_and(|retention| window.from < now.minus(retention)) {
            return Err(unprocessable("dateFrom is before the oldest history that is kept"));
        }
        Ok(window)
    }
}

impl TenantState {
    /// Creates a job of `query` if the quota allows it; returns its id.
    fn accept(
        &mut self,
        options: &SimulatorOptions,
        now: Timestamp,
        query: ReportQuery,
        fault: Option<RequestFault>,
    ) -> Result<String, ApiReply> {
        let jobs_per_minute = usize::try_from(options.report_jobs_per_minute).unwrap_or(usize::MAX);
        if let Some(wait) = self.counters.wait_for_quota(now, jobs_per_minute) {
            self.counters.over_quota += 1;
            return Err(throttled(Some(seconds(wait))));
        }
        let number = self.counters.accepted + 1;
        // The time makes the ids of this run differ from those of an earlier one.
        let id = format!("job-{:x}-{number}", now.millis());
        let outcome = match fault {
            Some(RequestFault::Fail) => SimulatedOutcome::Fails,
            Some(RequestFault::Endless) => SimulatedOutcome::NeverEnds,
            _ => SimulatedOutcome::Completes,
        };
        let query = ReportQuery { job: number, ..query };
        self.jobs.add(ReportJob { id: id.clone(), query, outcome }, options.job_life);
        Ok(id)
    }
}

fn filter(filter: WireFilter) -> Result<AgentFilter, ApiReply> {
    let id = filter.id.filter(|id| !id.is_empty());
    match (filter.kind.as_str(), id) {
        ("user", Some(id)) => Ok(AgentFilter::User(id)),
        ("team", Some(id)) => Ok(AgentFilter::Team(id)),
        ("all", _) => Ok(AgentFilter::All),
        ("user" | "team", None) => Err(unprocessable("filter.id is missing")),
        _ => Err(unprocessable("filter.type must be user, team or all")),
    }
}

/// Whether `given` contains each of `wanted` once, and nothing else.
fn is_same_set(given: &[String], wanted: &[&str]) -> bool {
    given.len() == wanted.len() && wanted.iter().all(|name| given.iter().any(|given| given == name))
}

fn unprocessable(message: &str) -> ApiReply {
    ApiReply::error(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable_entity", message)
}
