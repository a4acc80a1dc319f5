//! The documented queries: an example for each metric, and those of the runbooks.

use std::fs;

use crate::tools::repository;

/// A documented query.
pub(crate) struct Query {
    /// Its file, and the metric if it is the example of one.
    pub(crate) source: String,
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
            source: format!("docs/metrics.md: {metric}"),
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
                .map(|line| Query { source: path.display().to_string(), text: line.to_owned() }),
        );
    }
    found
}
