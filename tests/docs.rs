//! The documentation matches the code: its links resolve, its command lines are accepted, its
//! tables are those of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cxone_core::live::Feed;
use cxone_core::plan::fetch::FailureReason;
use cxone_core::plan::server_clock::DateFault;
use cxone_core::report::RowRejection;
use cxone_exporter::cli::parse_args;
use cxone_exporter::config::{Config, ConfigText, Overrides, SETTINGS, TargetsNeeded};
use cxone_exporter::cxone::ApiEndpoint;
use cxone_exporter::exposition::families::{ALL, FamilyKind};
use cxone_simulator::{Faults, Quirk, ReportRows, RequestFault, RowFault};

const METRICS: &str = include_str!("../docs/metrics.md");
const OPERATIONS: &str = include_str!("../docs/operations.md");
const SIMULATOR: &str = include_str!("../docs/simulator.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with one of these endings, by its path from the root; build output and hidden folders
/// left out.
fn files(endings: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
            if entry.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "node_modules" {
                    folders.push(entry);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(&entry).expect("text");
                found.insert(
                    entry.strip_prefix(root()).expect("below the root").to_path_buf(),
                    text,
                );
            }
        }
    }
    found
}

/// The blocks of code in `language`, without indentation.
fn blocks<'a>(markdown: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(of) = line.trim_start().strip_prefix("```").filter(|of| !of.is_empty()) {
            let block: Vec<&str> =
                lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
            if of == language {
                blocks.push(block);
            }
        }
    }
    blocks
}

/// The text without its blocks of code.
fn prose(markdown: &str) -> String {
    let parts = markdown.split("```").step_by(2);
    parts.collect::<Vec<_>>().join("\n")
}

/// The anchor of a heading, as GitHub and others make it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The links within the repository: path and heading, either of which may be empty.
fn relative_links(prose: &str) -> impl Iterator<Item = (&str, &str)> {
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .map(|link| link.split_once('#').unwrap_or((link, "")))
}

#[test]
fn every_relative_link_resolves() {
    let pages = files(&[".md"]);
    let mut links = 0;
    for (page, text) in &pages {
        let text = prose(text);
        for (path, heading) in relative_links(&text) {
            links += 1;
            let file = if path.is_empty() {
                root().join(page)
            } else {
                root().join(page).parent().expect("a folder").join(path)
            };
            let file = file
                .canonicalize()
                .unwrap_or_else(|error| panic!("{}: {path}: {error}", page.display()));
            if !heading.is_empty() {
                let target = fs::read_to_string(&file).expect("text");
                let anchors: Vec<String> = prose(&target)
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(anchor)
                    .collect();
                assert!(
                    anchors.iter().any(|anchor| anchor == heading),
                    "{}: {path}#{heading}: no such heading among {anchors:?}",
                    page.display()
                );
            }
        }
    }
    assert!(links > 30, "{links} links");
}

/// The files that the Debian package installs below this folder, and where they come from.
fn installed(folder: &str) -> BTreeMap<PathBuf, PathBuf> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("text");
    let assets = manifest.lines().map(|line| line.trim().split('"').collect::<Vec<_>>());
    let mut found = BTreeMap::new();
    for asset in assets.filter(|parts| parts.len() == 7 && parts[0] == "[") {
        let (Some(place), Some((source, name))) =
            (asset[3].strip_prefix(folder), asset[1].rsplit_once('/').or(Some(("", asset[1]))))
        else {
            continue;
        };
        let (begins, ends) = name.split_once('*').unwrap_or((name, ""));
        for entry in fs::read_dir(root().join(source)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_file() && name.starts_with(begins) && name.ends_with(ends) {
                found.insert(Path::new(place).join(name), path);
            }
        }
    }
    found
}

#[test]
fn every_link_in_the_installed_documentation_resolves() {
    let files = installed("usr/share/doc/cxone-exporter/");
    let mut links = 0;
    for (page, source) in &files {
        // Only for those who have the repository.
        if page.extension().is_none_or(|of| of != "md") || page.ends_with("CONTRIBUTING.md") {
            continue;
        }
        let text = prose(&fs::read_to_string(source).expect("text"));
        for (path, _) in relative_links(&text).filter(|(path, _)| !path.is_empty()) {
            links += 1;
            let mut target = page.parent().expect("a folder").to_path_buf();
            for part in path.split('/') {
                match part {
                    ".." => assert!(target.pop(), "{}: {path}", page.display()),
                    part => target.push(part),
                }
            }
            let leads = files.keys().any(|file| file.starts_with(&target));
            assert!(leads, "{}: {path} is not installed", page.display());
        }
    }
    assert!(links > 30, "{links} links");
}

#[test]
fn the_unit_template_differs_only_in_the_tenant() {
    let unit = |name| fs::read_to_string(root().join("deploy/systemd").join(name)).expect("text");
    let template = unit("cxone-exporter@.service");
    let (comment, template) = template.split_at(template.find("[Unit]").expect("a section"));
    assert!(comment.lines().all(|line| line.starts_with("# ")));
    let one = template
        .replace("contact centre: %i\n", "contact centre\n")
        .replace("/etc/cxone-exporter/%i.env", "/etc/default/cxone-exporter")
        .replace("/etc/cxone-exporter/%i.yml", "/etc/cxone-exporter/cxone-exporter.yml")
        .replace("=cxone-exporter/%i\n", "=cxone-exporter\n")
        .replace("/var/lib/cxone-exporter/%i ", "/var/lib/cxone-exporter ");
    assert_eq!(one, unit("cxone-exporter.service"));
}

#[test]
fn every_runbook_named_by_an_alert_exists() {
    let rules =
        fs::read_to_string(root().join("alerts/cxone-exporter.rules.yml")).expect("the rules");
    let named: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    let pages = files(&[".md"]);
    let written: BTreeSet<String> = pages
        .keys()
        .filter(|page| page.starts_with("docs/runbooks"))
        .map(|page| page.display().to_string())
        .collect();
    assert_eq!(named, written.iter().map(String::as_str).collect());
}

/// The text between two `mark`s, in prose.
fn marked(prose: &str, mark: char) -> Vec<&str> {
    prose.split(mark).skip(1).step_by(2).collect()
}

/// The panels of each dashboard by the dashboard's short title.
fn panels() -> BTreeMap<String, BTreeSet<String>> {
    fn titles(panels: &serde_json::Value, into: &mut BTreeSet<String>) {
        for panel in panels.as_array().into_iter().flatten() {
            into.extend(panel["title"].as_str().map(str::to_owned));
            titles(&panel["panels"], into);
        }
    }
    let dashboards =
        files(&[".json"]).into_iter().filter(|(path, _)| path.starts_with("dashboards"));
    dashboards
        .map(|(path, text)| {
            let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let title = dashboard["title"].as_str().expect("a title");
            let short = title.rsplit(" / ").next().expect("a last part").to_owned();
            let mut panels = BTreeSet::new();
            titles(&dashboard["panels"], &mut panels);
            assert!(!panels.is_empty(), "{}", path.display());
            (short, panels)
        })
        .collect()
}

/// Words in runbooks that belong to Prometheus, Kubernetes, the system or CXone.
const OTHERS_WORDS: [&str; 9] =
    ["count", "cxone", "df", "job", "mute_time_intervals", "pod", "timedatectl", "up", "user-"];

/// Pages of Prometheus that runbooks mention.
const PROMETHEUS_PAGES: [&str; 2] = ["Targets", "Service Discovery"];

#[test]
fn what_a_runbook_cites_exists() {
    let panels = panels();
    let alerts: BTreeSet<String> = files(&[".md"])
        .into_keys()
        .filter(|page| page.starts_with("docs/runbooks"))
        .map(|page| page.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    let keys: BTreeSet<String> =
        SETTINGS.iter().map(|setting| setting.key.replace("[]", "")).collect();
    let is_key =
        |word: &str| keys.iter().any(|key| key == word || key.starts_with(&format!("{word}.")));
    let configuration = include_str!("../docs/configuration.md");
    let flags: BTreeSet<&str> =
        rows(configuration, "| flag |").into_iter().map(|row| row[0]).collect();
    let mut words: BTreeSet<&str> = rows(METRICS, "| reason |").iter().map(|row| row[0]).collect();
    words.extend(
        ApiEndpoint::OF_REPORTS.iter().chain(&ApiEndpoint::OF_PLATFORM).map(|it| it.as_str()),
    );
    words.extend(Feed::ALL.iter().map(|feed| feed.as_str()));
    words.extend(ALL.iter().flat_map(|family| family.labels));
    words.extend(["serve", "demo", "history", "check", "simulate", "erase"]);
    words.extend(SETTINGS.iter().filter_map(|setting| setting.key.rsplit('.').next()));
    words.extend(["agent", "aggregate", "buckets"]);
    words.extend(OTHERS_WORDS);
    let sources: String = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("src") || path.starts_with("crates"))
        .map(|(_, text)| text)
        .collect();
    let mut cited = 0;
    for (page, text) in files(&[".md"]) {
        if !page.starts_with("docs/runbooks") {
            continue;
        }
        let (page, prose) = (page.display(), prose(&text));
        for item in prose.split("\n- ").flat_map(|item| item.split("\n\n")) {
            let names = marked(item, '*');
            let named: Vec<&BTreeSet<String>> =
                names.iter().filter_map(|name| panels.get(*name)).collect();
            for name in names.iter().map(|name| name.replace('\n', " ")) {
                cited += 1;
                let is_panel = named.iter().any(|panels| panels.contains(&name));
                assert!(
                    is_panel || panels.contains_key(&name) || PROMETHEUS_PAGES.contains(&&*name),
                    "{page}: *{name}* is neither a dashboard nor a panel of one that is named beside it"
                );
            }
        }
        for word in prose.split(|c: char| !c.is_alphanumeric()) {
            let is_alert = word.strip_prefix("CXone").is_some_and(|rest| rest.len() > 1);
            assert!(!is_alert || alerts.contains(word), "{page}: there is no alert {word}");
        }
        for code in marked(&prose, '`').into_iter().map(|code| code.replace('\n', " ")) {
            cited += 1;
            let key = code.split(':').next().expect("a first part");
            if let Some(call) = exporter_call(&code) {
                let stop = parse_args(&call).err().map(|stop| stop.text);
                assert_eq!(stop, None, "{page}: `{code}`");
            } else if code.starts_with("--") {
                let flag = code.split(['=', ' ']).next().expect("a first part");
                assert!(flags.contains(flag), "{page}: there is no flag `{code}`");
            } else if code.starts_with("docs/") || code.starts_with("alerts/") {
                assert!(root().join(&code).exists(), "{page}: there is no file `{code}`");
            } else if code.contains('…') && !code.contains(['{', '~']) {
                for part in code.split('…').map(str::trim).filter(|part| part.len() > 1) {
                    assert!(sources.contains(part), "{page}: no message says `{part}`");
                }
            } else if key.contains('.')
                && key.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
            {
                let is_file = ["redb", "yml", "md"].iter().any(|end| key.ends_with(end));
                assert!(is_file || is_key(key), "{page}: there is no key `{code}`");
            } else if code.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte)) {
                let is_metric = code.starts_with("cxone_");
                let is_known = words.contains(&*code) || is_key(&code);
                assert!(is_metric || is_known, "{page}: `{code}` is not a reason, label or key");
            }
        }
    }
    assert!(cited > 100, "only {cited}");
}

#[test]
fn a_base_url_makes_every_runbook_url_absolute() {
    let rules =
        fs::read_to_string(root().join("alerts/cxone-exporter.rules.yml")).expect("the rules");
    let command = "'s#runbook_url: #&https://git.example.org/cxone-exporter/#'";
    let readme = fs::read_to_string(root().join("alerts/README.md")).expect("the page");
    assert!(rules.contains(command) && readme.contains(command));
    let put = Command::new("sed")
        .arg(command.trim_matches('\''))
        .arg(root().join("alerts/cxone-exporter.rules.yml"))
        .output()
        .expect("sed is there");
    let put = String::from_utf8(put.stdout).expect("text");
    let named: Vec<&str> =
        put.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    assert!(named.len() > 20);
    for url in named {
        let path = url.strip_prefix("https://git.example.org/cxone-exporter/");
        assert!(path.is_some_and(|path| root().join(path).exists()), "{url}");
    }
}

/// The words of a shell's command line, up to its redirection, pipe or comment; variables stay as
/// they are.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '|' | '>' | '<' | '&' | ';' | '#') => break,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, _) if c.is_whitespace() => words.push(String::new()),
            (None | Some(_), _) => words.last_mut().expect("never empty").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The arguments that a shell line passes to the exporter, its name first.
fn exporter_call(line: &str) -> Option<Vec<String>> {
    let words = words(line);
    let starts = match words.first()?.as_str() {
        "cargo" if words.get(1).is_some_and(|word| word == "run") => {
            words.iter().position(|word| word == "--")?
        }
        "docker" if words.get(1).is_some_and(|word| word == "run") => {
            words.iter().rposition(|word| word == "cxone-exporter")?
        }
        program if Path::new(program).file_name()? == "cxone-exporter" => 0,
        _ => return None,
    };
    Some(
        std::iter::once("cxone-exporter".to_owned())
            .chain(words.into_iter().skip(starts + 1))
            .collect(),
    )
}

#[test]
fn shell_lines_are_split_as_a_shell_splits_them() {
    let call = |line| exporter_call(line).map(|words| words.join(" "));
    assert_eq!(
        call("cxone-exporter history --user 'a b' > c.csv"),
        Some("cxone-exporter history --user a b".to_owned())
    );
    assert_eq!(call("cargo run --release -- demo | head"), Some("cxone-exporter demo".to_owned()));
    assert_eq!(
        call("docker run -v \"$PWD/cxone-exporter:/x\" cxone-exporter serve # there"),
        Some("cxone-exporter serve".to_owned())
    );
    assert_eq!(call("docker build -t cxone-exporter ."), None);
    assert_eq!(call("curl -s http://127.0.0.1/cxone-exporter"), None);
}

#[test]
fn every_command_line_in_the_documentation_is_accepted() {
    let mut calls = BTreeSet::new();
    for (page, text) in files(&[".md"]) {
        for line in blocks(&text, "sh").concat() {
            let Some(call) = exporter_call(line) else { continue };
            if let Err(stop) = parse_args(&call) {
                assert_eq!(stop.code, 0, "{}: {line}\n{}", page.display(), stop.text);
            }
            calls.insert(call.get(1).cloned().unwrap_or_default());
        }
    }
    let commands =
        ["--version", "check", "demo", "history", "serve", "simulate"].map(str::to_owned);
    assert!(calls.is_superset(&BTreeSet::from(commands)), "{calls:?}");
}

#[test]
fn every_configuration_in_the_documentation_is_valid() {
    let mut seen = 0;
    for (page, text) in files(&[".md"]) {
        for block in
            blocks(&text, "yaml").into_iter().filter(|block| block.first() == Some(&"api:"))
        {
            seen += 1;
            let text = block.join("\n");
            let file = ConfigText { name: "cxone-exporter.yml", text: &text };
            let read =
                Config::parse(Some(file), &Overrides::default(), TargetsNeeded::Yes, |_, _| {
                    Ok("s3cret".to_owned())
                });
            assert!(
                read.is_ok_and(|(_, warnings)| warnings.is_empty()),
                "{}:\n{text}",
                page.display()
            );
        }
    }
    assert!(seen > 0);
}

#[test]
fn every_package_has_the_version_of_the_crate() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, said) in [
        ("Dockerfile", format!("org.opencontainers.image.version=\"{version}\"")),
        ("deploy/helm/cxone-exporter/Chart.yaml", format!("\nversion: {version}\n")),
        ("deploy/helm/cxone-exporter/Chart.yaml", format!("\nappVersion: {version}\n")),
        ("deploy/debian/changelog", format!("cxone-exporter ({version}-1) ")),
        ("deploy/compose/compose.yml", format!("image: cxone-exporter:{version}\n")),
    ] {
        let text = fs::read_to_string(root().join(file)).expect("text");
        assert!(text.contains(&said), "{file}: no {said}");
    }
}

/// The rows of every table whose head begins with `head`, a cell without its backticks each.
fn rows<'a>(markdown: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let mut rows = Vec::new();
    let mut within = false;
    for line in markdown.lines() {
        if line.starts_with(head) {
            within = true;
        } else if !line.starts_with('|') {
            within = false;
        } else if within && !line.starts_with("|---") {
            rows.push(
                line.trim_matches('|')
                    .split('|')
                    .map(|cell| cell.trim().trim_matches('`'))
                    .collect(),
            );
        }
    }
    rows
}

#[test]
fn the_documented_metrics_are_the_real_ones_with_their_types_and_labels() {
    let documented: BTreeSet<(&str, &str, String)> = rows(METRICS, "| name | type | labels |")
        .iter()
        .map(|row| (row[0], row[1], row[2].to_owned()))
        .collect();
    let kind = |kind| match kind {
        FamilyKind::Gauge => "gauge",
        FamilyKind::Counter => "counter",
        FamilyKind::Histogram => "histogram",
        FamilyKind::Info => "info",
    };
    let real: BTreeSet<(&str, &str, String)> = ALL
        .iter()
        .map(|family| (family.name, kind(family.kind), family.labels.join(", ")))
        .collect();
    assert_eq!(documented, real);
}

#[test]
fn the_documented_meaning_of_a_metric_begins_with_its_help() {
    let documented: BTreeMap<&str, &str> =
        rows(METRICS, "| name | type | labels |").iter().map(|row| (row[0], row[3])).collect();
    for family in ALL {
        let help = family.help;
        let rest = documented[family.name].strip_prefix(help);
        let more = rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with([';', ',', ':', '.']) || rest.starts_with(" (")
        });
        assert!(
            more,
            "{}: HELP is {help:?}, the documentation says {:?}",
            family.name, documented[family.name]
        );
    }
}

#[test]
fn the_example_of_a_metric_uses_it() {
    for row in rows(METRICS, "| name | type | labels |") {
        assert!(row.len() == 5 && row[3].len() > 5 && row[4].contains(row[0]), "{row:?}");
    }
}

#[test]
fn the_documented_reasons_are_the_real_ones() {
    let documented: BTreeSet<&str> = rows(METRICS, "| reason |").iter().map(|row| row[0]).collect();
    let real = FailureReason::ALL
        .map(FailureReason::as_str)
        .into_iter()
        .chain(RowRejection::ALL.map(RowRejection::as_str))
        .chain(DateFault::ALL.map(DateFault::as_str));
    assert_eq!(documented, real.collect());
}

/// The metrics that a text names, without a histogram's endings; names of other things that begin
/// alike are omitted, and so are those of recording rules, which have colons.
fn named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (start, _) in text.match_indices("cxone_") {
        let before = text[..start].chars().next_back();
        let name: String =
            text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let after = &text[start + name.len()..];
        let whole =
            !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '/' | '-' | ':'));
        // A pattern such as `^cxone_agent` or `cxone_*` matches many.
        let pattern = before == Some('^') || name.ends_with('_');
        if whole && !pattern && !after.starts_with(".py") && !after.starts_with("::") {
            names.insert(name);
        }
    }
    names
}

#[test]
fn documentation_alerts_and_dashboards_name_only_existing_metrics() {
    let mut known: BTreeSet<String> = ALL.iter().map(|family| family.name.to_owned()).collect();
    for histogram in ALL.iter().filter(|family| family.kind == FamilyKind::Histogram) {
        known.extend(
            ["_bucket", "_sum", "_count"].map(|ending| format!("{}{ending}", histogram.name)),
        );
    }
    let mut seen = BTreeSet::new();
    for (file, text) in files(&[".md", ".yml", ".yaml", ".json"]) {
        for name in named(&text) {
            assert!(known.contains(&name), "{}: {name}", file.display());
            seen.insert(name);
        }
    }
    assert!(seen.len() > 40, "{seen:?}");
}

#[test]
fn the_documented_faults_are_the_real_ones_with_their_probabilities() {
    let (some, many) = (Faults::some(), Faults::many());
    let of_requests = RequestFault::ALL
        .map(|fault| (fault.name(), some.probability(fault), many.probability(fault)));
    let of_rows = RowFault::ALL
        .map(|fault| (fault.name(), some.row_probability(fault), many.row_probability(fault)));
    let quirks = Quirk::ALL
        .map(|quirk| (quirk.name(), some.quirk_probability(quirk), many.quirk_probability(quirk)));
    let real = of_requests
        .into_iter()
        .chain(of_rows)
        .chain(quirks)
        .map(|(name, some, many)| vec![name.to_owned(), some.to_string(), many.to_string()]);
    let documented = rows(SIMULATOR, "| fault |")
        .into_iter()
        .map(|row| row[..3].iter().map(|cell| (*cell).to_owned()).collect());
    assert_eq!(documented.collect::<Vec<Vec<String>>>(), real.collect::<Vec<_>>());
}

#[test]
fn the_documented_fault_durations_are_the_real_ones() {
    let faults = Faults::default();
    let real = [
        ("retry-after", faults.retry_after),
        ("slow-by", faults.slow_by),
        ("late-by", faults.late_by),
        ("revised-for", faults.revised_for),
    ];
    let real = real
        .map(|(name, span)| vec![name.to_owned(), humantime::format_duration(span).to_string()]);
    let documented = rows(SIMULATOR, "| name | default |")
        .into_iter()
        .map(|row| row[..2].iter().map(|cell| (*cell).to_owned()).collect());
    assert_eq!(documented.collect::<Vec<Vec<String>>>(), real);
}

#[test]
fn the_documented_kinds_of_rows_are_the_real_ones() {
    let documented: Vec<&str> = rows(SIMULATOR, "| `--rows` |").iter().map(|row| row[0]).collect();
    assert_eq!(documented, ReportRows::ALL.map(ReportRows::name));
}

/// The arguments of a macro call up to its closing parenthesis, one string each.
fn arguments(call: &str) -> Vec<&str> {
    let (mut arguments, mut begins, mut depth, mut quoted) = (Vec::new(), 0, 0, false);
    let mut chars = call.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted && depth > 0 => depth -= 1,
            ',' | ')' if !quoted && depth == 0 => {
                arguments.push(call[begins..at].trim());
                begins = at + 1;
                if c == ')' {
                    break;
                }
            }
            _ => {}
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    arguments
}

/// Every log message in the sources: its levels and the names of its fields.
fn log_messages() -> BTreeMap<String, (BTreeSet<&'static str>, BTreeSet<String>)> {
    let mut messages = BTreeMap::<_, (BTreeSet<_>, BTreeSet<_>)>::new();
    for (path, text) in files(&[".rs"]) {
        if !path.starts_with("src") || path.to_string_lossy().contains("tests") {
            continue;
        }
        for level in ["error", "warn", "info"] {
            for call in text.split(&format!("tracing::{level}!(")).skip(1) {
                let arguments = arguments(call);
                let (message, fields) = arguments.split_last().expect("a message");
                let message = message.trim_matches('"');
                assert!(
                    !message.contains('{'),
                    "{}: {message}: details belong into fields",
                    path.display()
                );
                let entry = messages.entry(message.to_owned()).or_default();
                entry.0.insert(level);
                let name = |field: &&str| {
                    let name = field.split('=').next().unwrap_or(field);
                    name.trim().trim_start_matches(['%', '?']).to_owned()
                };
                entry.1.extend(fields.iter().map(name));
            }
        }
    }
    messages
}

#[test]
fn the_documented_log_messages_are_the_real_ones_with_their_levels_and_fields() {
    let set = |cell: &str| -> BTreeSet<String> {
        let words = cell.split(',').map(|word| word.trim().trim_matches('`').to_owned());
        words.filter(|word| !word.is_empty()).collect()
    };
    let documented: BTreeMap<String, _> = rows(OPERATIONS, "| message | level | fields |")
        .into_iter()
        .map(|row| (row[0].to_owned(), (set(row[1]), set(row[2]))))
        .collect();
    let real: BTreeMap<String, _> = log_messages()
        .into_iter()
        .map(|(message, (levels, fields))| {
            (message, (levels.into_iter().map(str::to_owned).collect(), fields))
        })
        .collect();
    assert!(real.len() > 20);
    assert_eq!(documented, real);
}

#[test]
fn every_path_that_the_guides_for_developers_name_exists() {
    let folders = ["src", "crates", "tests", "scripts", "fuzz", "benches", "docs", "deploy"];
    let guides = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/design"];
    let mut named = 0;
    for (page, text) in files(&[".md"]) {
        if !guides.iter().any(|guide| page.starts_with(guide)) {
            continue;
        }
        for code in marked(&prose(&text), '`') {
            let is_path = code.split_once('/').is_some_and(|(first, _)| folders.contains(&first));
            if is_path && !code.contains(['*', ' ']) && !code.contains("NAME") {
                named += 1;
                assert!(root().join(code).exists(), "{}: there is no `{code}`", page.display());
            }
        }
    }
    assert!(named > 40, "{named} paths");
}
