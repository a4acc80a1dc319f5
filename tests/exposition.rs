//! The page as its readers see it: valid in both formats, even with hostile names, and complete
//! with every way of decompressing it.

#[path = "support/strict.rs"]
mod strict;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cxone_core::counts::VisitDurations;
use cxone_core::live::Feed;
use cxone_core::live::{SkillSeries, TeamAgents};
use cxone_core::names::LabelSets;
use cxone_core::names::label_value;
use cxone_core::page::snapshot::{
    AgentSeries, FeedSeries, LabelSeries, LiveSeries, Shard, SkillAgents, Snapshot, StateSeries,
    TargetSeries,
};
use cxone_core::time::Timestamp;
use cxone_exporter::exposition::families::{self, FamilyKind, FamilySource};
use cxone_exporter::exposition::{Format, Page, render};
use proptest::prelude::*;
use strict::Dialect;

const FORMATS: [(Format, Dialect); 2] =
    [(Format::OpenMetrics, Dialect::OpenMetrics), (Format::Text, Dialect::Text)];

const OWN: &str = "# HELP cxone_report_jobs Report jobs.\n# TYPE cxone_report_jobs counter\ncxone_report_jobs_total 3\n\
    # HELP cxone_exporter_build Build.\n# TYPE cxone_exporter_build info\ncxone_exporter_build_info{version=\"1\"} 1\n# EOF\n";

fn snapshot(agents: &[&str], states: &[&str], skill: &str) -> Snapshot {
    let time = |millis| Some(Timestamp::from_millis(millis));
    let name = |text: &str| Arc::<str>::from(label_value(text));
    let unique =
        |names: &[&str]| names.iter().map(|n| name(n)).collect::<std::collections::BTreeSet<_>>();
    let (agents, states) = (unique(agents), unique(states));
    let mut visits = VisitDurations::default();
    visits.observe(Duration::from_millis(4_999));
    visits.observe(Duration::from_secs(9_000));
    Snapshot {
        shards: vec![Shard::of(
            agents
                .iter()
                .map(|agent| AgentSeries {
                    agent: Arc::clone(agent),
                    agent_name: Some(name("Ann \"the\\voice\"\nO'Hara")),
                    observed: time(1_700_000_000_123),
                    labels: states
                        .iter()
                        .map(|state| LabelSeries {
                            state: Arc::clone(state),
                            skill: name(skill),
                            start: time(1_699_999_999_007),
                            window_entries: Some(7),
                            entries: 3,
                            millis: 61_500,
                        })
                        .collect(),
                    states: states.iter().map(|state| (Arc::clone(state), 41_500)).collect(),
                    live: None,
                })
                .collect(),
        )],
        agents_seen: 1,
        state_agents: states.iter().map(|state| (Arc::clone(state), 1)).collect(),
        over_limit: states.iter().map(|state| (Arc::clone(state), 0)).collect(),
        limits: states.iter().map(|state| (Arc::clone(state), Duration::from_secs(300))).collect(),
        skill_agents: states
            .iter()
            .map(|state| SkillAgents { skill: name(skill), state: Arc::clone(state), agents: 1 })
            .collect(),
        states: states
            .iter()
            .map(|state| StateSeries {
                state: Arc::clone(state),
                skill: name(skill),
                entries: 3,
                millis: 61_500,
                visits: visits.clone(),
            })
            .collect(),
        label_sets: vec![LabelSets::new("state_skill", 3, 5_000, 0)],
        state_millis: states.iter().map(|state| (Arc::clone(state), 41_500)).collect(),
        targets: vec![TargetSeries {
            target: name("user:u1"),
            up: true,
            last_success: time(1_700_000_060_000),
            watermark: time(1_700_000_000_123),
            epoch: time(-1),
        }],
        live: Some(LiveSeries {
            feeds: vec![FeedSeries {
                feed: Feed::AgentStates,
                up: true,
                last_success: time(1_700_000_060_000),
            }],
            unavailable: states.iter().map(|state| (Arc::clone(state), 1)).collect(),
            teams: states
                .iter()
                .map(|state| TeamAgents { team: name(skill), state: Arc::clone(state), agents: 1 })
                .collect(),
            skills: vec![SkillSeries {
                skill: name(skill),
                queue: Some(2),
                oldest: time(1_700_000_000_123),
                agents: [Some(1), Some(2), None, Some(3), Some(0), Some(0)],
                inside: Some(8),
                outside: Some(2),
                level: Some(805),
                goal: Some(900),
            }],
            label_sets: Vec::new(),
        }),
        data_watermark: time(1_700_000_000_123),
        series_limit: 200_000,
        series_dropped: 0,
    }
}

fn plain(page: Page) -> String {
    String::from_utf8(page.plain().collect::<Vec<_>>().concat()).expect("pages are UTF-8")
}

fn gzip(page: Page) -> Vec<u8> {
    page.gzip().concat()
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[test]
fn a_full_page_is_valid_in_both_formats_and_contains_every_family() {
    let rendered = render(snapshot(&["user-1", "user-2"], &["Ready", "Wrap-up"], "Sales"), None);
    for (format, dialect) in FORMATS {
        let page = strict::parse(&plain(rendered.page(format, &OWN.into())), dialect).unwrap();
        for family in families::ALL.iter().filter(|f| f.source == FamilySource::Snapshot) {
            let name =
                if dialect == Dialect::OpenMetrics { family.family_name() } else { family.name };
            let (kind, help) =
                page.families.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(*help, format!("{}.", family.help));
            let wanted = match family.kind {
                FamilyKind::Counter => "counter",
                FamilyKind::Histogram => "histogram",
                FamilyKind::Info if dialect == Dialect::OpenMetrics => "info",
                FamilyKind::Info | FamilyKind::Gauge => "gauge",
            };
            assert_eq!(kind, wanted, "{name}");
        }
        let of = |name: &str, set| page.samples.get(&(name.to_owned(), set)).map(String::as_str);
        let agent = || labels([("agent", "user-1"), ("state", "Wrap-up"), ("skill", "Sales")]);
        assert_eq!(
            of("cxone_agent_state_start_timestamp_seconds", agent()),
            Some("1699999999.007")
        );
        assert_eq!(of("cxone_agent_state_seconds_total", agent()), Some("61.500"));
        assert_eq!(of("cxone_agent_state_entries_total", agent()), Some("3"));
        let bucket = |le| labels([("state", "Ready"), ("skill", "Sales"), ("le", le)]);
        let visits = "cxone_state_visit_duration_seconds_bucket";
        assert_eq!(
            [of(visits, bucket("5.0")), of(visits, bucket("7200.0")), of(visits, bucket("+Inf"))],
            [Some("1"), Some("1"), Some("2")]
        );
        assert_eq!(
            of(
                "cxone_state_visit_duration_seconds_sum",
                labels([("state", "Ready"), ("skill", "Sales")])
            ),
            Some("9004.999")
        );
        assert_eq!(
            of("cxone_target_epoch_timestamp_seconds", labels([("target", "user:u1")])),
            Some("-0.001")
        );
        assert_eq!(of("cxone_report_jobs_total", labels([])), Some("3"));
        assert_eq!(
            of("cxone_skill_service_level_ratio", labels([("skill", "Sales")])),
            Some("0.805")
        );
        assert_eq!(
            of(
                "cxone_skill_service_level_contacts",
                labels([("skill", "Sales"), ("result", "outside")])
            ),
            Some("2")
        );
        let activity = |activity| {
            of("cxone_skill_activity_agents", labels([("skill", "Sales"), ("activity", activity)]))
        };
        assert_eq!(
            [activity("acw"), activity("idle"), activity("logged_in")],
            [Some("1"), None, Some("3")]
        );
        assert_eq!(of("cxone_exporter_build_info", labels([("version", "1")])), Some("1"));
        // All samples but the six of the exporter's series and labels and the two of its own part.
        assert_eq!(
            of("cxone_exporter_series", labels([])),
            Some((page.samples.len() - 8).to_string().as_str())
        );
    }
}

#[test]
fn both_formats_contain_the_same_samples() {
    let rendered = render(snapshot(&["user-1"], &["Ready"], ""), None);
    let [openmetrics, text] = FORMATS.map(|(format, dialect)| {
        strict::parse(&plain(rendered.page(format, &OWN.into())), dialect).unwrap().samples
    });
    assert_eq!(openmetrics, text);
}

#[test]
fn an_empty_snapshot_gives_a_valid_page_without_empty_families() {
    let rendered = render(Snapshot::default(), None);
    for (format, dialect) in FORMATS {
        let page =
            strict::parse(&plain(rendered.page(format, &"# EOF\n".into())), dialect).unwrap();
        let mut names: Vec<_> = page.families.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "cxone_agents_seen",
                "cxone_exporter_series",
                "cxone_exporter_series_dropped",
                "cxone_exporter_series_limit"
            ]
        );
    }
}

/// Large enough for several blocks of text and several buffers of the inflater.
fn large() -> Snapshot {
    let agents: Vec<String> = (0..4_000).map(|n| format!("user-{n}")).collect();
    let agents: Vec<&str> = agents.iter().map(String::as_str).collect();
    snapshot(&agents, &["Ready", "Wrap-up", "Break"], "Sales")
}

#[test]
fn the_stitched_gzip_member_is_one_member_and_equals_the_plain_text() {
    for snapshot in [Snapshot::default(), snapshot(&["user-1"], &["Ready"], ""), large()] {
        let rendered = render(snapshot, None);
        for (format, _) in FORMATS {
            let packed = gzip(rendered.page(format, &OWN.into()));
            let text = plain(rendered.page(format, &OWN.into()));
            // Reads the first member only, and checks CRC and length.
            let mut decoder = flate2::bufread::GzDecoder::new(packed.as_slice());
            let mut unpacked = String::new();
            decoder.read_to_string(&mut unpacked).unwrap();
            assert!(unpacked == text, "gzip and plain text differ");
            assert!(decoder.into_inner().is_empty(), "something stands behind the first member");
        }
    }
}

#[test]
fn gzip_and_python_unpack_the_page() {
    let rendered = render(large(), None);
    let packed = gzip(rendered.page(Format::OpenMetrics, &OWN.into()));
    let text = plain(rendered.page(Format::OpenMetrics, &OWN.into()));
    let python = "import sys,zlib;d=zlib.decompressobj(31);sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read())+d.flush());assert d.eof and not d.unused_data";
    let mut tried = 0;
    for (program, arguments) in [("gzip", vec!["-dc"]), ("python3", vec!["-c", python])] {
        if let Some((ok, output)) = run(program, &arguments, &packed) {
            assert!(ok && output == text.as_bytes(), "{program} reads something else");
            tried += 1;
        }
    }
    assert!(tried > 0, "neither gzip nor python3 is installed");
}

#[test]
fn promtool_accepts_text_0_0_4() {
    let rendered =
        render(snapshot(&["user-1", "a\"b\\c\nd", "🎧"], &["Ready", "Wrap-up"], "Sales"), None);
    let page = plain(rendered.page(Format::Text, &OWN.into()));
    let Some((ok, output)) = run("promtool", &["check", "metrics"], page.as_bytes()) else {
        assert!(std::env::var_os("CI").is_none(), "promtool is not installed");
        return;
    };
    assert!(ok, "{}", String::from_utf8_lossy(&output));
}

/// Feeds `input` to a program; its success and what it wrote to both streams. `None` when it is not
/// installed.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<(bool, Vec<u8>)> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    let writer =
        std::thread::Builder::new().spawn(move || stdin.write_all(&input)).expect("a thread");
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("no panic").expect("the program reads its input");
    Some((output.status.success(), [output.stdout, output.stderr].concat()))
}

#[test]
fn the_strict_parser_finds_errors() {
    let head = "# HELP x_total X.\n# TYPE x_total counter\n";
    let other = "# HELP y Y.\n# TYPE y gauge\ny 1\n";
    let histogram = "# HELP h H.\n# TYPE h histogram\n";
    let faults = [
        format!("{head}x_total 1\nx_total 2\n"),
        format!("{head}x_total{{a=\"1\"}} 1\n{other}{head}x_total{{a=\"2\"}} 1\n"),
        format!("{other}x_total 1\n"),
        format!("{head}x_total{{a=\"\\t\"}} 1\n"),
        format!("{head}x_total{{a=\"\"\"}} 1\n"),
        format!("{head}x_total 1"),
        format!("{head}x_total 1 1700000000\n"),
        format!("{head}x_total -1\n"),
        "# HELP x X.\n# TYPE x counter\nx 1\n".to_owned(),
        "# TYPE y gauge\ny 1\n".to_owned(),
        format!(
            "{histogram}h_bucket{{le=\"5\"}} 1\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"
        ),
        format!("{histogram}h_bucket{{le=\"5.0\"}} 1\nh_sum 1\nh_count 1\n"),
        format!(
            "{histogram}h_bucket{{le=\"5.0\"}} 2\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"
        ),
        format!("{other}# EOF\n"),
    ];
    for fault in faults {
        assert!(strict::parse(&fault, Dialect::Text).is_err(), "let pass:\n{fault}");
    }
    for fault in [
        other.to_owned(),
        format!("{other}# EOF"),
        format!("{head}x_total 1\n# EOF\n"),
        format!("# EOF\n{other}# EOF\n"),
    ] {
        assert!(strict::parse(&fault, Dialect::OpenMetrics).is_err(), "let pass:\n{fault}");
    }
    assert!(strict::parse(&format!("{head}x_total 1\n{other}"), Dialect::Text).is_ok());
}

fn hostile() -> impl Strategy<Value = String> {
    let chunk = prop_oneof![
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\n".to_owned()),
        Just("\\n".to_owned()),
        Just("\"} 1\n# EOF\n".to_owned()),
        Just("\u{0}\u{7}\r\u{85}\u{2028}".to_owned()),
        Just("🎧𝄞é".to_owned()),
        Just("\n# TYPE cxone_agents counter\n".to_owned()),
        any::<String>(),
    ];
    prop_oneof![
        9 => prop::collection::vec(chunk.clone(), 0..8).prop_map(|chunks| chunks.concat()),
        1 => chunk.prop_map(|chunk| chunk.repeat(1 + 10_000 / chunk.chars().count().max(1))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn hostile_names_survive_the_round_trip(agents in prop::collection::vec(hostile(), 1..4), state in hostile(), skill in hostile()) {
        let names: Vec<&str> = agents.iter().map(String::as_str).collect();
        let rendered = render(snapshot(&names, &[&state], &skill), None);
        for (format, dialect) in FORMATS {
            let page = strict::parse(&plain(rendered.page(format, &OWN.into())), dialect).map_err(TestCaseError::fail)?;
            for agent in &agents {
                let set = labels([("agent", &*label_value(agent)), ("state", &*label_value(&state)), ("skill", &*label_value(&skill))]);
                let key = ("cxone_agent_state_entries_total".to_owned(), set);
                prop_assert_eq!(page.samples.get(&key).map(String::as_str), Some("3"));
            }
        }
    }
}
