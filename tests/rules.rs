//! Prometheus's and Alertmanager's own tools accept the rules and routes and pass their tests.
//! Every alert is tested, documented and labelled consistently.

#[path = "support/queries.rs"]
mod queries;
// `tests/real_prometheus.rs` uses the rest of it.
#[allow(dead_code, reason = "shared with another test")]
#[path = "support/tools.rs"]
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tools::{are_here, repository, run};

const RULES: &str = "alerts/cxone-exporter.rules.yml";

/// The only alerts that need the name of the scrape job, and how it is selected.
const BY_JOB: [&str; 2] = ["CXoneExporterDown", "CXoneExporterAbsent"];
const JOB: &str = "job=~\".*cxone.*\"";

/// The alerts about the age of data. No other may use the current time.
const OF_FRESHNESS: [&str; 4] =
    ["CXoneDataStale", "CXoneTargetStale", "CXoneTokenRefreshFailing", "CXoneCertificateExpiring"];

/// The age from which data are stale.
const FRESH: &str = ">= time() - 600";

fn yaml(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Every rule, alerts and recordings.
fn rules() -> Vec<Value> {
    list(&yaml(&repository().join(RULES)), "groups")
        .iter()
        .flat_map(|group| list(group, "rules"))
        .cloned()
        .collect()
}

/// The alerts by name.
fn alerts() -> BTreeMap<String, Value> {
    let alerts: BTreeMap<String, Value> = rules()
        .into_iter()
        .filter(|rule| rule["alert"].is_string())
        .map(|rule| (text(&rule, "alert").to_owned(), rule))
        .collect();
    assert!(alerts.len() > 20, "only {} alerts", alerts.len());
    alerts
}

fn test_files() -> Vec<PathBuf> {
    let folder =
        fs::read_dir(repository().join("alerts/tests")).expect("there are tests of the rules");
    let files: Vec<PathBuf> =
        folder.map(|file| file.expect("the folder can be read").path()).collect();
    assert!(!files.is_empty(), "there are tests of the rules");
    files
}

fn succeeds(program: &str, arguments: &[&str], files: &[PathBuf]) {
    let (good, said) = run(Command::new(program).args(arguments).args(files), "");
    assert!(good, "{program} {}:\n{said}", arguments.join(" "));
}

#[test]
fn promtool_accepts_the_rules() {
    if are_here(&["promtool"]) {
        succeeds("promtool", &["check", "rules", "--lint-fatal"], &[repository().join(RULES)]);
    }
}

#[test]
fn the_alert_tests_pass() {
    if are_here(&["promtool"]) {
        succeeds("promtool", &["test", "rules"], &test_files());
    }
}

#[test]
fn alertmanager_accepts_routes_and_inhibitions() {
    if are_here(&["amtool"]) {
        succeeds(
            "amtool",
            &["check-config"],
            &[repository().join("alerts/alertmanager-inhibit.yml")],
        );
    }
}

#[test]
fn every_alert_has_a_firing_and_a_silent_test() {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for file in test_files() {
        let tests = yaml(&file);
        for check in list(&tests, "tests").iter().flat_map(|test| list(test, "alert_rule_test")) {
            let list = if list(check, "exp_alerts").is_empty() { &mut silent } else { &mut fires };
            list.insert(text(check, "alertname").to_owned());
        }
    }
    let all: BTreeSet<String> = alerts().into_keys().collect();
    assert_eq!(fires, all, "alerts that fire in a test");
    assert_eq!(silent, all, "alerts that keep silent in a test");
}

#[test]
fn every_alert_has_an_audience_a_severity_and_a_runbook() {
    let mut runbooks = BTreeSet::new();
    for (name, alert) in alerts() {
        assert!(name.starts_with("CXone"), "{name}");
        assert!(["critical", "warning"].contains(&text(&alert["labels"], "severity")), "{name}");
        assert!(
            ["supervisors", "operators"].contains(&text(&alert["labels"], "audience")),
            "{name}"
        );
        assert_eq!(alert["labels"].as_object().map(serde_json::Map::len), Some(2), "{name}");
        let (summary, description) =
            (text(&alert["annotations"], "summary"), text(&alert["annotations"], "description"));
        assert!(!summary.ends_with('.') && summary.len() > 15, "{name}: {summary}");
        assert!(description.ends_with('.') && description.len() > 40, "{name}: {description}");
        let runbook = text(&alert["annotations"], "runbook_url");
        assert_eq!(runbook, format!("docs/runbooks/{name}.md"));
        let page = fs::read_to_string(repository().join(runbook))
            .unwrap_or_else(|error| panic!("{runbook}: {error}"));
        assert!(page.starts_with(&format!("# {name}\n")), "{runbook}");
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, ["## Meaning", "## Diagnosis", "## Mitigation"], "{runbook}");
        assert!(page.contains("```promql\n"), "{runbook}: no query to look at");
        runbooks.insert(runbook.to_owned());
    }
    let folder = fs::read_dir(repository().join("docs/runbooks")).expect("there are runbooks");
    let written = folder.map(|file| {
        format!("docs/runbooks/{}", file.expect("a file").file_name().to_string_lossy())
    });
    assert_eq!(written.collect::<BTreeSet<String>>(), runbooks, "runbooks that belong to an alert");
}

#[test]
fn the_documented_alerts_match_the_rules() {
    let page = fs::read_to_string(repository().join("alerts/README.md")).expect("it is there");
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .take(3)
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let documented: BTreeSet<Vec<String>> =
        page.lines().filter(|line| line.starts_with("| [CXone")).map(cells).collect();
    let real = alerts().into_iter().map(|(name, alert)| {
        let labels = &alert["labels"];
        vec![
            format!("[{name}](../docs/runbooks/{name}.md)"),
            text(labels, "audience").to_owned(),
            text(labels, "severity").to_owned(),
        ]
    });
    assert_eq!(documented, real.collect());
}

#[test]
fn only_alerts_about_failing_scrapes_select_a_job() {
    for rule in rules() {
        let by_job = BY_JOB.iter().any(|name| rule["alert"] == *name);
        assert_eq!(text(&rule, "expr").matches(JOB).count(), usize::from(by_job), "{rule}");
        assert_eq!(text(&rule, "expr").contains("{job"), by_job, "{rule}");
    }
}

#[test]
fn only_freshness_alerts_compare_with_the_current_time() {
    for rule in rules() {
        let fresh = OF_FRESHNESS.iter().any(|name| rule["alert"] == *name);
        assert_eq!(text(&rule, "expr").replace(FRESH, "").contains("time()"), fresh, "{rule}");
    }
}

#[test]
fn data_are_stale_from_the_age_on_at_which_they_say_nothing_of_agents() {
    let written = fs::read_to_string(repository().join(RULES)).expect("the rules can be read");
    assert_eq!(written.matches(FRESH).count(), 4);
    assert_eq!(written.matches("(cxone_target_watermark_timestamp_seconds) > 600").count(), 1);
    assert_eq!(text(&alerts()["CXoneDataStale"], "expr").matches("> 600").count(), 1);
}

#[test]
fn recording_rules_are_named_level_metric_operations_and_used() {
    let rules = rules();
    let records: Vec<&str> = rules.iter().filter_map(|rule| rule["record"].as_str()).collect();
    assert!(!records.is_empty());
    for record in records {
        let parts: Vec<&str> = record.split(':').collect();
        assert!(matches!(parts[..], [_, metric, _] if metric.starts_with("cxone_")), "{record}");
        assert!(rules.iter().any(|rule| text(rule, "expr").contains(record)), "{record}");
    }
}

#[test]
fn every_query_in_the_documentation_is_valid_promql() {
    let (examples, runbooks) = (queries::examples(), queries::runbooks());
    assert!(
        examples.len() > 50 && runbooks.len() > 40,
        "{} and {} queries",
        examples.len(),
        runbooks.len()
    );
    for query in examples.iter().chain(&runbooks) {
        assert!(
            query.text.contains("cxone_")
                || query.text.contains("process_")
                || query.text.contains("up"),
            "{}",
            query.source
        );
    }
    if !are_here(&["promtool"]) {
        return;
    }
    // promtool parses queries of rules only.
    let rules: Vec<Value> = examples
        .iter()
        .chain(&runbooks)
        .map(|query| json!({"record": "x:y:z", "expr": query.text}))
        .collect();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("queries.yml");
    fs::write(&file, json!({"groups": [{"name": "queries", "rules": rules}]}).to_string())
        .expect("the folder is ours");
    succeeds("promtool", &["check", "rules", "--lint=none"], &[file]);
}
