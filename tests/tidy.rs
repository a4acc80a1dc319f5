//! Rules of this repository that neither the compiler nor clippy enforces.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cxone_exporter::exposition::families::{self, FamilyKind};

/// Every module of the root package, and the modules that it may use. A row names rows above it
/// only, so the graph has no cycle. What the crates may use, their manifests say.
const ARROWS: [(&str, &[&str]); 17] = [
    ("base_url", &[]),
    ("build_info", &[]),
    ("clock", &[]),
    ("tasks", &[]),
    ("store", &["clock"]),
    ("exposition", &[]),
    ("config", &["base_url"]),
    ("logging", &["clock", "tasks"]),
    ("cxone", &["base_url", "clock"]),
    ("server", &["clock", "config", "exposition", "tasks"]),
    ("telemetry", &["build_info", "cxone", "exposition", "logging"]),
    ("engine", &["clock", "cxone", "store", "tasks", "telemetry"]),
    (
        "app",
        &[
            "build_info",
            "clock",
            "config",
            "cxone",
            "engine",
            "exposition",
            "server",
            "store",
            "tasks",
            "telemetry",
        ],
    ),
    ("reload", &["app", "config", "cxone", "engine", "tasks"]),
    ("cli", &["base_url", "build_info", "config", "logging"]),
    (
        "commands",
        &[
            "app",
            "base_url",
            "build_info",
            "cli",
            "clock",
            "config",
            "cxone",
            "engine",
            "logging",
            "reload",
            "server",
            "store",
            "tasks",
            "telemetry",
        ],
    ),
    ("main", &["cli", "commands", "tasks"]),
];

/// A file of the repository: its path from the root, separated by `/`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines that are not comments, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Complains about every line of code with one of `words`.
    fn must_not_contain(&self, words: &[&str], why: &str) -> Vec<String> {
        let found = |line: &str| words.iter().find(|word| line.contains(**word)).copied();
        self.code()
            .filter_map(|(number, line)| {
                found(line).map(|word| format!("{}:{number}: {word}: {why}", self.path))
            })
            .collect()
    }
}

/// The text files in these folders and files, as far as they exist.
fn sources(places: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = places.iter().map(|place| root.join(place)).collect();
    while let Some(path) = open.pop() {
        if let Ok(entries) = fs::read_dir(&path) {
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust() -> Vec<Source> {
    let found: Vec<Source> = sources(&["src", "crates"])
        .into_iter()
        .filter(|source| source.path.ends_with(".rs"))
        .collect();
    assert!(found.len() > 50, "only {} files: the rules search the wrong folders", found.len());
    found
}

/// Everything that is read or shipped.
fn everything() -> Vec<Source> {
    sources(&[
        "src",
        "crates",
        "tests",
        "dashboards",
        "alerts",
        "docs",
        "examples",
        "deploy",
        "README.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.toml",
        "Dockerfile",
        "clippy.toml",
        "deny.toml",
        ".ci",
        ".dockerignore",
        ".gitignore",
    ])
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn modules_use_only_what_their_row_allows() {
    let mut complaints = Vec::new();
    let mut imports = 0;
    for source in rust() {
        let Some(module) = module_of(&source.path).filter(|module| *module != "lib") else {
            continue;
        };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            complaints.push(format!("{}: {module} has no row", source.path));
            continue;
        };
        if source.path.contains("/tests") {
            continue;
        }
        for used in used_modules(&source) {
            imports += 1;
            if used != module && !allowed.contains(&&*used) {
                complaints.push(format!("{}: {module} must not use {used}", source.path));
            }
        }
    }
    none(&complaints);
    assert!(imports > 100, "only {imports} imports: the rule looks at the wrong files");
}

#[test]
fn the_allowed_imports_have_no_cycle() {
    for (row, (module, allowed)) in ARROWS.iter().enumerate() {
        for used in *allowed {
            let is_above = ARROWS[..row].iter().any(|(name, _)| name == used);
            assert!(is_above, "{module} uses {used}, whose row is not above it");
        }
    }
}

/// The module of the root package that a file belongs to.
fn module_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split(['/', '.']).next()
}

/// The modules that a file's code names: `crate::a`, `crate::{a, b::c}`.
fn used_modules(source: &Source) -> BTreeSet<String> {
    let code: String = source.code().flat_map(|(_, line)| [line, "\n"]).collect();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut used = BTreeSet::new();
    for root in ["crate::", "cxone_exporter::"] {
        for (at, _) in code.match_indices(root) {
            let within_word = code[..at].ends_with(is_word);
            let rest = &code[at + root.len()..];
            let list = rest.strip_prefix('{').and_then(|list| list.split('}').next());
            let names = list.unwrap_or(rest.split(|c| !is_word(c)).next().unwrap_or_default());
            let first = |path: &str| path.trim().split("::").next().map(str::to_owned);
            if !within_word {
                used.extend(names.split(',').filter_map(first).filter(|name| !name.is_empty()));
            }
        }
    }
    used
}

#[test]
fn the_log_names_a_target_under_one_key() {
    let complaints =
        rust().into_iter().filter(|source| source.path.ends_with(".rs")).flat_map(|source| {
            source.must_not_contain(&["(target_name =", "(target_place ="], "the key is `target`")
        });
    none(&complaints.collect::<Vec<_>>());
}

#[test]
fn no_name_is_vague() {
    let mut complaints = Vec::new();
    for source in rust() {
        complaints.extend(source.must_not_contain(
            &["mod utils", "mod util;", "mod common", "mod helpers", "fn get_"],
            "name what it is for",
        ));
        let types = source.code().filter(|(_, line)| {
            line.contains("struct ") && (line.contains("Manager") || line.contains("Helper"))
        });
        complaints.extend(
            types.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())),
        );
    }
    none(&complaints);
}

#[test]
fn nothing_is_unfinished_and_no_local_path_is_named() {
    // Put together here, so that this file does not contain them.
    let words =
        ["TO", "FIX", "XX"].into_iter().zip(["DO", "ME", "X"]).map(|(a, b)| format!("{a}{b}"));
    let paths =
        ["root", "home", "Users", "work", "tmp/wt"].into_iter().map(|folder| format!("/{folder}/"));
    let wanted: Vec<String> =
        words.chain(paths).chain(["unimplemented!", "todo!"].map(str::to_owned)).collect();
    let mut complaints = Vec::new();
    for source in everything().into_iter().filter(|source| source.path != "tests/tidy.rs") {
        for (number, line) in source.text.lines().enumerate() {
            let found = wanted.iter().filter(|word| has(line, word));
            complaints
                .extend(found.map(|word| {
                    format!("{}:{}: {word}: {}", source.path, number + 1, line.trim())
                }));
        }
    }
    none(&complaints);
}

/// Words that established terms have replaced, in two parts, so that this file does not contain
/// them.
const OLD_WORDS: [(&str, &str); 18] = [
    ("to", "ld"),
    ("te", "ll"),
    ("tel", "ls"),
    ("tel", "ling"),
    ("rest", "ing"),
    ("asl", "eep"),
    ("ve", "il"),
    ("vei", "led"),
    ("stand", "ings"),
    ("be", "fell"),
    ("be", "falls"),
    ("so", " many"),
    ("of", " late"),
    ("goes", " by"),
    ("asked for", " again"),
    ("nine", " of ten"),
    ("read", " again"),
    ("kept", "_as"),
];

#[test]
fn none_of_the_old_words_is_used() {
    let words = OLD_WORDS.map(|(first, second)| format!("{first}{second}"));
    let mut complaints = Vec::new();
    let code = sources(&["scripts", "benches", "fuzz/bodies"]);
    for source in everything().into_iter().chain(code) {
        for (number, line) in source.text.lines().enumerate() {
            let line = snake_case(line);
            let used = words.iter().filter(|word| is_word_of(&line, word));
            complaints.extend(used.map(|word| format!("{}:{}: {word}", source.path, number + 1)));
        }
    }
    none(&complaints);
}

#[test]
fn words_are_found_within_identifiers() {
    for (line, is_found) in [
        ("an old word", true),
        ("let word_count = 1;", true),
        ("struct OldWord;", true),
        ("Words and a sword, swordfish", false),
    ] {
        assert_eq!(is_word_of(&snake_case(line), "word"), is_found, "{line}");
    }
}

/// `line` in lower case, with `_` between the words of a name in camel case.
fn snake_case(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut follows_lower = false;
    for c in line.chars() {
        if follows_lower && c.is_uppercase() {
            text.push('_');
        }
        follows_lower = c.is_lowercase();
        text.extend(c.to_lowercase());
    }
    text
}

/// Whether `word` is in `line` and not a part of another word; `_` separates words.
fn is_word_of(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(word).any(|(start, _)| {
        !is_part(line[..start].chars().next_back())
            && !is_part(line[start + word.len()..].chars().next())
    })
}

/// Whether `word` is in `line`, but not a part of another word, of an address or of a longer path.
fn has(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_./}$~".contains(c));
    line.match_indices(word).any(|(start, _)| {
        let (before, after) =
            (line[..start].chars().next_back(), line[start + word.len()..].chars().next());
        !inside(before)
            && (word.ends_with(['/', '(', '!']) || !after.is_some_and(char::is_alphanumeric))
    })
}

/// The metric names in a text. One that ends in `_` is a prefix of several and is skipped.
fn metric_names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (start, _) in text.match_indices("cxone_") {
        let within = text[..start]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || "_/.-:".contains(c));
        let name: String =
            text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let is_path = text[start + name.len()..].starts_with(".py")
            || text[start + name.len()..].starts_with("::");
        if !within && !is_path && !name.ends_with('_') {
            names.insert(name);
        }
    }
    names
}

fn documents() -> Vec<Source> {
    sources(&["dashboards", "alerts", "docs", "README.md", "ARCHITECTURE.md"])
}

#[test]
fn every_documented_metric_exists() {
    let mut exist: BTreeSet<String> = BTreeSet::new();
    for family in families::ALL {
        let suffixes: &[&str] = if family.kind == FamilyKind::Histogram {
            &["", "_bucket", "_sum", "_count"]
        } else {
            &[""]
        };
        exist.extend(suffixes.iter().map(|suffix| format!("{}{suffix}", family.name)));
    }
    let mut complaints = Vec::new();
    let mut seen = 0;
    for source in documents() {
        for name in metric_names(&source.text) {
            seen += 1;
            if !exist.contains(&name) && name != "cxone_exporter" {
                complaints.push(format!("{}: {name} does not exist", source.path));
            }
        }
    }
    none(&complaints);
    assert!(seen > 50, "only {seen} names: the rule searches the wrong files");
}

#[test]
fn every_metric_is_documented() {
    let spoken: String = documents().into_iter().map(|source| source.text).collect();
    let names = metric_names(&spoken);
    let of = |family: &families::Family| {
        names
            .iter()
            .any(|name| name == family.name || name.starts_with(&format!("{}_", family.name)))
    };
    let silent =
        families::ALL.iter().filter(|family| family.name.starts_with("cxone_") && !of(family));
    none(
        &silent
            .map(|family| format!("{} is in no dashboard, alert or document", family.name))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_two_types_have_the_same_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in rust() {
        for (number, line) in source.code() {
            // An indented `type` is a trait's, such as `type Error`.
            let words = line.trim_start_matches("pub").trim_start();
            let words =
                words.split_once(") ").filter(|_| words.starts_with('(')).map_or(words, |it| it.1);
            let declared = ["struct ", "enum ", "trait ", "type "]
                .iter()
                .filter(|keyword| **keyword != "type " || !line.starts_with(' '))
                .find_map(|keyword| words.trim_start().strip_prefix(*keyword));
            if let Some(rest) = declared {
                let name = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
                places.entry(name).or_default().push(format!("{}:{number}", source.path));
            }
        }
    }
    assert!(places.len() > 300, "only {} types: the rule does not see them", places.len());
    let doubled = places.iter().filter(|(_, places)| places.len() > 1);
    none(
        &doubled.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect::<Vec<_>>(),
    );
}
