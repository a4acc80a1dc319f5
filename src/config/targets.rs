//! The `targets` section.

use std::collections::HashMap;

use super::api::Chosen;
use super::credentials::check_id;
use super::mistake::{Origin, quote};
use super::overrides::{Overrides, USERS};
use super::reader::{ConfigDocument, Section};
use super::{ReportFilter, TargetConfig};
use cxone_core::names::MAX_LABEL_BYTES;

/// The filter type of `user: ID`.
const USER: &str = "user";

/// The filter type, and the name, of the target that stands for all agents, where the dialect
/// `platform` is given none.
pub const ALL_AGENTS: &str = "all";

/// A target, with the place that a mistake about it names.
struct Placed {
    at: Origin,
    target: TargetConfig,
}

/// Reads the targets: those of the flags, else of the file, else of the environment. That there is
/// none is a mistake if `needed`, but for the dialect `platform`: there it stands for all agents.
pub(super) fn read(top: &Section<'_>, chosen: Chosen, needed: bool) -> Vec<TargetConfig> {
    let document = top.document;
    let before = document.mistakes();
    let Overrides { users_of_flags, users_of_environment, .. } = document.overrides;
    let sections = top.sections("targets");
    let mut placed: Vec<Placed> =
        sections.iter().filter_map(|section| read_one(section, chosen)).collect();
    if !users_of_flags.is_empty() {
        placed.clear();
    }
    let outside = match (users_of_flags.as_slice(), top.has("targets")) {
        ([], true) => &[],
        ([], false) => users_of_environment.as_slice(),
        (users, _) => users,
    };
    for given in outside {
        if let Some(text) = &given.text {
            placed.extend(user_target(document, text, None, given.at.clone(), chosen));
        }
    }
    check_duplicates(&placed, document);
    if chosen.is_platform() {
        for Placed { at, target } in placed.iter().filter(|it| it.target.filter.kind != USER) {
            let message = format!(
                "the filter type {} is not used with `dialect: platform`: write `user: ID`, or no \
                 targets at all for all agents",
                quote(&target.filter.kind)
            );
            document.mistake(at.clone(), message);
        }
    }
    if needed && placed.is_empty() && document.mistakes() == before && !top.is_broken() {
        if chosen.is_platform() {
            let filter = ReportFilter { kind: ALL_AGENTS.to_owned(), id: String::new() };
            return vec![TargetConfig { name: ALL_AGENTS.to_owned(), filter }];
        }
        let message = format!(
            "are missing: write at least one under `targets` (`- user: user-…`), or set {} or {}",
            USERS.0, USERS.1
        );
        top.mistake("targets", message);
    }
    placed.into_iter().map(|Placed { target, .. }| target).collect()
}

fn read_one(section: &Section<'_>, chosen: Chosen) -> Option<Placed> {
    if section.is_broken() {
        return None;
    }
    let name = if section.has("name") { Some(required(section, "name")?) } else { None };
    let document = section.document;
    match (section.has("user"), section.has("filter")) {
        (true, false) => {
            let id = required(section, "user")?;
            user_target(document, &id, name, section.at("user"), chosen)
        }
        (false, true) => {
            let filter = section.section("filter");
            let (kind, id) = (required(&filter, "type"), required(&filter, "id"));
            let (kind, id) = (kind?, id?);
            if kind == USER {
                user_target(document, &id, name, filter.at("id"), chosen)
            } else {
                target(document, ReportFilter { kind, id }, name, section.here())
            }
        }
        (true, true) => {
            let message = "must have either `user` or `filter`, not both";
            document.mistake(section.here(), message);
            None
        }
        (false, false) => {
            let message = "must have `user: user-…`, or `filter: {type: …, id: …}`";
            document.mistake(section.here(), message);
            None
        }
    }
}

/// The text at `key`, which must be there and be an ID.
fn required(section: &Section<'_>, key: &str) -> Option<String> {
    if !section.has(key) && !section.is_broken() {
        section.mistake(key, "is missing");
    }
    let text = section.text(key)?;
    check_id(text, MAX_LABEL_BYTES).map_err(|message| section.mistake(key, message)).ok()?;
    Some(text.to_owned())
}

fn user_target(
    document: &ConfigDocument<'_>,
    id: &str,
    name: Option<String>,
    at: Origin,
    chosen: Chosen,
) -> Option<Placed> {
    if let Some(doubt) = user_id_doubt(id) {
        let of_platform = "is an e-mail address; the platform API needs the agent's number";
        document.warn(at.clone(), if chosen.is_platform() { of_platform } else { doubt });
    }
    if let Err(message) = check_id(id, MAX_LABEL_BYTES) {
        document.mistake(at, message);
        return None;
    }
    target(document, ReportFilter { kind: USER.to_owned(), id: id.to_owned() }, name, at)
}

fn target(
    document: &ConfigDocument<'_>,
    filter: ReportFilter,
    name: Option<String>,
    at: Origin,
) -> Option<Placed> {
    let name = name.unwrap_or_else(|| default_name(&filter));
    if name.len() > MAX_LABEL_BYTES {
        let message = format!(
            "the label `target` made of it is longer than {MAX_LABEL_BYTES} bytes: give the target \
             a `name`"
        );
        document.mistake(at, message);
        return None;
    }
    Some(Placed { at, target: TargetConfig { name, filter } })
}

/// The name of a target that has none of its own.
pub(super) fn default_name(filter: &ReportFilter) -> String {
    format!("{}:{}", filter.kind, filter.id)
}

/// No two targets may have the same filter or name.
fn check_duplicates(targets: &[Placed], document: &ConfigDocument<'_>) {
    let mut filters: HashMap<&ReportFilter, &Origin> = HashMap::new();
    let mut names: HashMap<&str, &Origin> = HashMap::new();
    for Placed { at, target: TargetConfig { name, filter } } in targets {
        let (what, first) = if let Some(first) = filters.insert(filter, at) {
            (format!("{} {} is a target already", filter.kind, quote(&filter.id)), first)
        } else if let Some(first) = names.insert(name, at) {
            (format!("the name {} is taken already", quote(name)), first)
        } else {
            continue;
        };
        let line = first.line.map_or_else(String::new, |line| format!(", on line {line}"));
        document.mistake(at.clone(), what + &line);
    }
}

/// Why `id` is probably not a user ID, if so: CXone's report is then empty, which is not an error.
#[must_use]
pub fn user_id_doubt(id: &str) -> Option<&'static str> {
    id.contains('@')
        .then_some("is an e-mail address; CXone needs the internal ID, which begins with `user-`")
}
