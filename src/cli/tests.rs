//! Valid and invalid command lines.

use super::*;

fn parse(line: &str) -> Result<Cli, Stop> {
    parse_args(line.split_whitespace())
}

#[test]
fn the_definition_of_commands_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn serve_has_prometheus_defaults() {
    let Command::Serve(serve) = parse("cxone-exporter serve --config.file=c.yml").unwrap().command
    else {
        panic!("serve")
    };
    assert_eq!(
        serve.web.listen_address,
        [Listen::Tcp(ListenAddress::AnyInterface { port: 10_962 })]
    );
    assert_eq!((serve.web.telemetry_path.as_str(), serve.web.max_requests), ("/metrics", 40));
    assert_eq!(serve.config.file, Some(PathBuf::from("c.yml")));
}

#[test]
fn addresses_and_users_are_repeatable() {
    let line = "cxone-exporter serve --web.listen-address=:1 --web.listen-address 127.0.0.1:2 --target.user=a --target.user b";
    let Command::Serve(serve) = parse(line).unwrap().command else { panic!("serve") };
    assert_eq!((serve.web.listen_address.len(), serve.targets.users.len()), (2, 2));
}

#[test]
fn log_flags_may_stand_before_and_after_every_command() {
    for command in ["serve", "demo", "history --user u", "check", "simulate"] {
        for line in [
            format!("--log.level=debug --log.format json {command}"),
            format!("{command} --log.level=debug --log.format=json"),
        ] {
            let cli = parse(&format!("cxone-exporter {line}"))
                .unwrap_or_else(|stop| panic!("{line}: {}", stop.text));
            assert_eq!(
                (cli.log.level, cli.log.format),
                (LogLevel::Debug, LogFormat::Json),
                "{line}"
            );
        }
    }
}

#[test]
fn an_invalid_command_line_exits_with_64() {
    for line in [
        "",
        "serv",
        "serve --web.config.file",
        "serve --web.listen-address=unix:",
        "demo --web.listen-address=unix:/x",
        "serve --web.enable-lifecycles",
        "serve --web.max-requests=0",
        "serve --web.telemetry-path=metrics",
        "serve --web.telemetry-path=/",
        "serve --web.telemetry-path=/-/ready",
        "serve --web.telemetry-path=/-/reload",
        "serve --web.telemetry-path=/-/",
        "serve --web.telemetry-path=/-/metrics",
        "serve --web.telemetry-path=//metrics",
        "serve --web.telemetry-path=/a/../metrics",
        "serve --web.telemetry-path=/./",
        "serve --web.telemetry-path=/metrics?a=b",
        "serve --web.telemetry-path=/metrics%2F",
        "serve --web.telemetry-path=/métriques",
        "serve --web.listen-address=10962",
        "serve --log.level=loud",
        "serve extra",
        "history",
        "history --user u --last 60",
        "history --user u --last 0s",
        "history --user u --format xml",
        "demo --demo.agents=0",
        "simulate --rows visits",
        "simulate --faults trottle=0.1",
        "simulate --quota 0",
        "plan",
        "backfill",
        "erase",
        "store",
        "store copy --from=data",
        "store init --storage.path=data",
    ] {
        let stop = parse(&format!("cxone-exporter {line}")).unwrap_err();
        assert_eq!(stop.code, EXIT_USAGE, "{line}");
        assert!(
            stop.text.ends_with('\n') && stop.text.contains("--help") || line.is_empty(),
            "{line}: {}",
            stop.text
        );
    }
}

#[test]
fn help_and_version_exit_with_0() {
    let stop = parse("cxone-exporter --version").unwrap_err();
    assert_eq!(stop.code, EXIT_OK);
    assert!(
        stop.text.starts_with(concat!(
            "cxone-exporter, version ",
            env!("CARGO_PKG_VERSION"),
            " (branch: "
        )),
        "{}",
        stop.text
    );
    for line in [", revision: ", "\n  rust version:     1.", "\n  platform:         linux/"] {
        assert!(stop.text.contains(line), "{line} is not in {}", stop.text);
    }
    assert_eq!(parse("cxone-exporter serve --version").unwrap_err(), stop);
    for command in [
        "",
        "serve",
        "demo",
        "history",
        "check",
        "simulate",
        "store init",
        "store status",
        "store copy",
    ] {
        let stop = parse(&format!("cxone-exporter {command} --help")).unwrap_err();
        assert_eq!(stop.code, EXIT_OK, "{command}");
        assert!(stop.text.contains("Example"), "{command}");
    }
}

#[test]
fn the_simulators_secret_is_not_in_debug_output() {
    let cli = parse("cxone-exporter simulate --client-secret hunter2").unwrap();
    assert!(!format!("{cli:?}").contains("hunter2"));
}

#[test]
fn history_parses_its_span_and_format() {
    let Command::History(history) =
        parse("cxone-exporter history --user user-1 --last 7d --format csv").unwrap().command
    else {
        panic!("history")
    };
    assert_eq!(
        (history.last, history.format),
        (Duration::from_secs(7 * 86_400), HistoryFormat::Csv)
    );
}

#[test]
fn check_requests_the_health_at_the_default_address_or_the_given_one() {
    for (line, address) in [
        ("--healthy", "http://127.0.0.1:10962"),
        ("--healthy=http://10.0.0.7:9/cxone/", "http://10.0.0.7:9/cxone"),
    ] {
        let Command::Check(check) = parse(&format!("cxone-exporter check {line}")).unwrap().command
        else {
            panic!("check")
        };
        assert_eq!(check.healthy.map(|url| url.to_string()).as_deref(), Some(address));
    }
    for wrong in [
        "--healthy=ftp://localhost",
        "--healthy=localhost:1",
        "--healthy --web.config.file=w.yml",
        "--healthy --live",
        "--healthy --config.file=c.yml",
    ] {
        assert_eq!(
            parse(&format!("cxone-exporter check {wrong}")).unwrap_err().code,
            EXIT_USAGE,
            "{wrong}"
        );
    }
}

#[test]
fn words_are_not_case_sensitive() {
    let cli = parse("cxone-exporter check --log.level=WARN --log.format=JSON").unwrap();
    assert_eq!((cli.log.level, cli.log.format), (LogLevel::Warn, LogFormat::Json));
    for line in
        ["history --user u --format CSV", "demo --dialect Platform", "simulate --rows Events"]
    {
        parse(&format!("cxone-exporter {line}")).unwrap_or_else(|stop| panic!("{}", stop.text));
    }
}

#[test]
fn no_message_repeats_a_password() {
    for line in [
        "check --healthy=https://me:hunter2@localhost",
        "check --healthy=me:hunter2@localhost:1",
        "serve --web.listen-address=http://me:hunter2@localhost:1",
        "serve --api.client-secret=hunter2",
        "serve --api.base-url=x --api.client-secret hunter2",
    ] {
        let text = parse(&format!("cxone-exporter {line}")).unwrap_err().text;
        assert!(!text.contains("hunter2"), "{text}");
    }
}
