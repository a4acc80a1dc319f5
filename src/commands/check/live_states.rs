//! `check --live` where CXone reports live states: what the role lets be seen, and whether the
//! history agrees.

use std::collections::BTreeMap;

use crate::commands::{CommandError, print};
use crate::cxone::platform::LivePage;
use crate::cxone::{ApiError, PlatformClient, RowList};
use cxone_core::live::{FeedRequest, LiveRow};
use cxone_core::time::{Timestamp, Window};

/// Where all agents are now, by id.
pub(super) type LiveAgents = BTreeMap<String, LiveRow>;

/// Prints what was discovered, and what the role of the access key's user lets be seen.
///
/// # Errors
/// When CXone gives no codes or no states, or no agent is seen.
pub(super) async fn check(source: &PlatformClient) -> Result<LiveAgents, CommandError> {
    if let Some(api) = source.api() {
        print(&format!("ok      discovery: the tenant's API is at {api}"));
    }
    let codes = source.codes().await.map_err(|error| failed("unavailable codes", &error))?;
    let (all, acw) = (codes.iter().count(), codes.iter().filter(|(_, code)| code.is_acw).count());
    if acw == 0 {
        print(&format!(
            "warning unavailable codes: {all}, none of them flagged as after-contact work (ACW)"
        ));
        print(
            "        Without one, no agent is ever in the state Wrap-up, and its alerts never fire. See Admin > Unavailable Codes.",
        );
    } else {
        print(&format!(
            "ok      unavailable codes: {all}, {acw} of them after-contact work, shown as state Wrap-up"
        ));
    }
    let agents = source.agents_now().await.map_err(|error| failed("live states", &error))?;
    let verdict = if agents.is_empty() { "FAILED " } else { "ok     " };
    print(&format!("{verdict} live states: {} agents{}", agents.len(), by_state(&agents)));
    print(
        "        If there are more, the role of the access key's user hides them: CXone leaves them out without an error.",
    );
    print("        See Admin > Security > Roles & Permissions.");
    if agents.is_empty() {
        return Err(CommandError::Reported);
    }
    match source.live(&FeedRequest::Skills { skip: 0 }).await {
        Ok(LivePage::Skills(page)) => {
            print(&format!("ok      skills: CXone reports the activity of {}", page.rows.len()));
        }
        Ok(LivePage::States(_)) => {}
        Err(error) => {
            print(&format!("warning skills: {error}"));
            print(
                "        Only the metrics of skills (cxone_skill_queue_… and others) are missing.",
            );
        }
    }
    Ok(agents)
}

/// How many agents are in each state.
fn by_state(agents: &LiveAgents) -> String {
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for agent in agents.values() {
        *states.entry(&agent.state).or_default() += 1;
    }
    let counts: Vec<String> =
        states.into_iter().map(|(state, agents)| format!("{agents} {state}")).collect();
    if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) }
}

/// Prints whether the history has the agents of the live states, and whether it has visits that
/// have not ended: whether `poll.overlap` is long enough depends on that.
pub(super) fn compare(agents: &LiveAgents, list: &RowList, window: Window, is_of_all: bool) {
    // By agent, the visit that began last, and whether it has not ended.
    let mut newest: BTreeMap<&str, (Timestamp, bool)> = BTreeMap::new();
    for row in &list.rows {
        let is_open = row.to.is_none_or(|to| to >= window.to);
        let known = newest.entry(&row.user_id).or_insert((row.from, is_open));
        *known = (*known).max((row.from, is_open));
    }
    let unseen = newest.keys().filter(|agent| !agents.contains_key(**agent)).count();
    if unseen > 0 {
        print(&format!(
            "warning agents: {unseen} of the history are not in the live states; the role may hide them there"
        ));
    }
    if is_of_all {
        let silent = agents.keys().filter(|agent| !newest.contains_key(agent.as_str())).count();
        let more = if silent > 0 {
            format!("; {silent} more are in the live states only")
        } else {
            String::new()
        };
        print(&format!("ok      agents: {} in the history{more}", newest.len()));
    }
    let open = newest.values().filter(|(_, is_open)| *is_open).count();
    if open > 0 {
        print(&format!(
            "ok      open states: the history has the current state of {open} of {} agents, so it reports a state from its beginning",
            newest.len()
        ));
    } else {
        print(
            "warning open states: the history has none, so perhaps it reports a state only when it has ended",
        );
        print(
            "        If that is so while agents are at work, a state longer than poll.overlap is not counted: raise poll.overlap above",
        );
        print("        the longest state, for example `overlap: 12h`.");
    }
}

fn failed(what: &str, error: &ApiError) -> CommandError {
    print(&format!("FAILED  {what}: {error}"));
    CommandError::Reported
}
