//! What the pages show beside the metrics: the status page and `/-/ready`.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Web;
use crate::clock::Clock;
use crate::engine::{PublishSnapshot, PublishStatus};
use crate::exposition::render;
use crate::server::{PageSources, Pages, QuotaStatus, Readiness, StatusView};
use crate::telemetry::{SelfStatus, Telemetry};
use cxone_core::hidden::visible;
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::status::Status;

/// Written by the loop, read by the pages.
#[derive(Clone, Default)]
pub(super) struct SharedPageState(Arc<RwLock<PageState>>);

/// As of the last publication; the status as of the loop's last turn.
#[derive(Default)]
pub(super) struct PageState {
    /// The address of the API.
    pub(super) api: String,
    pub(super) quota: QuotaStatus,
    pub(super) status: Status,
    /// Whether there is something to show.
    ready: bool,
    pub(super) agents_seen: u64,
    pub(super) series: u64,
    series_dropped: u64,
}

impl SharedPageState {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, PageState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, PageState> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows snapshots on the pages.
    pub(super) fn publish(&self, pages: &Arc<Pages>) -> PublishSnapshot {
        let (state, pages) = (self.clone(), Arc::clone(pages));
        Arc::new(move |snapshot: Snapshot, ready: bool| {
            let Snapshot { agents_seen, series_dropped, .. } = snapshot;
            let rendered = render(snapshot, Some(&pages.published()));
            {
                let mut state = state.write();
                (state.ready, state.agents_seen) = (ready, agents_seen);
                (state.series, state.series_dropped) = (rendered.samples(), series_dropped);
            }
            pages.publish(rendered);
        })
    }

    /// Shows the status on the pages.
    pub(super) fn publish_status(&self) -> PublishStatus {
        let state = self.clone();
        Arc::new(move |status: Status| state.write().status = status)
    }

    /// What the pages are made from.
    pub(super) fn sources(
        &self,
        web: Web,
        clock: &Clock,
        telemetry: &Arc<Telemetry>,
    ) -> PageSources {
        let started = clock.now().utc;
        let own = Arc::clone(telemetry);
        let (state, telemetry, clock) = (self.clone(), Arc::clone(telemetry), clock.clone());
        let for_readiness = self.clone();
        PageSources {
            metrics_path: web.telemetry_path,
            max_requests: web.max_requests,
            reload: web.reload,
            exporter_metrics: Box::new(move || own.exporter_metrics()),
            readiness: Box::new(move || for_readiness.read().readiness()),
            status: Box::new(move || {
                let SelfStatus {
                    token_expiry,
                    token_refresh_failed,
                    config_loaded_at,
                    config_rejected_at,
                    certificate_expiry,
                    web_config_is_valid,
                    ..
                } = telemetry.self_status();
                let state = state.read();
                StatusView {
                    version: crate::build_info::VERSION.to_owned(),
                    now: clock.now().utc,
                    started_at: started,
                    api: state.api.clone(),
                    agents_seen: state.agents_seen,
                    series: state.series,
                    series_dropped: state.series_dropped,
                    quota: state.quota,
                    status: state.status.clone(),
                    token_expiry,
                    token_refresh_failed,
                    config_loaded_at,
                    config_rejected_at,
                    web_config_is_valid,
                    certificate_expiry,
                }
            }),
        }
    }
}

impl PageState {
    fn readiness(&self) -> Readiness {
        if self.ready {
            return Readiness::Ready;
        }
        let error = self
            .status
            .targets
            .iter()
            .find_map(|target| Some((&target.name, &target.last_error.as_ref()?.message)));
        let why = match error {
            Some((target, error)) => format!("no report yet; target {target}: {error}"),
            None => "no report yet: the first one is in progress".to_owned(),
        };
        Readiness::NotReady(visible(&why).into_owned())
    }
}
