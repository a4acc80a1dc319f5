//! The queries that the documentation gives: an example for each metric, and what runbooks say to
//! look at.

use std::fs;

use crate::tools::repository;

/// A query and where it stands.
pub(crate) struct Query {
    /// The file, and the metric if it is a metric's example.
    pub(crate) place: String,
    /// PromQL.
    pub(crate) text: String,
}

/// The example of every metric in `docs/metrics.md`.
pub(crate) fn examples() -> Vec<Query> {
    let text = fs::read_to_string(repository().join("docs/metrics.md"))
        .expect("the metrics are documented");
    let rows =
        text.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() >= 3);
    rows.filter_map(|row| {
        let metric = row.split('`').nth(1)?;
        let example = row.trim_end_matches(" |").rsplit(" | ").next()?.strip_prefix('`')?;
        Some(Query {
            place: format!("docs/metrics.md: {metric}"),
            text: example.split('`').next()?.to_owned(),
        })
    })
    .collect()
}

/// All lines of all blocks of PromQL in `docs/runbooks`.
pub(crate) fn runbooks() -> Vec<Query> {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository().join("docs/runbooks")).expect("there are runbooks") {
        let path = entry.expect("the folder can be read").path();
        let text = fs::read_to_string(&path).expect("a runbook is text");
        let blocks = text.split("```promql\n").skip(1).filter_map(|rest| rest.split("```").next());
        found.extend(
            blocks
                .flat_map(str::lines)
                .map(|line| Query { place: path.display().to_string(), text: line.to_owned() }),
        );
    }
    found
}
