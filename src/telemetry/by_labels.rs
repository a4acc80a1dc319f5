//! Metrics of one family, in the same order on every page.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;

pub(super) type Labels = Vec<(&'static str, String)>;

/// A metric for each set of labels, in the order of the labels; `prometheus_client`'s own family
/// has another order in every process.
#[derive(Debug)]
pub(super) struct ByLabels<M> {
    metrics: Arc<Mutex<BTreeMap<Labels, M>>>,
    make: fn() -> M,
}

impl<M> Clone for ByLabels<M> {
    fn clone(&self) -> Self {
        Self { metrics: Arc::clone(&self.metrics), make: self.make }
    }
}

impl<M: Clone> ByLabels<M> {
    /// None yet; `make` makes each at its beginning.
    pub(super) fn new(make: fn() -> M) -> Self {
        Self { metrics: Arc::default(), make }
    }

    /// The one with these labels, there from now on.
    pub(super) fn of(&self, labels: Labels) -> M {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.entry(labels).or_insert_with(self.make).clone()
    }
}

impl<M: EncodeMetric + Clone> EncodeMetric for ByLabels<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics
            .iter()
            .try_for_each(|(labels, metric)| metric.encode(encoder.encode_family(labels)?))
    }

    fn metric_type(&self) -> MetricType {
        (self.make)().metric_type()
    }
}
