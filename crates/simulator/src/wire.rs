//! The Reporting API's bodies, as the simulator reads and writes them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer to a token request.
#[derive(Serialize)]
pub(super) struct TokenAnswer<'a> {
    pub(super) access_token: &'a str,
    pub(super) token_type: &'static str,
    pub(super) expires_in: u64,
    pub(super) scope: &'static str,
}

/// What an OAuth server says when it hands out no token.
#[derive(Serialize)]
pub(super) struct OauthRefusal<'a> {
    pub(super) error: &'a str,
    pub(super) error_description: &'a str,
}

/// What the API says when it does not do what was asked.
#[derive(Serialize)]
pub(super) struct Refusal<'a> {
    pub(super) error: &'a str,
    pub(super) message: &'a str,
}

/// A report that is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReportRequest {
    pub(super) report_type: String,
    pub(super) date_from: String,
    pub(super) date_to: String,
    pub(super) filter: FilterRequest,
    pub(super) group_by: Vec<String>,
    pub(super) metrics: Vec<String>,
}

/// Whose rows are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterRequest {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) id: Option<String>,
}

/// The answer to a submit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubmitAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    pub(super) status: &'static str,
    pub(super) status_url: &'a str,
}

/// The answer to a poll, its data last.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobAnswer<'a> {
    pub(super) id: &'a str,
    pub(super) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a [WireRow<'a>]>,
}

/// The answer to a poll of a finished job, its data first.
#[derive(Serialize)]
pub(super) struct DataFirst<'a> {
    pub(super) data: &'a [WireRow<'a>],
    pub(super) id: &'a str,
    pub(super) status: &'a str,
}

/// The answer to a poll of a finished job that tells no rows, not even none.
#[derive(Serialize)]
pub(super) struct WithoutRows<'a> {
    pub(super) id: &'a str,
    pub(super) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Value>,
}

/// An element of `data`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum WireRow<'a> {
    /// A row that makes sense.
    Sound(SoundRow<'a>),
    /// Anything else: one that makes none, or a row told otherwise.
    Odd(Value),
}

/// A row that makes sense.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SoundRow<'a> {
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
    /// The state lasted to this moment.
    At(String),
    /// The state lasts: `null`.
    Null,
    /// The state lasts: no such field.
    Absent,
}

impl DateTo {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}
