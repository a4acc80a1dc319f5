//! `check --live` with the dialect `platform`: what the documented calls tell of the tenant.

use std::collections::BTreeMap;

use super::CommandError;
use super::check::say;
use crate::cxone::platform::LivePage;
use crate::cxone::{ApiError, PlatformClient, RowList};
use cxone_core::live::{FeedRequest, LiveRow};
use cxone_core::time::{Timestamp, Window};

/// Where everybody is now, by agent.
pub(super) type Live = BTreeMap<String, LiveRow>;

/// Tells what was discovered, and what the role lets be seen.
pub(super) async fn look_around(client: &PlatformClient) -> Result<Live, CommandError> {
    if let Some(api) = client.api() {
        say(&format!("ok      discovery: the tenant's API is at {api}"));
    }
    let codes = client.codes().await.map_err(|error| failed("unavailable codes", &error))?;
    let (all, acw) = (codes.iter().count(), codes.iter().filter(|(_, code)| code.is_acw).count());
    if acw == 0 {
        say(&format!(
            "warning unavailable codes: {all}, and none of them is flagged as work after a contact (ACW)"
        ));
        say(
            "        No agent is ever in the state Wrap-up then: its alerts stay silent. Look at Admin > Unavailable Codes.",
        );
    } else {
        say(&format!(
            "ok      unavailable codes: {all}, of which {acw} are work after a contact, shown as state Wrap-up"
        ));
    }
    let agents = client.agents_now().await.map_err(|error| failed("live states", &error))?;
    let verdict = if agents.is_empty() { "FAILED " } else { "ok     " };
    say(&format!("{verdict} live states: of {} agents{}", agents.len(), by_state(&agents)));
    say(
        "        If there are more, the role of the access key's user hides them: CXone leaves them out without an error.",
    );
    say("        Look at Admin > Security > Roles & Permissions.");
    if agents.is_empty() {
        return Err(CommandError::Reported);
    }
    match client.live(&FeedRequest::Skills { skip: 0 }).await {
        Ok(LivePage::Skills(page)) => {
            say(&format!("ok      skills: CXone tells what goes on in {}", page.rows.len()))
        }
        Ok(LivePage::States(_)) => {}
        Err(error) => {
            say(&format!("warning skills: {error}"));
            say("        Only the metrics cxone_skill_queue_… and the like are missing then.");
        }
    }
    Ok(agents)
}

/// How many agents are in each state.
fn by_state(agents: &Live) -> String {
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for agent in agents.values() {
        *states.entry(&agent.state).or_default() += 1;
    }
    let told: Vec<String> =
        states.into_iter().map(|(state, agents)| format!("{agents} {state}")).collect();
    if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) }
}

/// Tells whether the history knows the agents of the live list, and whether it has the visits that
/// still last: whether `poll.overlap` is long enough depends on it.
pub(super) fn told_history(list: &RowList, window: Window, of_all: bool, now: &Live) {
    // By agent, the visit that began last, and whether it lasts.
    let mut newest: BTreeMap<&str, (Timestamp, bool)> = BTreeMap::new();
    for row in &list.rows {
        let lasts = row.to.is_none_or(|to| to >= window.to);
        let known = newest.entry(&row.user_id).or_insert((row.from, lasts));
        *known = (*known).max((row.from, lasts));
    }
    let unseen = newest.keys().filter(|agent| !now.contains_key(**agent)).count();
    if unseen > 0 {
        say(&format!(
            "warning agents: the live states leave out {unseen} whom the history tells of; the role may hide them there"
        ));
    }
    if of_all {
        let silent = now.keys().filter(|agent| !newest.contains_key(agent.as_str())).count();
        let more = if silent > 0 {
            format!("; {silent} more are in the live states only")
        } else {
            String::new()
        };
        say(&format!("ok      agents: the history tells of {}{more}", newest.len()));
    }
    let lasting = newest.values().filter(|(_, lasts)| *lasts).count();
    if lasting > 0 {
        say(&format!(
            "ok      open states: the states that {lasting} of {} agents are in are in the history, so it tells of a state from its beginning",
            newest.len()
        ));
    } else {
        say(
            "warning open states: the history tells of none that still lasts, so perhaps of each only when it is over",
        );
        say(
            "        If that is so while agents are at work, a state that lasts longer than poll.overlap is not counted: raise it above the",
        );
        say("        longest one, such as `overlap: 12h`.");
    }
}

fn failed(what: &str, error: &ApiError) -> CommandError {
    say(&format!("FAILED  {what}: {error}"));
    CommandError::Reported
}
