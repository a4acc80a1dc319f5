//! What the process is, read at each scrape: its resources, and how much it has logged.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use procfs::FromRead as _;
use procfs::process::Stat;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::{count, encode};
use crate::exposition::families;
use crate::logging;

/// The longest `/proc/self/stat`: some fifty numbers.
const STAT: usize = 2048;

/// What the system knows of the process, read at each scrape.
#[derive(Debug)]
pub(super) struct Process {
    /// Open once and for all: to look for it takes as long as to read it.
    process: Option<procfs::process::Process>,
    stat: Option<File>,
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
        let stat = process.as_ref().and_then(|process| process.open_relative("stat").ok());
        Self { process, stat, max_fds }
    }

    /// As of now: Linux makes the file anew whenever it is read from its beginning.
    fn stat(&self) -> Option<Stat> {
        let mut text = [0; STAT];
        let read = self.stat.as_ref()?.read_at(&mut text, 0).ok()?;
        Stat::from_read(&text[..read]).ok()
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(process) = &self.process else { return Ok(()) };
        if let Some(stat) = self.stat() {
            let ticks = Duration::from_secs(1).div_f64(count(procfs::ticks_per_second()));
            let cpu = ticks.mul_f64(count(stat.utime) + count(stat.stime)).as_secs_f64();
            encode(&mut encoder, families::PROCESS_CPU_SECONDS, &ConstCounter::new(cpu))?;
            let resident = stat.rss.saturating_mul(procfs::page_size());
            encode(
                &mut encoder,
                families::PROCESS_RESIDENT_MEMORY,
                &ConstGauge::new(count(resident)),
            )?;
            encode(
                &mut encoder,
                families::PROCESS_VIRTUAL_MEMORY,
                &ConstGauge::new(count(stat.vsize)),
            )?;
            encode(&mut encoder, families::PROCESS_THREADS, &ConstGauge::new(stat.num_threads))?;
        }
        if let Ok(open) = process.fd_count() {
            encode(
                &mut encoder,
                families::PROCESS_OPEN_FDS,
                &ConstGauge::new(i64::try_from(open).unwrap_or(i64::MAX)),
            )?;
        }
        if let Some(most) = self.max_fds {
            encode(&mut encoder, families::PROCESS_MAX_FDS, &ConstGauge::new(count(most)))?;
        }
        Ok(())
    }
}

/// Log messages by level, and those that were dropped.
#[derive(Debug)]
pub(super) struct LogMessages;

impl Collector for LogMessages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let family = families::LOG_MESSAGES;
        let mut metric = encoder.encode_descriptor(
            family.family_name(),
            family.help,
            None,
            MetricType::Counter,
        )?;
        for (level, messages) in logging::LEVELS.iter().zip(logging::messages()) {
            ConstCounter::new(messages).encode(metric.encode_family(&[("level", *level)])?)?;
        }
        encode(&mut encoder, families::LOG_MESSAGES_DROPPED, &ConstCounter::new(logging::dropped()))
    }
}
