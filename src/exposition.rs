//! The table of metric families, and a snapshot as bytes. Stateless: the same snapshot gives the
//! same page.
//!
//! A page is one gzip member, stitched from segments that were deflated each on its own: those of
//! the snapshot when their part of the data changed, and after them the exporter's own metrics. Of
//! these, what may differ at each scrape is not deflated: sending it as it is takes less CPU.

mod agents;
mod aggregates;
mod exporter;
pub mod families;
mod page;
mod render;
mod samples;
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
