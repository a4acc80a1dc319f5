//! `check`: is the configuration right, and does CXone agree?

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::live::{Progress, empty_causes, fetch};
use super::{CommandError, check_platform, healthy, warn};
use crate::app;
use crate::cli::CheckArgs;
use crate::clock::Clock;
use crate::config::web::read_file;
use crate::config::{
    ApiConfig, Config, ConfigErrors, Dialect, FileStates, TargetsNeeded, load, show_duration,
};
use crate::cxone::{CxoneClient, ErrorKind, HistoryRequest, Proxies, ProxyRoute, RowList};
use cxone_core::counts::RowKind;
use cxone_core::hidden::visible;
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
        say(&format!("ok      the exporter at {address} is healthy"));
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
    say(&format!("ok      configuration: {targets} at {}", config.api.address()));
    say(&quota_text(&config));
    let proxies = app::proxies().map_err(app::ConnectError::from)?;
    proxy_texts(&config.api, &proxies).iter().for_each(|text| say(text));
    if !args.live {
        say(
            "        Nothing was asked of CXone; --live checks the credentials and one report, too.",
        );
        return Ok(());
    }
    let clock = Clock::system();
    let client = app::client(&config, app::connect(&config)?, clock.clone(), Arc::new(|_| {}));
    sign_in(&client).await?;
    let now = match &client {
        CxoneClient::Platform(client) => check_platform::look_around(client).await?,
        CxoneClient::Reports(_) => check_platform::Live::default(),
    };
    report(&client, &config, &clock, &now).await
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
    say(&format!("ok      web configuration: {tls}, {users}"));
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
    let quota = config.quota;
    let (ours, who, what) = match &config.api.dialect {
        Dialect::Reports(_) => {
            (quota.report_jobs_per_minute - quota.reserve, "the targets", "report jobs")
        }
        Dialect::Platform(_) => {
            (quota.requests_per_minute, "targets and live feeds", "requests or more")
        }
    };
    let asked = app::demand_per_minute(config);
    let verdict = if asked <= f64::from(ours) { "ok     " } else { "warning" };
    let more = if asked <= f64::from(ours) {
        ""
    } else {
        ": the data will be older than poll.interval; merge targets or raise poll.interval"
    };
    format!(
        "{verdict} quota: {who} ask for {asked:.1} {what} a minute, and {ours} are allowed{more}"
    )
}

/// By which proxy the addresses are reached, where there is one.
fn proxy_texts(api: &ApiConfig, proxies: &Proxies) -> Vec<String> {
    let mut texts = Vec::new();
    for address in api.addresses() {
        let host = address.origin();
        let text = match proxies.route(address.url()) {
            ProxyRoute::Via(proxy) => {
                format!("ok      proxy: {host} by way of {proxy} ({})", proxy.variable())
            }
            ProxyRoute::Exempt(why) => format!("ok      proxy: none for {host}, since {why}"),
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
            say("ok      credentials: CXone gave a token");
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
                | ErrorKind::Rejected
                | ErrorKind::UnexpectedStatus
                | ErrorKind::Throttled
                | ErrorKind::Server
                | ErrorKind::Unreachable
                | ErrorKind::Redirected
                | ErrorKind::Malformed
                | ErrorKind::TooLarge => "sign-in",
            };
            say(&format!("FAILED  {what}: {error}"));
            Err(CommandError::Reported)
        }
    }
}

async fn report(
    client: &CxoneClient,
    config: &Config,
    clock: &Clock,
    now: &check_platform::Live,
) -> Result<(), CommandError> {
    let Some(target) = config.targets.first() else { return Ok(()) };
    let to = clock.now().utc;
    let window = Window { from: to.minus(config.poll.lookback), to };
    let request = HistoryRequest { window, filter: target.filter.clone() };
    let mut throttled = 0;
    let fetched = fetch::<RowList>(client, config, clock, &request, |step| {
        if let Progress::Throttled(wait) = step {
            throttled += 1;
            say(&format!("        too many requests (429); going on in {} s", wait.as_secs()));
        }
    });
    match fetched.await {
        Ok(mut list) => {
            let accepted = count_cut(config, &mut list, window);
            if list.oddities.outweigh(accepted, true) {
                say(&format!(
                    "FAILED  report of {}: {}",
                    target.name,
                    list.oddities.why_unusable(accepted)
                ));
                for line in FailureReason::RowsRejected.advice() {
                    say(&format!("        {line}"));
                }
                return Err(CommandError::Reported);
            }
            if matches!(client, CxoneClient::Platform(_)) {
                list.leave_out_repeats();
            }
            if throttled > 0 {
                say(
                    "warning quota: something else uses this OAuth client, too; give the exporter a client of its own",
                );
            }
            told_rows(config, &target.name, &list, window)?;
            if matches!(client, CxoneClient::Platform(_)) {
                check_platform::told_history(&list, window, target.filter.kind == "all", now);
            }
            Ok(())
        }
        Err(trouble) => {
            say(&format!("FAILED  report of {}: {}", target.name, trouble.message));
            for line in trouble.reason.advice() {
                say(&format!("        {line}"));
            }
            Err(CommandError::Reported)
        }
    }
}

/// Takes note of the rows that `serve` would reject for where they stand in `window`, and says how
/// many rows it would not reject.
fn count_cut(config: &Config, list: &mut RowList, window: Window) -> u64 {
    let is_cut = |row: &&RawRow<'_>| row.count > 1 && row.from == window.from;
    let cut = match config.api.rows {
        RowKind::Buckets => 0,
        RowKind::Intervals | RowKind::Events | RowKind::States => {
            list.rows.iter().filter(is_cut).count()
        }
    };
    list.oddities.reject_more(RowRejection::CutBucket, u64::try_from(cut).unwrap_or(u64::MAX));
    u64::try_from(list.rows.len() - cut).unwrap_or(u64::MAX)
}

/// # Errors
/// When there is no row that can be counted: then nothing would ever be shown.
fn told_rows(
    config: &Config,
    target: &str,
    list: &RowList,
    window: Window,
) -> Result<(), CommandError> {
    if list.rows.is_empty() {
        let user = config
            .targets
            .first()
            .filter(|target| target.filter.kind == "user")
            .map(|target| target.filter.id.as_str());
        say(&format!("FAILED  report of {target}: it came, and it is empty for {window}"));
        empty_causes(config, user, config.poll.lookback)
            .iter()
            .for_each(|cause| say(&format!("        {cause}")));
        return Err(CommandError::Reported);
    }
    let rows = list.rows.len();
    say(&format!(
        "ok      report of {target}: {rows} rows in the last {}",
        show_duration(config.poll.lookback)
    ));
    let rejected = list.oddities.all_rejected();
    if rejected > 0 {
        say(&format!("warning rows: {rejected} were rejected: {}", list.oddities.reasons()));
    }
    let lenient = list.oddities.lenient_forms();
    if !lenient.is_empty() {
        say(&format!("warning rows: not as documented, but understood: {lenient}"));
    }
    Ok(())
}

/// A line of the findings. A reader that has gone away needs no more of them.
pub(super) fn say(line: &str) {
    let _written = writeln!(std::io::stdout(), "{}", visible(line));
}
