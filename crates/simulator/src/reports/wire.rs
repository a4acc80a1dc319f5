//! The Reporting API's bodies, as the simulator reads and writes them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A submit.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReportRequestBody {
    pub(super) report_type: String,
    pub(super) date_from: String,
    pub(super) date_to: String,
    pub(super) filter: WireFilter,
    pub(super) group_by: Vec<String>,
    pub(super) metrics: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireFilter {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) id: Option<String>,
}

/// The answer to a submit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSubmit<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    pub(super) status: &'static str,
    pub(super) status_url: &'a str,
}

/// The answer to a poll, its data last.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobBody<'a> {
    pub(super) id: &'a str,
    pub(super) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a [WireRow<'a>]>,
}

/// The answer to a poll of a finished job, its data first.
#[derive(Serialize)]
pub(super) struct DataFirstBody<'a> {
    pub(super) data: &'a [WireRow<'a>],
    pub(super) id: &'a str,
    pub(super) status: &'a str,
}

/// The answer to a poll of a finished job without a list of rows.
#[derive(Serialize)]
pub(super) struct MissingDataBody<'a> {
    pub(super) id: &'a str,
    pub(super) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Value>,
}

/// An element of `data`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum WireRow<'a> {
    Documented(DocumentedRow<'a>),
    /// An invalid row, or a valid one in another form.
    Other(Value),
}

/// A row as it is documented.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DocumentedRow<'a> {
    pub(super) user_id: &'a str,
    pub(super) user_name: &'a str,
    pub(super) state_name: &'static str,
    pub(super) state_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) skill_name: Option<&'static str>,
    pub(super) count: u64,
    pub(super) date_from: String,
    #[serde(skip_serializing_if = "DateTo::is_absent")]
    pub(super) date_to: DateTo,
}

/// `dateTo` of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum DateTo {
    At(String),
    /// Not ended: `null`.
    Null,
    /// Not ended: no such field.
    Absent,
}

impl DateTo {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}
