//! Wrong and right configurations.

mod hostile;
mod platform;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

/// What every right file begins with; the sections after it begin on line 5.
const HEAD: &str = "api:\n  tenant: acme\n  client_id: my-client\n  client_secret_file: secret\n";
const TARGETS: &str = "targets: [{user: user-1}]\n";

fn parse_with(
    text: Option<&str>,
    overrides: &Overrides,
) -> Result<(Config, Vec<String>), ConfigErrors> {
    let file = text.map(|text| ConfigText { name: "c.yml", text });
    Config::parse(file, overrides, TargetsNeeded::Yes, |path, _| match path.to_str() {
        Some("absent") => Err(io::ErrorKind::NotFound.into()),
        Some("id-key") => Ok("sixteen bytes or more\n".to_owned()),
        _ => Ok("s3cret\n".to_owned()),
    })
}

fn parse(text: &str) -> Result<(Config, Vec<String>), ConfigErrors> {
    parse_with(Some(text), &Overrides::default())
}

fn environment(variables: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    |name| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.into())
}

fn oauth(config: &Config) -> &IdAndSecret {
    match &config.api.dialect {
        Dialect::Reports(api) => &api.client,
        Dialect::Platform(api) => api.client.as_ref().expect("a client"),
    }
}

/// The messages about `HEAD`, `TARGETS` and `more`, which begins on line 6.
fn mistakes(more: &str) -> String {
    parse(&format!("{HEAD}{TARGETS}{more}")).expect_err("this is wrong").to_string()
}

#[test]
fn a_minimal_file_has_the_defaults() {
    let (config, warnings) = parse(&format!("{HEAD}{TARGETS}poll:\nstates: ~\n")).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.api.address().to_string(), "https://acme.api.cxone.com");
    assert_eq!(oauth(&config).secret.expose_secret(), "s3cret");
    assert_eq!(
        config.targets,
        [TargetConfig {
            name: "user:user-1".into(),
            filter: ReportFilter { kind: "user".into(), id: "user-1".into() }
        }]
    );
    let seconds = Duration::from_secs;
    let poll = PollConfig {
        interval: seconds(60),
        lookback: seconds(86_400),
        overlap: seconds(900),
        settle_delay: seconds(0),
        retention: seconds(30 * 86_400),
        live_interval: seconds(15),
    };
    assert_eq!(config.poll, poll);
    assert_eq!(config.jobs, JobsConfig { poll_every: seconds(2), timeout: seconds(60) });
    assert_eq!(
        config.quota,
        QuotaConfig { requests_per_minute: 60, report_jobs_per_minute: 10, reserve: 1 }
    );
    assert_eq!(config.states.wrap_up, ["Wrap-up", "ACW", "After Contact Work"]);
    assert_eq!(config.states.limits, BTreeMap::from([("Wrap-up".into(), seconds(300))]));
    let metrics = MetricsConfig {
        detail: Detail::AgentSkill,
        max_series: 200_000,
        agent_info: false,
        agent_ids: AgentIds::Raw,
        max_staleness: seconds(900),
    };
    assert_eq!(config.metrics, metrics);
}

#[test]
fn a_targets_default_name_hides_its_agent_where_ids_are_hashed() {
    let targets =
        "targets: [{user: user-1}, {user: user-2, name: Bo}, {filter: {type: team, id: t}}]\n";
    let (config, _) =
        parse(&format!("{HEAD}{targets}metrics: {{agent_ids: hmac, hmac_key_file: id-key}}\n"))
            .unwrap();
    let key = IdKey::new(b"sixteen bytes or more").unwrap();
    assert_eq!(config.metrics.agent_ids, AgentIds::Hmac(key));
    let names: Vec<&str> = config.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(
        names,
        [&*format!("user:{}", config.metrics.agent_ids.of("user-1")), "Bo", "team:t"]
    );
    assert_eq!(config.targets[0].filter.id, "user-1", "what CXone is asked for is its own id");
}

#[test]
fn all_mistakes_are_reported_in_one_run_by_line() {
    let text = "\
api:
  dialect: cloud
  tenant: acme.api.cxone.com
  client_secret: hunter2
targets:
  - user: user-1
  - name: nobody
poll:
  interval: 0s
  overlpa: 15m
jobs: {poll_every: 60}
";
    let expected = "\
c.yml:1: api.client_id: is missing: set `client_id` under `api`, --api.client-id or CXONE_CLIENT_ID
c.yml:2: api.dialect: `cloud` must be one of `reports`, `platform`
c.yml:3: api.tenant: `acme.api.cxone.com` is not a valid tenant: write its name alone, such as `acme` for https://acme.api.cxone.com \
(1 to 63 letters, digits or `-`); for another address set `base_url`
c.yml:4: api.client_secret: a secret must not be in the configuration: write it to a file of its own and name that file in \
`client_secret_file`, or set CXONE_CLIENT_SECRET
c.yml:7: targets[1]: must have `user: user-…`, or `filter: {type: …, id: …}`
c.yml:9: poll.interval: 0s must be at least 1s
c.yml:10: poll.overlpa: unknown key; did you mean `overlap`?
c.yml:11: jobs.poll_every: `60` has no unit: write `60s` for seconds, or use ms, m, h or d";
    assert_eq!(parse(text).unwrap_err().to_string(), expected);
}

#[test]
fn every_bound_is_kept() {
    for (more, expected) in [
        ("poll: {interval: 31d}", "c.yml:6: poll.interval: 31d must be at most 30d"),
        ("poll: {lookback: 59s, overlap: 1s}", "c.yml:6: poll.lookback: 59s must be at least 1m"),
        ("poll: {overlap: 999ms}", "c.yml:6: poll.overlap: 999ms must be at least 1s"),
        (
            "poll: {overlap: 24h}",
            "c.yml:6: poll.overlap: 1d must be shorter than poll.lookback (1d)",
        ),
        ("poll: {settle_delay: -1s}", "c.yml:6: poll.settle_delay: `-1s` must not be negative"),
        ("poll: {retention: 1h}", "c.yml:6: poll.lookback: 1d must be at most poll.retention (1h)"),
        (
            "poll:\n  lookback: 25h\n  retention: 1d",
            "c.yml:7: poll.lookback: 1d 1h must be at most poll.retention (1d)",
        ),
        (
            "poll: {overlap: 23h 59m 50s}",
            "c.yml:6: poll.lookback: 1d must be at least 1d 5s: less poll.overlap (23h 59m 50s) it leaves 10s of new history in a \
             window, and a target that falls behind would never catch up with poll.interval 1m, 1 target and 9 report jobs a minute",
        ),
        (
            "poll: {lookback: 61s, overlap: 1m}",
            "c.yml:6: poll.lookback: 1m 1s must be at least 1m 15s: less poll.overlap (1m) it leaves 1s of new history in a \
             window, and a target that falls behind would never catch up with poll.interval 1m, 1 target and 9 report jobs a minute",
        ),
        (
            "poll: {interval: 4h, lookback: 1h}",
            "c.yml:6: poll.lookback: 1h must be at least 1h 15m: less poll.overlap (15m) it leaves 45m of new history in a \
             window, and a target that falls behind would never catch up with poll.interval 4h, 1 target and 9 report jobs a minute",
        ),
        ("jobs: {poll_every: 99ms}", "c.yml:6: jobs.poll_every: 99ms must be at least 100ms"),
        ("jobs: {poll_every: 61s}", "c.yml:6: jobs.poll_every: 61s must be at most 1m"),
        (
            "jobs: {poll_every: 10s, timeout: 9s}",
            "c.yml:6: jobs.timeout: 9s must be at least jobs.poll_every (10s)",
        ),
        (
            "quota: {report_jobs_per_minute: 0}",
            "c.yml:6: quota.report_jobs_per_minute: `0` must be a whole number from 1 to 60000",
        ),
        (
            "quota: {report_jobs_per_minute: 60001}",
            "c.yml:6: quota.report_jobs_per_minute: `60001` must be a whole number from 1 to 60000",
        ),
        (
            "quota: {report_jobs_per_minute: 1}",
            "c.yml:6: quota.reserve: 1 must be less than quota.report_jobs_per_minute (1), or no job is left for the targets",
        ),
        (
            "metrics: {max_series: 0}",
            "c.yml:6: metrics.max_series: `0` must be a whole number from 1 to 10000000",
        ),
        (
            "metrics: {max_series: 1e6}",
            "c.yml:6: metrics.max_series: `1e6` must be a whole number from 1 to 10000000",
        ),
        (
            "metrics: {agent_info: yes}",
            "c.yml:6: metrics.agent_info: `yes` must be one of `true`, `false`",
        ),
        (
            "metrics: {agent_ids: hash}",
            "c.yml:6: metrics.agent_ids: `hash` must be one of `raw`, `hmac`",
        ),
        (
            "metrics: {agent_ids: hmac}",
            "c.yml:6: metrics.hmac_key_file: is missing: name a file with a key, which `head -c 32 /dev/urandom | base64` makes",
        ),
        (
            "metrics: {hmac_key_file: key}",
            "c.yml:6: metrics.hmac_key_file: is only used with `agent_ids: hmac`",
        ),
        (
            "metrics: {agent_ids: hmac, hmac_key_file: client-secret}",
            "c.yml:6: metrics.hmac_key_file: the key must have at least 16 bytes",
        ),
        (
            "metrics: {agent_ids: hmac, hmac_key_file: absent}",
            "c.yml:6: metrics.hmac_key_file: the file with the key cannot be read: entity not found",
        ),
        (
            "metrics: {agent_ids: hmac, hmac_key_file: id-key, agent_info: true}",
            "c.yml:6: metrics.agent_info: shows whom `agent_ids: hmac` hides: choose one of them",
        ),
        (
            "metrics: {detail: skill}",
            "c.yml:6: metrics.detail: `skill` must be one of `agent-skill`, `agent`, `aggregate`",
        ),
        ("metrics: {max_staleness: 0s}", "c.yml:6: metrics.max_staleness: 0s must be at least 1s"),
        ("states: {limits: {Break: 0s}}", "c.yml:6: states.limits.Break: 0s must be at least 1s"),
        (
            "states: {limits: {ACW: 1m, Wrap-up: 2m}}",
            "c.yml:6: states.limits.Wrap-up: `Wrap-up` has a limit already, by another of its names",
        ),
        ("states: {wrap_up: [ACW, ACW]}", "c.yml:6: states.wrap_up[1]: `ACW` is a duplicate"),
        ("states: {wrap_up: ['']}", "c.yml:6: states.wrap_up[0]: must have 1 to 256 bytes"),
    ] {
        assert_eq!(mistakes(more), expected, "{more}");
    }
}

#[test]
fn every_wrong_shape_is_reported() {
    for (more, expected) in [
        (
            "poll: 60s",
            "c.yml:6: poll: must be a map with the keys `interval`, `lookback`, `overlap`, `settle_delay`, `retention`, `live_interval`",
        ),
        (
            "poll:\n  interval: [60s]",
            "c.yml:7: poll.interval: must be a single value, not a list or a map",
        ),
        ("poll:\n  interval:", "c.yml:7: poll.interval: has no value"),
        (
            "poll: {interval: 1s}\npoll: {overlap: 1s}",
            "c.yml:7: poll: given twice, first on line 6",
        ),
        (
            "poll: {interval: 1s, interval: 2s}",
            "c.yml:6: poll.interval: given twice, first on line 6",
        ),
        (
            "states: {wrap_up: ACW}",
            "c.yml:6: states.wrap_up: must be a list: write each item on a line of its own after `- `",
        ),
        ("states: {wrap_up: [[a]]}", "c.yml:6: states.wrap_up[0]: must be text"),
        ("states: {limits: [a]}", "c.yml:6: states.limits: must be a map"),
        ("? [a]\n: b", "c.yml:6: a key must be plain text, not a list or a map"),
        (
            "poll: !fast {interval: 1s}",
            "c.yml:6: poll: a tag means nothing here; write a text that begins with `!` in quotes",
        ),
        (
            "stroage: {}",
            "c.yml:6: stroage: unknown key; known keys are `api`, `targets`, `poll`, `jobs`, `quota`, `states`, `metrics`",
        ),
        (
            "a\u{1b}[31m: 1",
            "c.yml:6: a\\u{1b}[31m: unknown key; known keys are `api`, `targets`, `poll`, `jobs`, `quota`, `states`, `metrics`",
        ),
        ("---\npoll: {}", "c.yml:6: a second YAML document begins here; a configuration is one"),
        ("poll: {interval: 60s", "c.yml:7: not YAML: "),
        ("\tpoll: {}", "c.yml:6: not YAML: "),
        ("poll: *nothing", "c.yml:6: not YAML: "),
        ("poll: &p [*p]", "c.yml:6: this alias stands inside of what it names"),
    ] {
        let message = mistakes(more);
        assert!(
            message == expected || (expected.contains("not YAML") && message.starts_with(expected)),
            "{more}: {message}"
        );
    }
    assert_eq!(
        mistakes(&format!("poll: {}", "[".repeat(100))),
        "c.yml:6: nested deeper than 32 levels"
    );
}

#[test]
fn targets_have_distinct_names_and_filters() {
    let targets = |text: &str| parse(&format!("{HEAD}targets:\n{text}"));
    let (config, _) = targets(
        "  - {filter: {type: team, id: 007}, name: support}\n  - filter: {type: user, id: u}\n",
    )
    .unwrap();
    let names: Vec<&str> = config.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["support", "user:u"]);
    assert_eq!(config.targets[0].filter, ReportFilter { kind: "team".into(), id: "007".into() });
    let long = format!("  - {{user: {}}}\n", "x".repeat(252));
    for (text, expected) in [
        (
            "  - user: a\n  - filter: {type: user, id: a}\n",
            "c.yml:7: targets[1].filter.id: user `a` is a target already, on line 6",
        ),
        (
            "  - user: a\n  - {user: b, name: 'user:a'}\n",
            "c.yml:7: targets[1].user: the name `user:a` is taken already, on line 6",
        ),
        (
            "  - {user: a, filter: {type: team, id: b}}\n",
            "c.yml:6: targets[0]: must have either `user` or `filter`, not both",
        ),
        ("  - {filter: {id: b}}\n", "c.yml:6: targets[0].filter.type: is missing"),
        ("  - {user: a, name: ''}\n", "c.yml:6: targets[0].name: is empty"),
        (
            "  - {user: \"a\\nb\"}\n",
            "c.yml:6: targets[0].user: contains control characters or more than one line",
        ),
        (
            "  - user-1\n",
            "c.yml:6: targets[0]: must be a map with the keys `user`, `filter`, `name`",
        ),
        (
            "  - team: t\n    user: a\n",
            "c.yml:6: targets[0].team: unknown key; write `filter: {type: team, id: …}`",
        ),
        (
            &long,
            "c.yml:6: targets[0].user: the label `target` made of it is longer than 256 bytes: give the target a `name`",
        ),
        (
            "  []\n",
            "c.yml:5: targets: are missing: write at least one under `targets` (`- user: user-…`), or set --target.user or \
             CXONE_TARGET_USER",
        ),
    ] {
        assert_eq!(targets(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn an_email_address_for_an_id_is_a_warning() {
    let (_, warnings) = parse(&format!("{HEAD}targets:\n  - user: jo@example.com\n")).unwrap();
    assert_eq!(
        warnings,
        [
            "c.yml:6: targets[0].user: is an e-mail address; CXone needs the internal ID, which begins with `user-`"
        ]
    );
}

#[test]
fn the_address_is_checked_and_a_password_in_it_is_not_repeated() {
    for (url, expected) in [
        ("ftp://h", "must begin with https:// or http:// and name a host"),
        (
            "https://me:hunter2@h",
            "must not contain a user name or a password; credentials are `client_id` and `client_secret_file`",
        ),
        ("https://h/?token=hunter2", "must not contain a query or a fragment"),
        (
            "hunter2",
            "is not a valid URL (relative URL without a base): write it like `https://acme.api.cxone.com`",
        ),
    ] {
        let text =
            format!("api: {{base_url: '{url}', client_id: c, client_secret_file: f}}\n{TARGETS}");
        assert_eq!(
            parse(&text).unwrap_err().to_string(),
            format!("c.yml:1: api.base_url: {expected}")
        );
    }
    let base_url = |url: &str| {
        parse(&format!(
            "api: {{tenant: acme, base_url: '{url}', client_id: c, client_secret_file: f}}\n{TARGETS}"
        ))
    };
    let (config, warnings) = base_url("http://127.0.0.1:8080/proxy").unwrap();
    assert_eq!(config.api.address().to_string(), "http://127.0.0.1:8080/proxy");
    assert_eq!(warnings.len(), 0);
    let (_, warnings) = base_url("http://cxone.example").unwrap();
    assert_eq!(
        warnings,
        [
            "c.yml:1: api.base_url: is http to another machine: the client secret is sent unencrypted"
        ]
    );
}

#[test]
fn buckets_have_no_overlap() {
    let head = HEAD.replace("api:", "api:\n  rows: buckets");
    let (config, warnings) = parse(&format!("{head}{TARGETS}")).unwrap();
    assert_eq!((config.poll.overlap, warnings.len()), (Duration::ZERO, 0));
    let (config, warnings) =
        parse(&format!("{head}{TARGETS}poll: {{overlap: 15m, lookback: 10m}}\n")).unwrap();
    assert_eq!(config.poll.overlap, Duration::ZERO);
    assert_eq!(
        warnings,
        ["c.yml:7: poll.overlap: has no effect with `rows: buckets`, whose windows never overlap"]
    );
}

#[test]
fn a_limit_under_an_alias_is_that_of_wrap_up() {
    let (config, _) =
        parse(&format!("{HEAD}{TARGETS}states: {{limits: {{ACW: 90s, Break: 15m}}}}\n")).unwrap();
    let limits: Vec<(&str, u64)> = config
        .states
        .limits
        .iter()
        .map(|(state, limit)| (state.as_str(), limit.as_secs()))
        .collect();
    assert_eq!(limits, [("Break", 900), ("Wrap-up", 90)]);
}

#[test]
fn the_secret_is_read_relative_to_the_file_and_never_shown() {
    let asked = RefCell::new(PathBuf::new());
    let read = |text: &str, answer: io::Result<String>| {
        let answer = RefCell::new(Some(answer));
        let file = ConfigText { name: "/etc/cxone/c.yml", text };
        Config::parse(Some(file), &Overrides::default(), TargetsNeeded::Yes, |path, _| {
            path.clone_into(&mut asked.borrow_mut());
            answer.borrow_mut().take().expect("asked for once")
        })
    };
    let text = format!("{HEAD}{TARGETS}");
    let (config, _) = read(&text, Ok("hunter2\r\n".into())).unwrap();
    assert_eq!(*asked.borrow(), Path::new("/etc/cxone/secret"));
    assert_eq!(oauth(&config).secret.expose_secret(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    let misplaced = text.replace("client_secret_file: secret", "client_secret_file: hunter2");
    let missing = read(&misplaced, Err(io::ErrorKind::NotFound.into())).unwrap_err().to_string();
    assert_eq!(
        missing,
        "/etc/cxone/c.yml:4: api.client_secret_file: the file with the secret cannot be read: entity not found (relative paths \
         begin at the folder of the configuration file, `/etc/cxone`)"
    );
    for (answer, expected) in [
        ("\n", "is empty"),
        ("hunter2\nx\n", "contains control characters, invisible characters or more than one line"),
        (&"x".repeat(8193), "is longer than 8192 bytes"),
    ] {
        let message = read(&text, Ok(answer.into())).unwrap_err().to_string();
        assert_eq!(
            message,
            format!("/etc/cxone/c.yml:4: api.client_secret_file: the secret {expected}")
        );
    }
}

#[test]
fn flags_or_variables_are_enough_without_a_file() {
    let flags = Flags::default()
        .with("api.base_url", "http://127.0.0.1:8080")
        .with("api.client_id", "c")
        .with_users(vec!["user-1".into(), "user-2".into()]);
    let (config, _) = parse_with(
        None,
        &Overrides::new(&flags, environment(&[("CXONE_CLIENT_SECRET", "from-variable")])),
    )
    .unwrap();
    assert_eq!((config.targets.len(), oauth(&config).secret.expose_secret()), (2, "from-variable"));
    let variables = environment(&[
        ("CXONE_TENANT", "short"),
        ("CXONE_API_TENANT", "long"),
        ("CXONE_CLIENT_ID", "c"),
        ("CXONE_API_CLIENT_SECRET_FILE", "f"),
        ("CXONE_BASE_URL", ""),
        ("CXONE_TARGET_USER", "user-1, user-2,"),
    ]);
    let (config, _) = parse_with(None, &Overrides::new(&Flags::default(), variables)).unwrap();
    assert_eq!(
        (config.api.address().to_string(), config.targets.len()),
        ("https://long.api.cxone.com".to_owned(), 2)
    );
}

#[test]
fn flags_take_precedence_over_the_file_and_the_file_over_variables() {
    let text = format!("{HEAD}{TARGETS}");
    let variables = &[
        ("CXONE_BASE_URL", "http://127.0.0.1:1"),
        ("CXONE_CLIENT_ID", "variable"),
        ("CXONE_CLIENT_SECRET", "v"),
        ("CXONE_TARGET_USER", "user-9"),
    ];
    let (config, _) =
        parse_with(Some(&text), &Overrides::new(&Flags::default(), environment(variables)))
            .unwrap();
    assert_eq!(
        (config.api.address().host(), oauth(&config).id.as_str()),
        ("acme.api.cxone.com", "my-client")
    );
    assert_eq!(
        (config.targets[0].filter.id.as_str(), oauth(&config).secret.expose_secret()),
        ("user-1", "s3cret")
    );
    let flags = Flags::default()
        .with("api.tenant", "other")
        .with("api.client_id", "flag")
        .with_users(vec!["user-7".into()]);
    let (config, _) =
        parse_with(Some(&text), &Overrides::new(&flags, environment(variables))).unwrap();
    assert_eq!(
        (config.api.address().host(), oauth(&config).id.as_str()),
        ("other.api.cxone.com", "flag")
    );
    assert_eq!((config.targets.len(), config.targets[0].name.as_str()), (1, "user:user-7"));
}

#[test]
fn a_mistake_outside_the_file_names_its_flag_or_variable() {
    let flags = Flags::default().with("api.base_url", "ftp://h").with_users(vec![String::new()]);
    let variables = environment(&[
        ("CXONE_CLIENT_ID", "a\nb"),
        ("CXONE_CLIENT_SECRET", "hunter2"),
        ("CXONE_CLIENT_SECRET_FILE", "f"),
    ]);
    let expected = "\
--api.base-url: must begin with https:// or http:// and name a host
CXONE_CLIENT_ID: contains control characters or more than one line
CXONE_CLIENT_SECRET: and CXONE_CLIENT_SECRET_FILE are both set: unset one of them
--target.user: is empty";
    assert_eq!(
        parse_with(None, &Overrides::new(&flags, variables)).unwrap_err().to_string(),
        expected
    );
}

#[test]
fn without_any_value_everything_required_is_reported() {
    for text in [None, Some(""), Some("# nothing\n"), Some("---\n")] {
        let errors = parse_with(text, &Overrides::default()).unwrap_err();
        let keys: Vec<&str> =
            errors.mistakes().iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(
            keys,
            ["api.tenant", "api.client_id", "api.client_secret_file", "targets"],
            "{text:?}"
        );
        assert!(
            errors.mistakes().iter().all(|mistake| mistake.line == text.map(|_| 1)),
            "{errors}"
        );
    }
    let history =
        Config::parse(None, &Overrides::default(), TargetsNeeded::No, |_, _| Ok(String::new()))
            .unwrap_err();
    assert!(!history.to_string().contains("targets"));
}

#[test]
fn every_key_is_known() {
    for key in SETTINGS.map(|setting| setting.key) {
        let (head, name) = key.rsplit_once('.').unwrap();
        let text = match head {
            "targets[]" => format!("targets: [{{{name}: {{}}}}]"),
            "targets[].filter" => format!("targets: [{{filter: {{{name}: {{}}}}}}]"),
            section if name == "limits" => format!("{section}: {{{name}: []}}"),
            section if name == "filter" => format!("{section}: {{{name}: x}}"),
            section => format!("{section}: {{{name}: {{}}}}"),
        };
        let errors = parse(&text).unwrap_err();
        let path = key.replace("[]", "[0]");
        let is_reported =
            |mistake: &&Mistake| mistake.key == path && mistake.message.starts_with("must be");
        assert!(
            key == "states.wrap_up"
                || errors.mistakes().iter().any(|mistake| is_reported(&mistake)),
            "{key}: {errors}"
        );
    }
}

#[test]
fn windows_line_endings_and_a_byte_order_mark_are_allowed() {
    let text = format!("\u{feff}{HEAD}{TARGETS}").replace('\n', "\r\n");
    let (config, _) = parse(&text).unwrap();
    assert_eq!(oauth(&config).id, "my-client");
}

#[test]
fn a_tab_separates_as_a_space_does() {
    let (config, _) = parse(
        "api:\n  tenant:\tacme\n  client_id:\t \tmy-client\t# whose\n  client_secret_file:\tsecret\t\n\
         targets:\n  -\tuser:\tuser-1\n  - {user:\tuser-2,\tname:\t'a: b'}\npoll:\t{interval:\t30s}\n\t\n",
    )
    .unwrap();
    assert_eq!(oauth(&config).id, "my-client");
    let names: Vec<&str> = config.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["user:user-1", "a: b"]);
    assert_eq!(config.poll.interval, Duration::from_secs(30));
}

#[test]
fn words_may_be_written_in_capitals() {
    let more = "metrics: {detail: Agent, agent_info: TRUE, agent_ids: RAW}\n";
    let (config, _) =
        parse(&format!("{HEAD}  rows: Events\n  dialect: Reports\n{TARGETS}{more}")).unwrap();
    assert_eq!((config.api.rows, config.metrics.detail), (RowKind::Events, Detail::Agent));
    assert!(config.metrics.agent_info);
}

#[test]
fn a_flag_and_its_variable_read_several_users_alike() {
    let ids = |config: &Config| -> Vec<String> {
        config.targets.iter().map(|target| target.filter.id.clone()).collect()
    };
    let of_flags = |users: &[&str]| {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        let flags = Flags::default().with_users(users);
        parse_with(Some(&format!("{HEAD}{TARGETS}")), &Overrides::new(&flags, |_| None))
    };
    let list = environment(&[("CXONE_TARGET_USER", "a, b,,c")]);
    let (config, _) = parse_with(Some(HEAD), &Overrides::new(&Flags::default(), list)).unwrap();
    assert_eq!(ids(&config), ["a", "b", "c"]);
    assert_eq!(ids(&of_flags(&["a, b,,c"]).unwrap().0), ["a", "b", "c"]);
    assert_eq!(ids(&of_flags(&["a,b", "c"]).unwrap().0), ["a", "b", "c"]);
    for nobody in ["", ",", " , "] {
        let message = of_flags(&[nobody]).unwrap_err().to_string();
        assert_eq!(message, "--target.user: is empty", "and not the file's targets");
    }
    let nobody = environment(&[("CXONE_TARGET_USER", ",")]);
    let message = parse_with(Some(HEAD), &Overrides::new(&Flags::default(), nobody)).unwrap_err();
    assert_eq!(message.to_string(), "CXONE_TARGET_USER: is empty");
}

#[test]
fn placeholders_are_rejected_with_a_hint_in_every_value() {
    for placeholder in [
        "${CXONE_CLIENT_ID}",
        "${A:-b}",
        "$CLIENT_ID",
        "$(cat id)",
        "%CLIENT_ID%",
        "{{ .Values.id }}",
        "<your-client-id>",
    ] {
        for (text, key) in [
            (
                format!(
                    "api: {{tenant: acme, client_id: '{placeholder}', client_secret_file: s}}\n{TARGETS}"
                ),
                "api.client_id",
            ),
            (
                format!(
                    "api: {{tenant: '{placeholder}', client_id: c, client_secret_file: s}}\n{TARGETS}"
                ),
                "api.tenant",
            ),
            (
                format!(
                    "api: {{base_url: '{placeholder}', client_id: c, client_secret_file: s}}\n{TARGETS}"
                ),
                "api.base_url",
            ),
            (
                format!(
                    "api: {{tenant: acme, client_id: c, client_secret_file: '{placeholder}'}}\n{TARGETS}"
                ),
                "api.client_secret_file",
            ),
            (format!("{HEAD}targets: [{{user: '{placeholder}'}}]\n"), "targets[0].user"),
            (
                format!("{HEAD}targets: [{{filter: {{type: team, id: '{placeholder}'}}}}]\n"),
                "targets[0].filter.id",
            ),
            (
                format!(
                    "{HEAD}{TARGETS}metrics: {{agent_ids: hmac, hmac_key_file: '{placeholder}'}}\n"
                ),
                "metrics.hmac_key_file",
            ),
        ] {
            let message = parse(&text).expect_err(&text).to_string();
            assert!(message.contains(&format!("{key}: ")), "{message}");
            assert!(
                message.contains("is not expanded") || message.contains("placeholder"),
                "{message}"
            );
        }
    }
    for variable in ["CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET", "CXONE_TENANT"] {
        let set = |name: &str| match name {
            _ if name == variable => Some("${UNSET}".into()),
            "CXONE_CLIENT_ID" | "CXONE_TENANT" => Some("acme".into()),
            "CXONE_CLIENT_SECRET" => Some("a$b{c}%d%<e>{{f".into()),
            _ => None,
        };
        let overrides = Overrides::new(&Flags::default(), set);
        let message = parse_with(Some(TARGETS), &overrides).expect_err(variable).to_string();
        assert!(message.starts_with(variable) && message.contains("not expanded"), "{message}");
    }
}

#[test]
fn invisible_characters_are_trimmed_around_a_secret_and_rejected_within_it() {
    let secret = |text: &'static str| {
        let file = ConfigText { name: "c.yml", text: &format!("{HEAD}{TARGETS}") };
        Config::parse(Some(file), &Overrides::default(), TargetsNeeded::Yes, |_, _| {
            Ok(text.to_owned())
        })
        .map(|(config, _)| oauth(&config).secret.expose_secret().to_owned())
        .map_err(|errors| errors.to_string())
    };
    for text in [
        "\u{feff}s3cret",
        "s3cret\r\n",
        "s3cret\n\n",
        " s3cret\t",
        "\u{a0}s3cret\u{200b}",
        "\u{feff}\u{200e} s3cret\u{feff}\n",
    ] {
        assert_eq!(secret(text), Ok("s3cret".to_owned()), "{text:?}");
    }
    for text in ["s3\u{200b}cret", "s3\u{feff}cret", "s3\ncret", "s3\u{ad}cret", "\u{feff}\n", ""] {
        let message = secret(text).expect_err(text);
        assert!(!message.contains("s3"), "{message}");
    }
    let invisible = format!("{HEAD}targets: [{{user: \"user\u{200b}-1\"}}]\n");
    let message = parse(&invisible).unwrap_err().to_string();
    assert!(message.contains("invisible character U+200B"), "{message}");
}

#[test]
fn no_message_repeats_what_may_be_a_secret() {
    for text in [
        "api: {tenant: 'https://me:hunter2@acme.api.cxone.com'}",
        "api: {base_url: 'https://me:hunter2@acme.api.cxone.com:x'}",
        "api: {tenant: acme, client_secret_file: !hunter2}",
        "api: {tenant: acme, client_id: *hunter2}",
        "api: {tenant: acme, 'https://me:hunter2@host': x}",
        "api: {dialect: 'x:hunter2@y'}",
        "api: {tenant: \"-----BEGIN PRIVATE KEY----- hunter2\"}",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        "hunter2",
        "- hunter2",
        "api: hunter2",
        "poll: {interval: 'postgres://me:hunter2@host/db'}",
    ] {
        let message = parse(text).expect_err(text).to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// What is written where a value is expected, with `SECRET` in it.
const MISPLACED: [&str; 12] = [
    "SECRET",
    "\"SECRET\"",
    "[SECRET]",
    "{SECRET: 1}",
    "|\n      SECRET\n      SECRET",
    "*SECRET",
    "!!SECRET",
    "\"SECRET",
    "\"\\qSECRET\"",
    "https://me:SECRET@example.org/x",
    "https://example.org/x?key=SECRET",
    "-5mSECRET",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(3))]
    #[test]
    fn a_secret_in_place_of_any_value_is_in_no_message(
        secret in "[A-Z][a-z][0-9][A-Za-z0-9+]{17,40}",
    ) {
        let is_repeated = |message: &str| {
            secret.as_bytes().windows(8).any(|part| message.contains(std::str::from_utf8(part).unwrap()))
        };
        for key in SETTINGS.iter().chain(&WEB_SETTINGS).map(|setting| setting.key) {
            let mut text = String::new();
            for (depth, part) in key.split('.').enumerate() {
                let (part, item) = part.strip_suffix("[]").map_or((part, ""), |part| (part, "\n  -"));
                let indent = "  ".repeat(depth);
                text.push_str(&format!("{indent}{part}:{item}\n"));
            }
            for shape in MISPLACED {
                let value = shape.replace("SECRET", &secret);
                let text = format!("{} {value}\n", text.trim_end());
                let file = ConfigText { name: "c.yml", text: &text };
                let reported = match parse(&text) {
                    Ok((_, warnings)) => warnings.join("\n"),
                    Err(errors) => errors.to_string(),
                };
                let none = |_: &Path| Err(io::ErrorKind::NotFound.into());
                let reported_for_web = match web::WebConfig::parse(file, none) {
                    Ok((_, warnings)) => warnings.join("\n"),
                    Err(errors) => errors.to_string(),
                };
                proptest::prop_assert!(!is_repeated(&reported), "{key} {shape}: {reported}");
                proptest::prop_assert!(
                    !is_repeated(&reported_for_web),
                    "{key} {shape}: {reported_for_web}"
                );
            }
        }
    }
}
