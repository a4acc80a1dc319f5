//! What the process is, read at each scrape: its resources, and how much it has logged.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::{count, encode};
use crate::exposition::families;
use crate::logging;

/// What the system knows of the process, read at each scrape.
#[derive(Debug)]
pub(super) struct Process {
    /// Open once and for all: to look for it takes as long as to read it.
    process: Option<procfs::process::Process>,
    /// The limit that the process was started with.
    max_fds: Option<u64>,
}

impl Process {
    pub(super) fn new() -> Self {
        let process = procfs::process::Process::myself().ok();
        let limits = process.as_ref().and_then(|process| process.limits().ok());
        let max_fds = limits.and_then(|limits| match limits.max_open_files.soft_limit {
            procfs::process::LimitValue::Value(most) => Some(most),
            procfs::process::LimitValue::Unlimited => None,
        });
        Self { process, max_fds }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(process) = &self.process else { return Ok(()) };
        if let Ok(stat) = process.stat() {
            let ticks = Duration::from_secs(1).div_f64(count(procfs::ticks_per_second()));
            let cpu = ticks.mul_f64(count(stat.utime) + count(stat.stime)).as_secs_f64();
            encode(&mut encoder, families::PROCESS_CPU_SECONDS, &ConstCounter::new(cpu))?;
            let resident = stat.rss.saturating_mul(procfs::page_size());
            encode(&mut encoder, families::PROCESS_RESIDENT_MEMORY, &ConstGauge::new(count(resident)))?;
            encode(&mut encoder, families::PROCESS_VIRTUAL_MEMORY, &ConstGauge::new(count(stat.vsize)))?;
            encode(&mut encoder, families::PROCESS_THREADS, &ConstGauge::new(stat.num_threads))?;
        }
        if let Ok(open) = process.fd_count() {
            encode(&mut encoder, families::PROCESS_OPEN_FDS, &ConstGauge::new(i64::try_from(open).unwrap_or(i64::MAX)))?;
        }
        if let Some(most) = self.max_fds {
            encode(&mut encoder, families::PROCESS_MAX_FDS, &ConstGauge::new(count(most)))?;
        }
        Ok(())
    }
}

/// Log messages by level.
#[derive(Debug)]
pub(super) struct LogMessages;

impl Collector for LogMessages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let family = families::LOG_MESSAGES;
        let mut metric = encoder.encode_descriptor(family.family_name(), family.help, None, MetricType::Counter)?;
        for (level, messages) in logging::LEVELS.iter().zip(logging::messages()) {
            ConstCounter::new(messages).encode(metric.encode_family(&[("level", *level)])?)?;
        }
        Ok(())
    }
}
