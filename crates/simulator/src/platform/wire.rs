//! The rows of the platform API, as the simulator writes them. `None` becomes `null`.

use serde::Serialize;

/// The fields of rows that a client must not rely on.
pub(super) const OPTIONAL_FIELDS: [&str; 16] = [
    "agentStateName",
    "contactId",
    "emailAddress",
    "firstName",
    "isActive",
    "isOutbound",
    "lastName",
    "lastUpdateTime",
    "mediaTypeId",
    "mediaTypeName",
    "openContacts",
    "outStateDescription",
    "sessionStartTime",
    "skillId",
    "teamId",
    "userName",
];

/// An element of `agentStates`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentStateRow<'a> {
    pub(super) agent_id: i64,
    pub(super) agent_state_id: i64,
    pub(super) agent_state_name: &'static str,
    #[serde(rename = "isACW")]
    pub(super) is_acw: bool,
    pub(super) is_active: bool,
    pub(super) is_outbound: bool,
    pub(super) contact_id: Option<i64>,
    pub(super) open_contacts: u32,
    pub(super) out_state_id: Option<i64>,
    pub(super) out_state_description: Option<&'static str>,
    pub(super) start_date: String,
    pub(super) session_start_time: String,
    pub(super) last_update_time: String,
    pub(super) skill_id: Option<i64>,
    pub(super) skill_name: Option<&'static str>,
    pub(super) team_id: i64,
    pub(super) team_name: &'a str,
    pub(super) media_type_id: Option<u32>,
    pub(super) media_type_name: Option<&'static str>,
    pub(super) user_name: String,
    pub(super) first_name: &'static str,
    pub(super) last_name: String,
}

/// An element of `agentStateHistory`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryRow {
    pub(super) state_index: u32,
    pub(super) start_date: String,
    pub(super) agent_id: i64,
    pub(super) agent_state_id: i64,
    pub(super) agent_state_name: &'static str,
    pub(super) agent_session_id: i64,
    pub(super) contact_id: Option<i64>,
    pub(super) skill_id: Option<i64>,
    pub(super) skill_name: Option<&'static str>,
    pub(super) media_type_id: Option<u32>,
    pub(super) media_type_name: Option<&'static str>,
    pub(super) out_state_id: Option<i64>,
    pub(super) out_state_description: Option<&'static str>,
    pub(super) duration: Option<RowDuration>,
    pub(super) is_outbound: bool,
    pub(super) team_id: i64,
}

/// `duration` of a row.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum RowDuration {
    /// In ISO 8601.
    Iso(String),
    /// In seconds.
    Seconds(f64),
}

/// An element of `unavailableCodes`.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireUnavailableCode {
    pub(super) id: i64,
    pub(super) name: &'static str,
    pub(super) is_active: bool,
    #[serde(rename = "isACW")]
    pub(super) is_acw: bool,
    pub(super) agent_timeout: u32,
}

/// An element of `skillActivity`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SkillActivityRow {
    pub(super) server_time: String,
    pub(super) skill_id: Option<i64>,
    pub(super) skill_name: &'static str,
    #[serde(rename = "agentsACW")]
    pub(super) agents_acw: u32,
    pub(super) agents_available: u32,
    pub(super) agents_idle: u32,
    pub(super) agents_logged_in: u32,
    pub(super) agents_unavailable: u32,
    pub(super) agents_working: u32,
    pub(super) queue_count: u64,
    pub(super) earliest_queue_time: Option<String>,
    #[serde(rename = "inSLA")]
    pub(super) in_sla: u64,
    #[serde(rename = "outSLA")]
    pub(super) out_sla: u64,
    pub(super) service_level: u64,
    pub(super) service_level_goal: u64,
    pub(super) is_active: bool,
    pub(super) is_outbound: bool,
    pub(super) media_type_id: u32,
}

/// An element of `agents`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentRow<'a> {
    pub(super) agent_id: i64,
    pub(super) user_id: &'a str,
    pub(super) user_name: String,
    pub(super) first_name: &'static str,
    pub(super) last_name: String,
    pub(super) email_address: String,
    pub(super) team_id: i64,
    pub(super) team_name: &'a str,
    pub(super) is_active: bool,
}
