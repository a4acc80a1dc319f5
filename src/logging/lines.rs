//! A message as one line: the same keys, whatever the format.

use std::fmt;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use crate::clock::Clock;
use cxone_core::hidden::{is_hidden, visible_json};

/// Writes `ts`, `level`, `msg` and the message's own fields, in this order.
pub(super) struct LineFormat {
    pub(super) format: LogFormat,
    pub(super) clock: Clock,
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = MessageFields::default();
        event.record(&mut fields);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let head = [
            ("ts", Value::String(self.clock.now().utc.to_string())),
            ("level", Value::String(level)),
            ("msg", Value::String(fields.message)),
        ];
        line(self.format, head.into_iter().chain(fields.others), &mut out)
    }
}

#[derive(Default)]
struct MessageFields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl MessageFields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push((field.name(), value.into()));
    }
}

impl Visit for MessageFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field, text);
        }
    }
}

fn line(
    format: LogFormat,
    fields: impl Iterator<Item = (&'static str, Value)>,
    out: &mut impl fmt::Write,
) -> fmt::Result {
    let is_json = matches!(format, LogFormat::Json);
    for (index, (name, value)) in fields.enumerate() {
        let (before, between) = match (is_json, index) {
            (true, 0) => ("{\"", "\":"),
            (true, _) => (",\"", "\":"),
            (false, 0) => ("", "="),
            (false, _) => (" ", "="),
        };
        write!(out, "{before}{name}{between}")?;
        if let Some(text) = value.as_str().filter(|text| !is_json && is_plain(text)) {
            out.write_str(text)?;
        } else {
            // Go's readers of logfmt take what is in quotes as JSON does.
            out.write_str(&visible_json(&value.to_string()))?;
        }
    }
    out.write_str(if is_json { "}\n" } else { "\n" })
}

/// Whether `text` needs no quotes in logfmt.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c| is_hidden(c) || matches!(c, ' ' | '=' | '"' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: LogFormat) -> String {
        let text = |text: &str| Value::String(text.to_owned());
        let fields = [
            ("ts", text("2026-11-28T03:33:08.123Z")),
            ("level", text("warn")),
            ("msg", text("CXone said \"no\"\n\u{202e}\u{1b}[31m\u{7f}\u{e0041}")),
            ("target", text("team:7")),
            ("rows", Value::from(12)),
            ("tls", Value::from(false)),
            ("why", text("")),
        ];
        let mut out = String::new();
        line(format, fields.into_iter(), &mut out).unwrap();
        out
    }

    #[test]
    fn logfmt_quotes_values_where_needed() {
        assert_eq!(
            written(LogFormat::Logfmt),
            "ts=2026-11-28T03:33:08.123Z level=warn msg=\"CXone said \\\"no\\\"\\n\\u202e\\u001b[31m\\u007f\\udb40\\udc41\" target=team:7 rows=12 tls=false why=\"\"\n"
        );
    }

    #[test]
    fn json_has_the_same_keys_and_values() {
        let line = written(LogFormat::Json);
        assert!(line.starts_with(r#"{"ts":"2026-11-28T03:33:08.123Z","level":"warn","msg":"#));
        assert!(line.ends_with("}\n") && !line.trim_end().contains(is_hidden), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"], "CXone said \"no\"\n\u{202e}\u{1b}[31m\u{7f}\u{e0041}");
        assert_eq!((&value["rows"], &value["tls"]), (&Value::from(12), &Value::from(false)));
    }
}
