//! The dialect `platform`.

use super::*;

const KEY: &str = "dialect: platform, access_key_id: K, access_key_secret_file: k";

fn api(more: &str) -> Result<(PlatformApi, Config, Vec<String>), String> {
    let (config, warnings) =
        parse(&format!("api: {{{KEY}{more}}}\n")).map_err(|errors| errors.to_string())?;
    let Dialect::Platform(api) = &config.api.dialect else { panic!("platform") };
    Ok((PlatformApi::clone(api), config, warnings))
}

const CLIENT: &str = ", client_id: c, client_secret_file: s";

#[test]
fn a_minimal_file_polls_all_agents_at_cxones_own_hosts() {
    let (api, config, warnings) = api(CLIENT).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(
        (api.issuer.to_string(), api.version, api.base_url),
        ("https://cxone.niceincontact.com".to_owned(), 30, None)
    );
    assert_eq!(
        (api.access_key.id.as_str(), api.access_key.secret.expose_secret(), api.access_key_base),
        ("K", "s3cret", None)
    );
    assert!(api.client.is_some());
    assert_eq!(
        config.targets,
        [TargetConfig {
            name: "all".into(),
            filter: ReportFilter { kind: "all".into(), id: String::new() }
        }]
    );
    assert_eq!(
        (config.poll.settle_delay, config.api.rows),
        (Duration::from_secs(5), RowKind::States)
    );
    assert_eq!(config.quota.requests_per_minute, 60);
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn credentials_go_where_they_were_sent() {
    let (own, ..) =
        api(&format!("{CLIENT}, base_url: 'https://api-na1.niceincontact.com'")).unwrap();
    assert_eq!(own.issuer.to_string(), "https://cxone.niceincontact.com");
    let (foreign, ..) = api(&format!("{CLIENT}, base_url: 'http://127.0.0.1:8080'")).unwrap();
    assert_eq!(foreign.issuer.to_string(), "http://127.0.0.1:8080");
    let (gov, ..) =
        api(&format!("{CLIENT}, issuer: 'https://cxone-gov.niceincontact.com'")).unwrap();
    assert_eq!(gov.issuer.to_string(), "https://cxone-gov.niceincontact.com");
    let (area, ..) = api(", area: na1").unwrap();
    assert_eq!(area.access_key_base.unwrap().to_string(), "https://na1.nice-incontact.com");
    assert!(area.client.is_none());
    let (simulated, ..) = api(", base_url: 'http://127.0.0.1:8080'").unwrap();
    assert_eq!(simulated.access_key_base.unwrap().to_string(), "http://127.0.0.1:8080");
}

#[test]
fn what_is_missing_or_too_much_is_reported() {
    for (more, expected) in [
        (
            "",
            "c.yml:1: api.area: is missing: without `client_id` the token comes from a host of the tenant's area",
        ),
        (", client_id: c", "c.yml:1: api.client_secret_file: is missing"),
        (
            ", client_id: c, client_secret_file: s, area: na1",
            "c.yml:1: api.area: is used without `client_id` only",
        ),
        (
            ", area: 'na1.evil.org'",
            "c.yml:1: api.area: `na1.evil.org` is not a valid area: write it like `na1`",
        ),
        (", area: na1, tenant: acme", "c.yml:1: api.tenant: is not used with `dialect: platform`"),
        (", area: na1, rows: events", "c.yml:1: api.rows: is not used with `dialect: platform`"),
        (
            ", area: na1, version: 0",
            "c.yml:1: api.version: `0` must be a whole number from 1 to 999",
        ),
        (
            ", area: na1, base_url: 'http://127.0.0.1:1', issuer: 'https://cxone.niceincontact.com'",
            "c.yml:1: api.base_url: must be https or http like",
        ),
        (
            ", area: na1, access_key_secret: hunter2",
            "c.yml:1: api.access_key_secret: a secret must not be in the configuration",
        ),
    ] {
        let errors = api(more).map(|_| ()).expect_err(more);
        assert!(errors.starts_with(expected) && !errors.contains("hunter2"), "{more}: {errors}");
    }
    let errors = parse("api: {dialect: platform}").unwrap_err();
    let keys: Vec<&str> = errors.mistakes().iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["api.access_key_id", "api.access_key_secret_file"]);
}

#[test]
fn keys_of_the_other_dialect_are_mistakes_that_say_so() {
    let platform =
        |more: &str| parse(&format!("api: {{{KEY}{CLIENT}}}\n{more}\n")).unwrap_err().to_string();
    for (more, key) in [
        ("quota: {report_jobs_per_minute: 10}", "quota.report_jobs_per_minute"),
        ("quota: {reserve: 1}", "quota.reserve"),
        ("jobs: {poll_every: 2s}", "jobs.poll_every"),
    ] {
        assert!(
            platform(more)
                .starts_with(&format!("c.yml:2: {key}: is not used with `dialect: platform`")),
            "{}",
            platform(more)
        );
    }
    assert_eq!(
        platform("poll: {settle_delay: 1s}"),
        "c.yml:2: poll.settle_delay: 1s must be at least 3s with `dialect: platform`"
    );
    assert!(
        platform("targets: [{filter: {type: team, id: 7}}]")
            .contains("the filter type `team` is not used with `dialect: platform`")
    );
    assert!(
        mistakes("quota: {requests_per_minute: 5}")
            .contains("quota.requests_per_minute: is not used with `dialect: reports`")
    );
    let reports = parse(&format!("{HEAD}  area: na1\n{TARGETS}")).unwrap_err().to_string();
    assert!(
        reports.starts_with("c.yml:5: api.area: is not used with `dialect: reports`"),
        "{reports}"
    );
    let flags = Flags::default().with("api.area", "na1");
    let text = format!("{HEAD}{TARGETS}");
    let errors =
        parse_with(Some(&text), &Overrides::new(&flags, environment(&[]))).unwrap_err().to_string();
    assert!(errors.starts_with("--api.area: is not used with `dialect: reports`"), "{errors}");
}

#[test]
fn flags_and_variables_are_enough_without_a_file() {
    let flags = Flags::default().with("api.dialect", "platform").with("api.area", "eu1");
    let variables = environment(&[
        ("CXONE_ACCESS_KEY_ID", "K"),
        ("CXONE_ACCESS_KEY_SECRET", "from-variable"),
        ("CXONE_TARGET_USER", "1234"),
    ]);
    let (config, _) = parse_with(None, &Overrides::new(&flags, variables)).unwrap();
    let Dialect::Platform(api) = &config.api.dialect else { panic!("platform") };
    assert_eq!(api.access_key.secret.expose_secret(), "from-variable");
    assert_eq!(config.targets[0].name, "user:1234");
}
