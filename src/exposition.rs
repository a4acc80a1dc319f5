//! The table of metric families, and a snapshot as bytes. No state: the same snapshot gives the
//! same page.
//!
//! A page is one gzip member stitched from segments: those of the snapshot are deflated when their
//! part of the data changes, and the exporter's own metrics are put behind them. Of these, what may
//! be different at each scrape is not deflated: to send it is less work.

mod agents;
mod exporter;
pub mod families;
mod live;
mod page;
mod render;
mod rows;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub use exporter::{EncodedMetrics, ExporterMetrics, exporter_text};
pub use page::Page;
pub use render::{Rendered, render};
pub use segment::Inflate;

/// The two text formats that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl Format {
    /// The value of the header `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}
