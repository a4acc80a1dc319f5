//! The documentation of the configuration and the example match the code.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use clap::CommandFactory;
use cxone_exporter::cli::Cli;
use cxone_exporter::config::web::WebConfig;
use cxone_exporter::config::{
    Config, ConfigText, DialectName, Flags, Overrides, RowKind, SETTINGS, Setting, TargetsNeeded,
    WEB_SETTINGS, WRAP_UP, environment_variables, load,
};

const DOCUMENT: &str = include_str!("../docs/configuration.md");
const EXAMPLE: &str = include_str!("../examples/cxone-exporter.yml");

/// The cells of the table under `heading`, a row each, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) =
        DOCUMENT.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let rows = section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The text between a cell's backticks.
fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}

fn parse(text: &str) -> Config {
    let overrides = Overrides::new(&Flags::default(), |_| None);
    let read_secret = |path: &Path, _| {
        assert_eq!(path, Path::new("/etc/cxone/client-secret"));
        Ok("s3cret\n".to_owned())
    };
    let file = ConfigText { name: "/etc/cxone/exporter.yml", text };
    let (config, warnings) = Config::parse(Some(file), &overrides, TargetsNeeded::Yes, read_secret)
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(warnings, Vec::<String>::new());
    config
}

const NEEDED: &str = "api: {tenant: acme, client_id: my-client, client_secret_file: client-secret}\ntargets: [{user: user-abc-123}]\n";

/// All sections with defaults, as comparable text.
fn settings(config: &Config) -> String {
    let Config { poll, jobs, quota, states, metrics, .. } = config;
    format!(
        "{poll:#?}{jobs:#?}{quota:#?}{states:#?}{metrics:#?}{:#?}{:#?}",
        config.api.rows, config.api.dialect
    )
}

/// The table that the documentation should have of `settings`.
fn reference(settings: &[Setting]) -> String {
    let mut table =
        "| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n".to_owned();
    for setting in settings {
        let (kind, bounds) = setting.type_and_bounds();
        let default = match setting.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let only = setting
            .dialect
            .map_or_else(String::new, |dialect| format!(" (`{}` only)", dialect.as_str()));
        let Setting { key, help, .. } = setting;
        let row = format!("| `{key}` | {kind} | {default} | {bounds} | {help}{only} |\n");
        table.push_str(&row.replace("|  |", "| |").replace("|  |", "| |"));
    }
    table
}

#[test]
fn the_reference_of_keys_is_the_table_of_settings() {
    let web = include_str!("../docs/web-configuration.md");
    for (page, document, settings) in [
        ("configuration.md", DOCUMENT, SETTINGS.as_slice()),
        ("web-configuration.md", web, WEB_SETTINGS.as_slice()),
    ] {
        let table = reference(settings);
        assert!(document.contains(&table), "docs/{page} must contain this table:\n{table}");
    }
}

#[test]
fn the_defaults_of_the_table_are_those_of_an_absent_key() {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let of_reports = |setting: &&Setting| {
        !setting.default.is_empty() && setting.dialect != Some(DialectName::Platform)
    };
    for Setting { key, default, .. } in SETTINGS.iter().filter(of_reports) {
        let (section, key) = key.split_once('.').expect("every key with a default is in a section");
        sections.entry(section.to_owned()).or_default().push(format!("  {key}: {default}\n"));
    }
    let needed = ["tenant: acme", "client_id: my-client", "client_secret_file: client-secret"]
        .map(|line| format!("  {line}\n"));
    sections.entry("api".to_owned()).or_default().extend(needed);
    let mut text = "targets: [{user: user-abc-123}]\n".to_owned();
    for (section, lines) in sections {
        text.push_str(&format!("{section}:\n{}", lines.concat()));
    }
    assert_eq!(settings(&parse(&text)), settings(&parse(NEEDED)));
}

#[test]
fn the_example_shows_every_key_and_the_defaults() {
    let example = parse(EXAMPLE);
    assert_eq!(settings(&example), settings(&parse(NEEDED)));
    assert_eq!(example.api.address().to_string(), "https://acme.api.cxone.com");
    assert_eq!(example.api.rows, RowKind::Intervals);
    let names: Vec<&str> = example.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["user:user-abc-123", "support"]);
    assert_eq!(
        example.states.limits,
        BTreeMap::from([(WRAP_UP.to_owned(), Duration::from_secs(300))])
    );
    for Setting { key, .. } in SETTINGS {
        let name = key.rsplit('.').next().unwrap();
        let name = name.trim_start_matches("targets[].");
        assert!(EXAMPLE.contains(&format!("{name}:")), "the example does not show {key}");
    }
}

/// The table that the documentation should have of all flags, made of the command line's help.
fn reference_of_flags() -> String {
    let mut program = Cli::command();
    program.build();
    let commands: Vec<_> =
        program.get_subcommands().filter(|command| command.get_name() != "help").collect();
    // A command with commands of its own has no flags but theirs.
    let below = commands.iter().flat_map(|command| {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        below.map(move |below| (format!("{} {}", command.get_name(), below.get_name()), below))
    });
    let commands: Vec<(String, &clap::Command)> = commands
        .iter()
        .filter(|command| !command.has_subcommands())
        .map(|command| (command.get_name().to_owned(), *command))
        .chain(below)
        .collect();
    // In the order of the help; a flag of several commands that means the same stands once.
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for (command_name, command) in &commands {
        let flags = command.get_arguments().filter(|flag| {
            !flag.is_positional() && !matches!(flag.get_id().as_str(), "help" | "version")
        });
        for flag in flags {
            let default =
                flag.get_default_values().iter().filter(|_| flag.get_action().takes_values());
            let default: String =
                default.map(|value| format!("`{}`", value.to_string_lossy())).collect();
            let required = if flag.is_required_set() { " (required)" } else { "" };
            let help = flag.get_help().expect("every flag has help");
            let cells = format!("{default} | {help}{required} |").replace("<", "\\<");
            let name = format!("`--{}`", flag.get_long().expect("every flag is long"));
            let row = (format!("| {name} | COMMANDS | {cells}\n"), format!("`{command_name}`"));
            match rows.iter_mut().find(|(known, _)| *known == row.0) {
                Some((_, commands)) => commands.push(row.1),
                None => rows.push((row.0, vec![row.1])),
            }
        }
    }
    let mut table = "| flag | commands | default | meaning |\n|---|---|---|---|\n".to_owned();
    for (row, named) in rows {
        let named = if named.len() == commands.len() { "all".to_owned() } else { named.join(", ") };
        table.push_str(&row.replace("COMMANDS", &named).replace("|  |", "| |"));
    }
    table
}

#[test]
fn the_reference_of_flags_is_the_help_of_the_command_line() {
    let table = reference_of_flags();
    assert!(DOCUMENT.contains(&table), "docs/configuration.md must contain this table:\n{table}");
}

#[test]
fn the_documented_variables_match_the_code() {
    let rows = table("Environment variables");
    let documented: Vec<&str> = rows
        .iter()
        .flat_map(|row| [code(&row[0]), code(&row[1])])
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(documented, environment_variables().collect::<Vec<_>>());
    let help = Cli::command()
        .find_subcommand_mut("serve")
        .expect("serve is there")
        .render_help()
        .to_string();
    for row in &rows {
        let short = if row[1].is_empty() { &row[0] } else { &row[1] };
        assert!(help.contains(code(short)), "the help of serve does not name {short}");
    }
}

#[test]
fn a_file_is_loaded_with_its_secret_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exporter.yml");
    fs::write(&path, EXAMPLE).unwrap();
    let missing = load(Some(&path), &Flags::default(), TargetsNeeded::Yes).unwrap_err().to_string();
    assert!(
        missing.contains(
            "exporter.yml:10: api.client_secret_file: the file with the secret cannot be read"
        ),
        "{missing}"
    );
    let secret = folder.path().join("client-secret");
    fs::write(&secret, "s3cret\n").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let (config, warnings) = load(Some(&path), &Flags::default(), TargetsNeeded::Yes).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_missing_oversized_or_non_text_file_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exporter.yml");
    let message =
        || load(Some(&path), &Flags::default(), TargetsNeeded::Yes).unwrap_err().to_string();
    assert!(
        message().contains("exporter.yml: the configuration file cannot be read: No such file"),
        "{}",
        message()
    );
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(message().ends_with("it is larger than 1048576 bytes"), "{}", message());
    fs::write(&path, b"api:\n  tenant: \xff\n").unwrap();
    assert!(message().ends_with("exporter.yml:2: is not UTF-8 text"), "{}", message());
}

#[test]
fn the_documented_web_configuration_is_valid_apart_from_missing_files() {
    let document = include_str!("../docs/web-configuration.md");
    let (_, rest) = document.split_once("```yaml\n").expect("the example is there");
    let (text, _) = rest.split_once("```").expect("it ends");
    let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let errors = WebConfig::parse(ConfigText { name: "web.yml", text }, none)
        .expect_err("there are no files")
        .to_string();
    let mistakes: Vec<&str> =
        errors.lines().filter(|line| !line.contains("cannot be read")).collect();
    assert_eq!(mistakes, Vec::<&str>::new());
    assert_eq!(errors.lines().count(), 3, "{errors}");
}
