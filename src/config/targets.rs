//! The `targets` section.

use std::collections::HashMap;

use super::credentials::check_id;
use super::mistake::{Notes, Origin, quote};
use super::outside::Overrides;
use super::section::{Found, Section};
use super::{ReportFilter, RowKind, Target};
use cxone_core::names::MAX_LABEL_BYTES;

/// The filter type of `user: ID`.
const USER: &str = "user";

/// The filter type, and the name, of the target that stands for all agents, where the dialect
/// `platform` is given none.
pub const ALL_AGENTS: &str = "all";

/// A target, with the place that a mistake about it names.
struct Placed {
    at: Origin,
    target: Target,
}

/// Reads the targets: those of the flags, else of the file, else of the environment. That there is
/// none is a mistake if `needed`, but for [`Rows::States`]: there it stands for all agents.
pub(super) fn read(
    file: &Section<'_>,
    overrides: &Overrides,
    rows: RowKind,
    needed: bool,
    notes: &mut Notes,
) -> Vec<Target> {
    let before = notes.mistakes.len();
    let sections = file.sections("targets", notes);
    let mut placed: Vec<Placed> =
        sections.iter().flatten().filter_map(|section| read_one(section, rows, notes)).collect();
    let outside = if !overrides.flags.users.is_empty() {
        placed.clear();
        &overrides.flags.users
    } else if file.has("targets") {
        &Vec::new()
    } else {
        &overrides.environment.users
    };
    for given in outside {
        if let Some(text) = &given.text {
            placed.extend(user_target(text, None, given.at.clone(), rows, notes));
        }
    }
    check_twice(&placed, notes);
    if rows == RowKind::States {
        for Placed { at, target } in
            placed.iter().filter(|placed| placed.target.filter.kind != USER)
        {
            let message = format!(
                "the filter type {} is not used with `dialect: platform`: write `user: ID`, or no targets at all for all agents",
                quote(&target.filter.kind)
            );
            notes.mistake(at.clone(), message);
        }
        if needed && placed.is_empty() && notes.mistakes.len() == before {
            let all = ReportFilter { kind: ALL_AGENTS.to_owned(), id: String::new() };
            return vec![Target { name: ALL_AGENTS.to_owned(), filter: all }];
        }
    } else if needed
        && placed.is_empty()
        && outside.is_empty()
        && !file.is_broken()
        && notes.mistakes.len() == before
    {
        let message = "there is none: write at least one under `targets` (`- user: user-…`), or give --target.user or CXONE_TARGET_USER";
        notes.mistake(file.at("targets"), message);
    }
    placed.into_iter().map(|Placed { target, .. }| target).collect()
}

fn read_one(section: &Section<'_>, rows: RowKind, notes: &mut Notes) -> Option<Placed> {
    if section.is_broken() {
        return None;
    }
    let name = section.parsed("name", None, notes, |text| {
        check_id(text, MAX_LABEL_BYTES).map(|()| Some(text.to_owned()))
    })?;
    match (section.has("user"), section.has("filter")) {
        (true, false) => {
            let id = required(section, "user", notes)?;
            user_target(&id, name, section.at("user"), rows, notes)
        }
        (false, true) => {
            let filter = section.section("filter", notes);
            let kind = required(&filter, "type", notes);
            let id = required(&filter, "id", notes);
            let (kind, id) = (kind?, id?);
            if kind == USER {
                user_target(&id, name, filter.at("id"), rows, notes)
            } else {
                target(ReportFilter { kind, id }, name, section.here(), notes)
            }
        }
        (true, true) => {
            notes.mistake(section.here(), "has both `user` and `filter`: a target has one of them");
            None
        }
        (false, false) => {
            notes.mistake(section.here(), "needs `user: user-…`, or `filter: {type: …, id: …}`");
            None
        }
    }
}

/// The text at `key`, which must be there and be an id.
fn required(section: &Section<'_>, key: &str, notes: &mut Notes) -> Option<String> {
    let checked = match section.text(key, notes) {
        Found::Absent => Err("is missing".to_owned()),
        Found::Wrong => return None,
        Found::Text(text) => check_id(text, MAX_LABEL_BYTES).map(|()| text.to_owned()),
    };
    checked.map_err(|message| notes.mistake(section.at(key), message)).ok()
}

fn user_target(
    id: &str,
    name: Option<String>,
    at: Origin,
    rows: RowKind,
    notes: &mut Notes,
) -> Option<Placed> {
    if let Some(doubt) = user_id_doubt(id) {
        let doubt = if rows == RowKind::States {
            "is an e-mail address; the platform's calls want the agent's number"
        } else {
            doubt
        };
        notes.warning(at.clone(), doubt);
    }
    if let Err(message) = check_id(id, MAX_LABEL_BYTES) {
        notes.mistake(at, message);
        return None;
    }
    target(ReportFilter { kind: USER.to_owned(), id: id.to_owned() }, name, at, notes)
}

fn target(
    filter: ReportFilter,
    name: Option<String>,
    at: Origin,
    notes: &mut Notes,
) -> Option<Placed> {
    let name = name.unwrap_or_else(|| default_name(&filter));
    if name.len() > MAX_LABEL_BYTES {
        notes.mistake(at, format!("the label `target` made of it is longer than {MAX_LABEL_BYTES} bytes: give the target a `name`"));
        return None;
    }
    Some(Placed { at, target: Target { name, filter } })
}

/// What a target is called that was given no name.
pub(super) fn default_name(filter: &ReportFilter) -> String {
    format!("{}:{}", filter.kind, filter.id)
}

/// No two targets may ask for the same, nor share a name.
fn check_twice(targets: &[Placed], notes: &mut Notes) {
    let mut filters: HashMap<&ReportFilter, &Origin> = HashMap::new();
    let mut names: HashMap<&str, &Origin> = HashMap::new();
    for Placed { at, target: Target { name, filter } } in targets {
        if let Some(first) = filters.insert(filter, at) {
            let message = format!(
                "{} {} is a target already{}",
                filter.kind,
                quote(&filter.id),
                place(first)
            );
            notes.mistake(at.clone(), message);
        } else if let Some(first) = names.insert(name, at) {
            notes.mistake(
                at.clone(),
                format!("the name {} is taken already{}", quote(name), place(first)),
            );
        }
    }
}

fn place(first: &Origin) -> String {
    first.line.map_or_else(String::new, |line| format!(", on line {line}"))
}

/// What looks wrong with `id` as a user id, if anything: CXone answers it with an empty report, not
/// with an error.
#[must_use]
pub fn user_id_doubt(id: &str) -> Option<&'static str> {
    id.contains('@')
        .then_some("is an e-mail address; CXone wants the internal id, which begins with `user-`")
}
