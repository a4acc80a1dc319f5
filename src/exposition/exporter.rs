//! The exporter's own metrics: from the OpenMetrics text that `prometheus_client` writes to either
//! format.

use std::sync::{Arc, OnceLock};

use super::Format;
use super::segment::{Segment, SegmentWriter};

/// What stands behind the snapshot on one page.
#[derive(Clone, Debug)]
pub struct ExporterMetrics {
    /// What changes only when something happens.
    pub counted: Arc<EncodedMetrics>,
    /// What may be different at each scrape, as `prometheus_client` encodes it.
    pub moving: String,
}

/// Text of `prometheus_client`, compressed when a page needs it, and once for all pages with it.
#[derive(Debug)]
pub struct EncodedMetrics {
    encoded: String,
    openmetrics: OnceLock<Segment>,
    text: OnceLock<Segment>,
}

impl EncodedMetrics {
    /// Of what `prometheus_client::encoding::text::encode` writes.
    #[must_use]
    pub const fn new(encoded: String) -> Self {
        Self { encoded, openmetrics: OnceLock::new(), text: OnceLock::new() }
    }

    pub(super) fn segment(&self, format: Format) -> &Segment {
        let known = match format {
            Format::OpenMetrics => &self.openmetrics,
            Format::Text => &self.text,
        };
        known.get_or_init(|| {
            let mut writer = SegmentWriter::new();
            writer.text().extend_from_slice(exporter_text(&self.encoded, format).as_bytes());
            writer.finish()
        })
    }
}

/// Metrics that were encoded as they are, with none that move.
impl From<&str> for ExporterMetrics {
    fn from(encoded: &str) -> Self {
        Self { counted: Arc::new(EncodedMetrics::new(encoded.to_owned())), moving: String::new() }
    }
}

/// `openmetrics`, as `prometheus_client::encoding::text::encode` writes it, without its `# EOF`; in
/// text 0.0.4 with that format's heads.
///
/// A line that is neither a head nor a sample of the family above it is left out (a HELP with a
/// newline in it would make one, since `prometheus_client` does not escape HELP), and so is a head
/// without samples.
#[must_use]
pub fn exporter_text(openmetrics: &str, format: Format) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut family = Head::default();
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            family = Head { name, help, kind: None, unit: None, written: false };
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            // The one right before the samples is the real one, whatever stood in the HELP.
            if let Some((name, kind)) = rest.split_once(' ')
                && name == family.name
                && !family.written
            {
                family.kind = Some(kind);
            }
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            family.unit =
                rest.split_once(' ').filter(|(name, _)| *name == family.name).map(|(_, unit)| unit);
        } else if family.owns(line) {
            family.write(&mut out, format);
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The head of the family that is being read.
#[derive(Default)]
struct Head<'a> {
    name: &'a str,
    help: &'a str,
    kind: Option<&'a str>,
    unit: Option<&'a str>,
    written: bool,
}

impl Head<'_> {
    /// Whether `line` is a sample of this family: its name, one of the endings of its type, then
    /// labels or a value.
    fn owns(&self, line: &str) -> bool {
        let endings: &[&str] = match self.kind {
            Some("counter") => &["_total"],
            Some("histogram") => &["_bucket", "_sum", "_count"],
            Some("info") => &["_info"],
            Some(_) => &[""],
            None => return false,
        };
        let Some(rest) = line.strip_prefix(self.name).filter(|_| !self.name.is_empty()) else {
            return false;
        };
        endings.iter().any(|ending| {
            rest.strip_prefix(ending).is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
    }

    fn write(&mut self, out: &mut String, format: Format) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        let kind = self.kind.unwrap_or("unknown");
        let (ending, kind) = match (format, kind) {
            (Format::OpenMetrics, kind) => ("", kind),
            (Format::Text, "counter") => ("_total", "counter"),
            // Text 0.0.4 knows neither infos nor the word `unknown`.
            (Format::Text, "info") => ("_info", "gauge"),
            (Format::Text, "unknown") => ("", "untyped"),
            (Format::Text, kind) => ("", kind),
        };
        let name = self.name;
        for part in
            ["# HELP ", name, ending, " ", self.help, "\n# TYPE ", name, ending, " ", kind, "\n"]
        {
            out.push_str(part);
        }
        if let (Format::OpenMetrics, Some(unit)) = (format, self.unit) {
            for part in ["# UNIT ", name, " ", unit, "\n"] {
                out.push_str(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::{Registry, Unit};

    use super::*;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        let requests = Family::<Vec<(String, String)>, Counter>::default();
        requests
            .get_or_create(&vec![("code".to_owned(), "# TYPE x gauge\n# EOF\n\"\\".to_owned())])
            .inc();
        registry.register("x_requests", "Requests", requests);
        registry.register(
            "x_up",
            "Whether\n# TYPE x_up counter\nx_evil 1\nx_upper 1",
            Gauge::<i64>::default(),
        );
        registry.register_with_unit(
            "x_wait",
            "Wait",
            Unit::Seconds,
            Counter::<f64, std::sync::atomic::AtomicU64>::default(),
        );
        registry.register("x_build", "Build", Info::new([("version", "1")]));
        registry.register("x_lasted", "Lasted", Histogram::new([0.5, 5.0]));
        registry.register("x_none", "None", Family::<Vec<(String, String)>, Gauge>::default());
        registry
    }

    fn text(format: Format) -> String {
        let mut openmetrics = String::new();
        encode(&mut openmetrics, &registry()).unwrap();
        exporter_text(&openmetrics, format)
    }

    #[test]
    fn counters_and_infos_get_the_heads_of_text_0_0_4() {
        assert_eq!(
            text(Format::Text),
            "# HELP x_requests_total Requests.\n# TYPE x_requests_total counter\n\
             x_requests_total{code=\"# TYPE x gauge\\n# EOF\\n\\\"\\\\\"} 1\n\
             # HELP x_up Whether\n# TYPE x_up gauge\nx_up 0\n\
             # HELP x_wait_seconds_total Wait.\n# TYPE x_wait_seconds_total counter\nx_wait_seconds_total 0.0\n\
             # HELP x_build_info Build.\n# TYPE x_build_info gauge\nx_build_info{version=\"1\"} 1\n\
             # HELP x_lasted Lasted.\n# TYPE x_lasted histogram\nx_lasted_sum 0.0\nx_lasted_count 0\n\
             x_lasted_bucket{le=\"0.5\"} 0\nx_lasted_bucket{le=\"5.0\"} 0\nx_lasted_bucket{le=\"+Inf\"} 0\n"
        );
    }
    #[test]
    fn openmetrics_stays_as_it_is_but_for_the_end_mark() {
        let mut registry = Registry::default();
        registry.register_with_unit("x_wait", "Wait", Unit::Seconds, Counter::<u64>::default());
        registry.register("x_build", "Build", Info::new([("version", "1")]));
        let mut openmetrics = String::new();
        encode(&mut openmetrics, &registry).unwrap();
        assert_eq!(
            format!("{}# EOF\n", exporter_text(&openmetrics, Format::OpenMetrics)),
            openmetrics
        );
    }
}
