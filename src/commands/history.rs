//! `history`: one agent's state history, printed.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::{CommandError, causes_of_no_rows, random, warn};
use crate::app;
use crate::cli::{HistoryArgs, HistoryFormat, TargetArgs};
use crate::clock::Clock;
use crate::config::{TargetsNeeded, load, show_duration};
use crate::cxone::{FetchEvent, HistoryRequest, RowList};
use crate::logging;
use cxone_core::hidden::{visible, visible_json};
use cxone_core::report::{RawRow, ReportFilter};
use cxone_core::time::{Timestamp, Window};

/// A record as the API names its fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedVisit<'a> {
    user_id: &'a str,
    user_name: &'a str,
    state_name: &'a str,
    state_id: &'a str,
    skill_name: &'a str,
    count: u32,
    date_from: String,
    date_to: Option<String>,
}

/// Fetches the history and prints it: records on stdout, everything else on stderr.
///
/// # Errors
/// When the configuration is wrong, CXone does not give the history, or it cannot be written.
pub async fn run(args: HistoryArgs) -> Result<(), CommandError> {
    let (config, warnings) = load(
        args.config.file.as_deref(),
        &args.config.flags(&TargetArgs::default()),
        TargetsNeeded::No,
    )?;
    warn(&warnings);
    let clock = Clock::system();
    let client = app::client(&config, app::connect(&config)?, clock.clone(), Arc::new(|_| {}));
    let to = clock.now().utc;
    let window = Window { from: to.minus(args.last), to };
    let request = HistoryRequest {
        window,
        filter: ReportFilter { kind: "user".to_owned(), id: args.user.clone() },
    };
    let shows_progress = io::stderr().is_terminal();
    let timing = app::timing(&config);
    let fetched = client.fetch(request, timing, &clock, random(), |event| {
        if shows_progress || matches!(event, FetchEvent::Throttled(_)) {
            logging::print(&progress_text(&event, &args.user, window));
        }
    });
    let list: RowList = fetched.await.map_err(|error| CommandError::Failed(error.message))?;
    let accepted = u64::try_from(list.rows.len() + list.repeats).unwrap_or(u64::MAX);
    let rejected = list.oddities.all_rejected();
    let unusable = list.oddities.is_unusable(accepted, true);
    if rejected > 0 && !unusable {
        logging::print(&format!("{rejected} rows were rejected: {}", list.oddities.reasons()));
    }
    if list.rows.is_empty() && !unusable {
        logging::print(&format!("No records for {} in {window}.", args.user));
        causes_of_no_rows(&client, Some(&args.user), args.last)
            .iter()
            .for_each(|cause| logging::print(cause));
    } else if shows_progress {
        logging::print(&format!("{} records.", list.rows.len()));
    }
    let mut rows = list.rows;
    rows.sort_by_key(|row| row.from);
    match write_records(&rows, args.format, &mut io::stdout().lock()) {
        // Whoever reads has seen enough.
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => {}
        result => result
            .map_err(|cause| CommandError::Failed(format!("cannot write the records: {cause}")))?,
    }
    if unusable {
        return Err(CommandError::Failed(format!(
            "{rejected} of {} rows were rejected: {}",
            rejected.saturating_add(accepted),
            list.oddities.reasons()
        )));
    }
    Ok(())
}

fn progress_text(event: &FetchEvent, user: &str, window: Window) -> String {
    match event {
        FetchEvent::Submitting => format!("Submitting a report job for {user}, {window} …"),
        FetchEvent::Submitted(job) => format!("Waiting for report job {job} …"),
        FetchEvent::RowsRead(rows) => format!("{rows} rows so far …"),
        FetchEvent::Throttled(wait) => format!(
            "CXone throttles requests (429); retrying in {} …",
            show_duration(whole_seconds(*wait))
        ),
    }
}

fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

fn write_records(
    rows: &[RawRow<'_>],
    format: HistoryFormat,
    out: &mut impl Write,
) -> io::Result<()> {
    let records = rows.iter().map(|row| ListedVisit {
        user_id: &row.user_id,
        user_name: &row.user_name,
        state_name: &row.state_name,
        state_id: &row.state_id,
        skill_name: &row.skill_name,
        count: row.count,
        date_from: row.from.to_string(),
        date_to: row.to.map(|to| to.to_string()),
    });
    match format {
        HistoryFormat::Table => write_table(rows, out)?,
        HistoryFormat::Json => {
            let json = serde_json::to_string_pretty(&records.collect::<Vec<_>>())?;
            writeln!(out, "{}", visible_json(&json))?;
        }
        HistoryFormat::Csv => {
            let mut csv = csv::Writer::from_writer(&mut *out);
            if rows.is_empty() {
                let head = [
                    "userId",
                    "userName",
                    "stateName",
                    "stateId",
                    "skillName",
                    "count",
                    "dateFrom",
                    "dateTo",
                ];
                csv.write_record(head).map_err(of_writing)?;
            }
            for record in records {
                let cells = [
                    record.user_id,
                    record.user_name,
                    record.state_name,
                    record.state_id,
                    record.skill_name,
                ];
                let [user_id, user_name, state_name, state_id, skill_name] = cells.map(harmless);
                let record = ListedVisit {
                    user_id: &user_id,
                    user_name: &user_name,
                    state_name: &state_name,
                    state_id: &state_id,
                    skill_name: &skill_name,
                    ..record
                };
                csv.serialize(record).map_err(of_writing)?;
            }
            csv.flush()?;
        }
    }
    out.flush()
}

/// The cause as it was, so that a reader that has gone away is known as such.
fn of_writing(error: csv::Error) -> io::Error {
    if let csv::ErrorKind::Io(cause) = error.into_kind() {
        cause
    } else {
        io::Error::other("a record is not a valid line of CSV")
    }
}

fn write_table(rows: &[RawRow<'_>], out: &mut impl Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let head = ["FROM (UTC)", "TO (UTC)", "LASTED", "STATE", "SKILL", "COUNT"].map(str::to_owned);
    let lines = rows.iter().map(|row| {
        [
            moment(row.from),
            row.to.map_or_else(|| "(still)".to_owned(), moment),
            row.to.map_or_else(String::new, |to| show_duration(to.since(row.from))),
            shown(&row.state_name),
            shown(&row.skill_name),
            row.count.to_string(),
        ]
    });
    let table: Vec<[String; 6]> = std::iter::once(head).chain(lines).collect();
    let widths: Vec<usize> = (0..6)
        .map(|column| table.iter().map(|line| line[column].width()).max().unwrap_or(0))
        .collect();
    for line in &table {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// `2023-10-27 08:00:00.000`, in UTC.
fn moment(time: Timestamp) -> String {
    time.to_string().replace('T', " ").trim_end_matches('Z').to_owned()
}

/// With escapes for what could steer a terminal.
fn shown(text: &str) -> String {
    visible(text).into_owned()
}

/// As a cell that no spreadsheet takes for a formula, and that steers no terminal.
fn harmless(text: &str) -> String {
    // Excel takes the wide forms for the same.
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    format!("{}{}", if is_formula { "'" } else { "" }, visible(text))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn rows() -> Vec<RawRow<'static>> {
        let row = |state: &'static str, skill: &'static str, from, to: Option<i64>| RawRow {
            user_id: Cow::Borrowed("user-1"),
            user_name: Cow::Borrowed("Agent, 1"),
            state_name: Cow::Borrowed(state),
            skill_name: Cow::Borrowed(skill),
            count: 1,
            from: Timestamp::from_millis(from),
            to: to.map(Timestamp::from_millis),
            ..RawRow::default()
        };
        vec![
            row("Ready", "English \"A\"", 1_698_393_600_000, Some(1_698_397_200_000)),
            row("Wrap\u{1b}[31m", "", 1_698_397_200_000, None),
        ]
    }

    fn written(format: HistoryFormat, rows: &[RawRow<'_>]) -> String {
        let mut out = Vec::new();
        write_records(rows, format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_is_aligned_and_cannot_steer_a_terminal() {
        insta::assert_snapshot!(written(HistoryFormat::Table, &rows()), @r#"
        FROM (UTC)               TO (UTC)                 LASTED  STATE           SKILL        COUNT
        2023-10-27 08:00:00.000  2023-10-27 09:00:00.000  1h      Ready           English "A"  1
        2023-10-27 09:00:00.000  (still)                          Wrap\u{1b}[31m               1
        "#);
        assert_eq!(written(HistoryFormat::Table, &[]), "");
    }

    fn odd_rows() -> Vec<RawRow<'static>> {
        let states = ["電話中", "a\u{202e}b\tc", "Ø\u{301}", "ready"];
        let skills = ["=1+1", "+49 30", "-x\r\n", "@sum, a"];
        let rows = states.into_iter().zip(skills).map(|(state, skill)| RawRow {
            state_name: Cow::Borrowed(state),
            skill_name: Cow::Borrowed(skill),
            user_name: Cow::Borrowed("\u{2066}Ann"),
            ..rows().remove(0)
        });
        rows.collect()
    }

    #[test]
    fn a_table_is_aligned_whatever_the_width_of_its_characters() {
        let table = written(HistoryFormat::Table, &odd_rows());
        let widths: Vec<usize> = table
            .lines()
            .map(|line| line.strip_suffix('1').or(line.strip_suffix("COUNT")).unwrap().width())
            .collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}\n{table}");
        assert!(table.contains(r"a\u{202e}b\tc  +49 30"), "{table}");
    }

    #[test]
    fn no_cell_of_csv_is_a_formula_or_steers_a_terminal() {
        let csv = written(HistoryFormat::Csv, &odd_rows());
        for cell in [",'=1+1,", ",'+49 30,", r",'-x\r\n,", ",\"'@sum, a\",", r",\u{2066}Ann,"] {
            assert!(csv.contains(cell), "{cell} is not in\n{csv}");
        }
        assert_eq!(csv.lines().count(), 5, "{csv}");
        assert!(!csv.contains(|c| c != '\n' && cxone_core::hidden::is_hidden(c)), "{csv}");
    }

    #[test]
    fn json_repeats_what_cxone_said_without_terminal_control_characters() {
        let json = written(HistoryFormat::Json, &odd_rows());
        assert!(!json.contains(|c| c != '\n' && cxone_core::hidden::is_hidden(c)), "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[1]["stateName"], "a\u{202e}b\tc");
        assert_eq!(json[0]["skillName"], "=1+1");
    }

    #[test]
    fn json_and_csv_have_the_apis_field_names() {
        let json: serde_json::Value =
            serde_json::from_str(&written(HistoryFormat::Json, &rows())).unwrap();
        assert_eq!(json[0]["dateTo"], "2023-10-27T09:00:00.000Z");
        assert_eq!(json[1]["dateTo"], serde_json::Value::Null);
        assert_eq!(written(HistoryFormat::Json, &[]), "[]\n");
        let csv = written(HistoryFormat::Csv, &rows());
        assert!(
            csv.starts_with(
                "userId,userName,stateName,stateId,skillName,count,dateFrom,dateTo\nuser-1,\"Agent, 1\",Ready,,\"English \"\"A\"\"\",1,"
            ),
            "{csv}"
        );
        assert_eq!(
            written(HistoryFormat::Csv, &[]),
            "userId,userName,stateName,stateId,skillName,count,dateFrom,dateTo\n"
        );
    }
}
