//! `check --live` with the dialect `platform`: what the documented calls tell of the tenant.

use std::collections::BTreeSet;

use super::CommandError;
use super::check::say;
use crate::cxone::{ApiError, PlatformClient, RowList};
use crate::domain::time::Window;

/// Tells what was discovered, and what the role lets be seen.
pub(super) async fn look_around(client: &PlatformClient) -> Result<(), CommandError> {
    if let Some(api) = client.api() {
        say(&format!("ok      discovery: the tenant's API is at {api}"));
    }
    let codes = client.codes().await.map_err(|error| failed("unavailable codes", &error))?;
    let (all, acw) = (codes.iter().count(), codes.iter().filter(|(_, code)| code.is_acw).count());
    if acw == 0 {
        say(&format!("warning unavailable codes: {all}, and none of them is flagged as work after a contact (ACW)"));
        say("        No agent is ever in the state Wrap-up then: its alerts stay silent. Look at Admin > Unavailable Codes.");
    } else {
        say(&format!("ok      unavailable codes: {all}, of which {acw} are work after a contact, shown as state Wrap-up"));
    }
    let agents = client.count_agents().await.map_err(|error| failed("agents", &error))?;
    let verdict = if agents == 0 { "warning" } else { "ok     " };
    say(&format!("{verdict} agents: CXone tells of {agents}"));
    say("        If there are more, the role of the access key's user hides them: CXone leaves them out without an error.");
    say("        Look at Admin > Security > Roles & Permissions.");
    Ok(())
}

/// Tells whether the history has the visits that still last: whether `poll.overlap` is long enough depends on it.
pub(super) fn told_lasting(list: &RowList, window: Window) {
    let agents: BTreeSet<&str> = list.rows.iter().map(|row| &*row.user_id).collect();
    let lasting = list.rows.iter().filter(|row| row.to.is_none_or(|to| to >= window.to)).count();
    if lasting > 0 {
        say(&format!(
            "ok      open states: of {} agents, {lasting} states still last, so the history tells of a state from its beginning",
            agents.len()
        ));
    } else {
        say("warning open states: the history tells of none that still lasts, so perhaps of each only when it is over");
        say(
            "        If that is so while agents are at work, a state that lasts longer than poll.overlap is not counted: raise it above the",
        );
        say("        longest one, such as `overlap: 12h`.");
    }
}

fn failed(what: &str, error: &ApiError) -> CommandError {
    say(&format!("FAILED  {what}: {error}"));
    CommandError::Told
}
