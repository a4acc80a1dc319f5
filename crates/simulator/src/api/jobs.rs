//! Report jobs: accepted within the quota, done after a while, forgotten later.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use cxone_core::time::{Timestamp, Window};

use super::super::counters::SubmitRecord;
use super::super::dates;
use super::super::faults::RequestFault;
use super::super::random::hash;
use super::super::rows::{Filter, Question, Teller, TooManyRows};
use super::super::wire::{
    DataFirst, FilterRequest, JobAnswer, ReportRequest, SubmitAnswer, WithoutRows,
};
use super::answer::{Reply, seconds, throttled};
use super::oauth::media_type;
use super::{Desk, REPORTS, Simulator};

/// The jobs that are known, the oldest first.
#[derive(Default)]
pub(super) struct Jobs(VecDeque<Job>);

#[derive(Clone)]
struct Job {
    id: String,
    question: Question,
    fate: Fate,
}

/// How a job ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Completes,
    Fails,
    NeverEnds,
}

impl Jobs {
    fn find(&self, id: &str) -> Option<&Job> {
        self.0.iter().rev().find(|job| job.id == id)
    }

    fn lose(&mut self, id: &str) {
        self.0.retain(|job| job.id != id);
    }
}

impl Simulator {
    pub(super) fn submit(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        fault: Option<RequestFault>,
    ) -> Reply {
        let read = self.authorize(now, request).and_then(|()| self.question(now, request));
        let mut desk = self.desk();
        let accepted = read.and_then(|question| desk.accept(self, now, question, fault));
        desk.counters.submitted(SubmitRecord { at: now, accepted: accepted.is_ok() });
        drop(desk);
        let id = match accepted {
            Ok(id) => id,
            Err(reply) => return reply,
        };
        let host = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let origin = self
            .options
            .status_url_origin
            .clone()
            .or_else(|| host().map(|host| format!("http://{host}")));
        let status_url = format!("{}{REPORTS}/{id}", origin.unwrap_or_default());
        let told_id = (fault != Some(RequestFault::NoId)).then_some(id.as_str());
        Reply::json(
            StatusCode::ACCEPTED,
            &SubmitAnswer { id: told_id, status: "PENDING", status_url: &status_url },
        )
    }

    pub(super) fn poll(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        id: &str,
        fault: Option<RequestFault>,
    ) -> Reply {
        if let Err(reply) = self.authorize(now, request) {
            return reply;
        }
        let mut desk = self.desk();
        if fault == Some(RequestFault::Lose) {
            desk.jobs.lose(id);
        }
        let job = desk
            .jobs
            .find(id)
            .filter(|job| now < job.question.asked.plus(self.options.job_life))
            .cloned();
        let faults = desk.faults.clone();
        drop(desk);
        let Some(job) = job else {
            return Reply::refusal(
                StatusCode::NOT_FOUND,
                "not_found",
                "There is no such report job.",
            );
        };
        if fault == Some(RequestFault::UnknownStatus) {
            return in_status(id, "ARCHIVED");
        }
        let age = now.since(job.question.asked);
        if age < self.options.job_time / 4 {
            return in_status(id, "PENDING");
        }
        if age < self.options.job_time || job.fate == Fate::NeverEnds {
            return in_status(id, "RUNNING");
        }
        if job.fate == Fate::Fails {
            return failed(id, "The report could not be generated.");
        }
        if fault == Some(RequestFault::NoData) {
            let data = match hash(self.options.seed, &[job.question.job, 6]) % 3 {
                0 => None,
                1 => Some(Value::Null),
                _ => Some(json!({})),
            };
            return Reply::json(StatusCode::OK, &WithoutRows { id, status: "COMPLETED", data });
        }
        let teller = Teller {
            floor: &self.floor,
            rows: self.options.rows,
            open_end: self.options.open_end,
            faults: &faults,
            max_rows: self.options.max_rows,
        };
        match teller.tell(&job.question) {
            Err(TooManyRows) => {
                failed(id, "The report has too many rows; ask for a shorter window.")
            }
            // Readers must cope with either order.
            Ok(rows) if hash(self.options.seed, &[job.question.job, 5]).is_multiple_of(2) => {
                Reply::json(StatusCode::OK, &DataFirst { data: &rows, id, status: "COMPLETED" })
            }
            Ok(rows) => Reply::json(
                StatusCode::OK,
                &JobAnswer { id, status: "COMPLETED", error_message: None, data: Some(&rows) },
            ),
        }
    }

    /// What a submit asks for, if it is as strict as the API wants it.
    fn question(&self, now: Timestamp, request: &Request<Bytes>) -> Result<Question, Reply> {
        if media_type(request).as_deref() != Some("application/json") {
            let message = "The body must be application/json.";
            return Err(Reply::refusal(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                message,
            ));
        }
        let report: ReportRequest = serde_json::from_slice(request.body()).map_err(|error| {
            if error.is_data() {
                unprocessable(&error.to_string())
            } else {
                Reply::refusal(
                    StatusCode::BAD_REQUEST,
                    "bad_request",
                    &format!("The body is no JSON: {error}"),
                )
            }
        })?;
        if report.report_type != "agent-state-history" {
            return Err(unprocessable("reportType must be agent-state-history"));
        }
        if !same_set(&report.group_by, &["userId", "stateName", "skillName"]) {
            return Err(unprocessable("groupBy must be userId, stateName and skillName"));
        }
        if !same_set(&report.metrics, &["count"]) {
            return Err(unprocessable("metrics must be count"));
        }
        let window = self.window(now, &report)?;
        let filter = filter(report.filter)?;
        Ok(Question { asked: now, window, filter, job: 0 })
    }

    fn window(&self, now: Timestamp, report: &ReportRequest) -> Result<Window, Reply> {
        let date = |name: &str, text: &str| {
            dates::parse(text).ok_or_else(|| {
                unprocessable(&format!("{name} must be of the form YYYY-MM-DDTHH:MM:SS.mmmZ"))
            })
        };
        let window = Window {
            from: date("dateFrom", &report.date_from)?,
            to: date("dateTo", &report.date_to)?,
        };
        if window.from >= window.to {
            return Err(unprocessable("dateFrom must be before dateTo"));
        }
        if window.length() > self.options.max_window {
            let longest = humantime::format_duration(self.options.max_window);
            return Err(unprocessable(&format!(
                "dateFrom and dateTo must not be further apart than {longest}"
            )));
        }
        if self.options.retention.is_some_and(|retention| window.from < now.minus(retention)) {
            return Err(unprocessable("dateFrom is before the oldest history that is kept"));
        }
        Ok(window)
    }
}

impl Desk {
    /// Makes a job of `question` if the minute has room for it; its id.
    fn accept(
        &mut self,
        simulator: &Simulator,
        now: Timestamp,
        question: Question,
        fault: Option<RequestFault>,
    ) -> Result<String, Reply> {
        let options = &simulator.options;
        let jobs_per_minute = usize::try_from(options.report_jobs_per_minute).unwrap_or(usize::MAX);
        if let Some(wait) = self.counters.wait_for_quota(now, jobs_per_minute) {
            self.counters.over_quota += 1;
            return Err(throttled(Some(seconds(wait))));
        }
        let number = self.counters.accepted + 1;
        // With the time in it, an id of an earlier run is no id of this one.
        let id = format!("job-{:x}-{number}", now.millis());
        let fate = match fault {
            Some(RequestFault::Fail) => Fate::Fails,
            Some(RequestFault::Endless) => Fate::NeverEnds,
            _ => Fate::Completes,
        };
        while self
            .jobs
            .0
            .front()
            .is_some_and(|oldest| oldest.question.asked.plus(options.job_life) <= now)
        {
            self.jobs.0.pop_front();
        }
        self.jobs.0.push_back(Job {
            id: id.clone(),
            question: Question { job: number, ..question },
            fate,
        });
        Ok(id)
    }
}

fn filter(filter: FilterRequest) -> Result<Filter, Reply> {
    let id = filter.id.filter(|id| !id.is_empty());
    match (filter.kind.as_str(), id) {
        ("user", Some(id)) => Ok(Filter::User(id)),
        ("team", Some(id)) => Ok(Filter::Team(id)),
        ("all", _) => Ok(Filter::All),
        ("user" | "team", None) => Err(unprocessable("filter.id is missing")),
        _ => Err(unprocessable("filter.type must be user, team or all")),
    }
}

/// Whether `given` holds each of `wanted` once, and nothing else.
fn same_set(given: &[String], wanted: &[&str]) -> bool {
    given.len() == wanted.len() && wanted.iter().all(|name| given.iter().any(|given| given == name))
}

fn unprocessable(message: &str) -> Reply {
    Reply::refusal(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable_entity", message)
}

fn in_status(id: &str, status: &str) -> Reply {
    Reply::json(StatusCode::OK, &JobAnswer { id, status, error_message: None, data: None })
}

fn failed(id: &str, message: &str) -> Reply {
    Reply::json(
        StatusCode::OK,
        &JobAnswer { id, status: "FAILED", error_message: Some(message), data: None },
    )
}
