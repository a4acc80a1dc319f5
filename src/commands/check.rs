//! `check`: whether the configuration is valid, and with `--live` whether CXone accepts it.

mod live_states;

use std::path::Path;
use std::sync::Arc;

use super::{CommandError, causes_of_no_rows, healthy, print, random, warn};
use crate::app;
use crate::cli::CheckArgs;
use crate::clock::Clock;
use crate::config::web::read_file;
use crate::config::{
    ALL_AGENTS, ApiConfig, Config, ConfigErrors, FileStates, TargetsNeeded, load, show_duration,
};
use crate::cxone::{
    CxoneClient, ErrorKind, FetchEvent, HistoryRequest, Proxies, ProxyRoute, RowList,
};
use cxone_core::counts::RowKind;
use cxone_core::plan::fetch::FailureReason;
use cxone_core::report::{RawRow, RowRejection};
use cxone_core::time::Window;

/// Checks, and prints what it finds.
///
/// # Errors
/// When the configuration is wrong, with `--live` CXone does not give a report, or with `--healthy`
/// the exporter is not.
pub async fn run(args: CheckArgs) -> Result<(), CommandError> {
    if let Some(address) = &args.healthy {
        healthy::ask(address).await?;
        print(&format!("ok      the exporter at {address} is healthy"));
        return Ok(());
    }
    let flags = args.config.flags(&args.targets);
    let load = || load(args.config.file.as_deref(), &flags, TargetsNeeded::Yes);
    let loaded = match (&args.web_config_file, args.has_no_configuration()) {
        (Some(path), true) => return web_config(path),
        (Some(path), false) => both(load(), web_config(path)),
        (None, _) => load().map_err(CommandError::Config),
    };
    let (config, warnings) = loaded?;
    warn(&warnings);
    let targets = match config.targets.len() {
        1 => "1 target".to_owned(),
        more => format!("{more} targets"),
    };
    print(&format!("ok      configuration: {targets} at {}", config.api.address()));
    print(&quota_text(&config));
    let proxies = app::proxies().map_err(app::ConnectError::from)?;
    proxy_texts(&config.api, &proxies).iter().for_each(|text| print(text));
    if !args.live {
        print(
            "        CXone was not contacted; --live also checks the credentials and one report.",
        );
        return Ok(());
    }
    let clock = Clock::system();
    let client = app::client(&config, app::connect(&config)?, clock.clone(), Arc::new(|_| {}));
    sign_in(&client).await?;
    let agents = match client.live_source() {
        Some(source) => Some(live_states::check(&source).await?),
        None => None,
    };
    report(&client, &config, &clock, agents.as_ref()).await
}

/// Checks the web configuration at `path`.
fn web_config(path: &Path) -> Result<(), CommandError> {
    let (config, warnings) = read_file(path, &FileStates::default()).outcome?;
    warn(&warnings);
    config.is_valid_at(&path.display().to_string(), Clock::system().now().utc)?;
    let tls = config.tls.as_ref().map_or_else(
        || "no TLS".to_owned(),
        |tls| format!("TLS with a certificate until {}", tls.expiry),
    );
    let users = match config.users.len() {
        0 => "no passwords".to_owned(),
        1 => "1 user".to_owned(),
        more => format!("{more} users"),
    };
    print(&format!("ok      web configuration: {tls}, {users}"));
    Ok(())
}

type Loaded = (Config, Vec<String>);

/// The mistakes of both, where both have some.
fn both(
    config: Result<Loaded, ConfigErrors>,
    web: Result<(), CommandError>,
) -> Result<Loaded, CommandError> {
    match (config, web) {
        (Ok(loaded), Ok(())) => Ok(loaded),
        (Err(errors), Ok(())) => Err(errors.into()),
        (Ok(_), Err(error)) => Err(error),
        (Err(errors), Err(error)) => Err(match error {
            CommandError::Config(of_web) => CommandError::BothConfigs(errors, of_web),
            CommandError::BothConfigs(..)
            | CommandError::Connect(_)
            | CommandError::Start(_)
            | CommandError::Store(_)
            | CommandError::Usage(_)
            | CommandError::Failed(_)
            | CommandError::Reported => error,
        }),
    }
}

fn quota_text(config: &Config) -> String {
    let quota = app::quota_status(config);
    let (demand, available) = (quota.demand_per_minute(), quota.available());
    let required = format!("the targets require {demand:.1} {} per minute", quota.unit.plural());
    if demand <= f64::from(available) {
        return format!("ok      quota: {required}, and {available} are allowed");
    }
    format!(
        "warning quota: {required}, but only {available} are allowed: data will be older than poll.interval; \
         merge targets or raise poll.interval"
    )
}

/// Which proxy is used for each address, if the environment names one.
fn proxy_texts(api: &ApiConfig, proxies: &Proxies) -> Vec<String> {
    let mut texts = Vec::new();
    for address in api.addresses() {
        let host = address.origin();
        let text = match proxies.route(address.url()) {
            ProxyRoute::Via(proxy) => {
                format!("ok      proxy: {host} via {proxy} ({})", proxy.variable())
            }
            ProxyRoute::Exempt(why) => format!("ok      proxy: none for {host}: {why}"),
            ProxyRoute::Direct => continue,
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

async fn sign_in(client: &CxoneClient) -> Result<(), CommandError> {
    match client.sign_in().await {
        Ok(()) => {
            print("ok      credentials: CXone issued a token");
            Ok(())
        }
        Err(error) => {
            // What failed may be the way to CXone, and not the credentials.
            let is_elsewhere =
                error.status.is_some_and(|it| matches!(it.as_u16(), 404 | 405 | 410));
            let what = match error.kind {
                ErrorKind::Credentials | ErrorKind::TokenForbidden => "credentials",
                ErrorKind::Token if !is_elsewhere => "credentials",
                ErrorKind::Token
                | ErrorKind::Unauthorized
                | ErrorKind::Forbidden
                | ErrorKind::Lost
                | ErrorKind::JobFailed
                | ErrorKind::Rejected
                | ErrorKind::UnexpectedStatus
                | ErrorKind::Throttled
                | ErrorKind::Server
                | ErrorKind::Unreachable
                | ErrorKind::Redirected
                | ErrorKind::Malformed
                | ErrorKind::TooLarge => "sign-in",
            };
            print(&format!("FAILED  {what}: {error}"));
            Err(CommandError::Reported)
        }
    }
}

async fn report(
    client: &CxoneClient,
    config: &Config,
    clock: &Clock,
    agents: Option<&live_states::LiveAgents>,
) -> Result<(), CommandError> {
    let Some(target) = config.targets.first() else { return Ok(()) };
    let to = clock.now().utc;
    let window = Window { from: to.minus(config.poll.lookback), to };
    let request = HistoryRequest { window, filter: target.filter.clone() };
    let mut is_throttled = false;
    let fetched = client.fetch(request, app::timing(config), clock, random(), |event| {
        if let FetchEvent::Throttled(wait) = event {
            is_throttled = true;
            print(&format!("        throttled (429); retrying in {} s", wait.as_secs()));
        }
    });
    let mut list: RowList = match fetched.await {
        Ok(list) => list,
        Err(error) => return Err(report_failed(&target.name, &error.message, error.reason)),
    };
    let accepted = count_cut(config, &mut list, window);
    if list.oddities.is_unusable(accepted, true) {
        let why = list.oddities.why_unusable(accepted);
        return Err(report_failed(&target.name, &why, FailureReason::RowsRejected));
    }
    if is_throttled {
        print(
            "warning quota: something else uses this OAuth client too; give the exporter its own",
        );
    }
    print_rows(client, config, &list, window)?;
    if let Some(agents) = agents {
        live_states::compare(agents, &list, window, target.filter.kind == ALL_AGENTS);
    }
    Ok(())
}

fn report_failed(target: &str, why: &str, reason: FailureReason) -> CommandError {
    print(&format!("FAILED  report of {target}: {why}"));
    reason.advice().iter().for_each(|line| print(&format!("        {line}")));
    CommandError::Reported
}

/// Rejects the rows that `serve` would reject at the beginning of `window`, and returns how many
/// it would accept.
fn count_cut(config: &Config, list: &mut RowList, window: Window) -> u64 {
    let is_cut = |row: &&RawRow<'_>| row.count > 1 && row.from == window.from;
    let cut = match config.api.rows {
        RowKind::Buckets => 0,
        RowKind::Intervals | RowKind::Events | RowKind::States => {
            list.rows.iter().filter(is_cut).count()
        }
    };
    list.oddities.reject_more(RowRejection::CutBucket, u64::try_from(cut).unwrap_or(u64::MAX));
    u64::try_from(list.rows.len() + list.repeats - cut).unwrap_or(u64::MAX)
}

/// # Errors
/// When there are no rows, so that nothing would ever be shown.
fn print_rows(
    client: &CxoneClient,
    config: &Config,
    list: &RowList,
    window: Window,
) -> Result<(), CommandError> {
    let Some(target) = config.targets.first() else { return Ok(()) };
    let name = &target.name;
    if list.rows.is_empty() {
        let user = Some(&target.filter).filter(|it| it.kind == "user").map(|it| it.id.as_str());
        print(&format!("FAILED  report of {name}: it has no rows for {window}"));
        causes_of_no_rows(client, user, config.poll.lookback)
            .iter()
            .for_each(|cause| print(&format!("        {cause}")));
        return Err(CommandError::Reported);
    }
    let lookback = show_duration(config.poll.lookback);
    print(&format!("ok      report of {name}: {} rows in the last {lookback}", list.rows.len()));
    let rejected = list.oddities.all_rejected();
    if rejected > 0 {
        print(&format!("warning rows: {rejected} rejected: {}", list.oddities.reasons()));
    }
    let lenient = list.oddities.lenient_forms();
    if !lenient.is_empty() {
        print(&format!("warning rows: accepted, though not as documented: {lenient}"));
    }
    Ok(())
}
