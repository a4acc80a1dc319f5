//! The dialect `reports`: what is sent, and what the answers say.

mod document;
mod row;
mod time;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use cxone_core::plan::fetch::JobId;
use cxone_core::report::ReportFilter;
use cxone_core::time::Window;

use super::json;
use super::scan::DocumentFault;
use crate::base_url::path_segment;

pub(crate) use document::{Document, Told};

/// Where tokens are asked for, below the base.
pub(crate) const TOKEN_PATH: &str = "/oauth/token";

/// Where report jobs are submitted, below the base.
pub(crate) const JOBS_PATH: &str = "/api/v2/reports";

/// What a report job is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HistoryRequest {
    /// The span of time.
    pub window: Window,
    /// The agents.
    pub filter: ReportFilter,
}

/// The dates and the filter as they are sent.
impl fmt::Display for HistoryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, filter } = self;
        write!(
            f,
            "dateFrom {}, dateTo {}, filter type \"{}\", id \"{}\"",
            window.from, window.to, filter.kind, filter.id
        )
    }
}

/// Where the job is asked for, below the base.
pub(crate) fn job_path(job: &JobId) -> String {
    format!("{JOBS_PATH}/{}", path_segment(job.as_str()))
}

/// The body of a submit.
pub(crate) fn encode(request: &HistoryRequest) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct SubmitBody<'a> {
        report_type: &'a str,
        date_from: String,
        date_to: String,
        filter: FilterBody<'a>,
        group_by: [&'a str; 3],
        metrics: [&'a str; 1],
    }
    #[derive(Serialize)]
    struct FilterBody<'a> {
        r#type: &'a str,
        id: &'a str,
    }
    let body = SubmitBody {
        report_type: "agent-state-history",
        date_from: request.window.from.to_string(),
        date_to: request.window.to.to_string(),
        filter: FilterBody { r#type: &request.filter.kind, id: &request.filter.id },
        group_by: ["userId", "stateName", "skillName"],
        metrics: ["count"],
    };
    serde_json::to_vec(&body).expect("strings and lists of them are JSON")
}

/// The job's id in the answer to a submit. Its `statusUrl` is not looked at: where a job is asked
/// for follows from its id.
pub(crate) fn decode_submitted(body: &str) -> Result<JobId, DocumentFault> {
    let members =
        json::members(body).ok_or_else(|| DocumentFault::malformed("is no JSON object"))?;
    let id = members.get("id").or_else(|| {
        members.iter().find(|(name, _)| name.eq_ignore_ascii_case("id")).map(|(_, raw)| raw)
    });
    let id = id.and_then(|raw| json::string_or_number(raw.get()));
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| DocumentFault::malformed("has no id"))?;
    JobId::parse(&id).ok_or_else(|| DocumentFault::malformed("has an id that can be none"))
}
