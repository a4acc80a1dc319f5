//! Word to systemd, if it started the process and wants to know (`Type=notify`, `WatchdogSec`).
//! Without it nothing is said.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::logging;

/// How often the status is told, where no watchdog wants to hear more often.
const STATUS_EVERY: Duration = Duration::from_secs(30);

/// The exporter answers.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The exporter ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells now and then that the process is alive, and what it does, until `stop` is cancelled; and
/// logs how many messages were folded.
pub(super) async fn stay_in_touch(
    status: impl Fn() -> String + Send,
    clock: Clock,
    stop: CancellationToken,
) {
    let every = watchdog_enabled().map_or(STATUS_EVERY, |limit| (limit / 2).min(STATUS_EVERY));
    while !stop.is_cancelled() {
        tell(&[NotifyState::Watchdog, NotifyState::Status(&status())]);
        let folded = logging::take_folded();
        if folded > 0 {
            tracing::info!(
                messages = folded,
                "messages were left out that repeat others of the same minute"
            );
        }
        let next = clock.now().instant.plus(every);
        let _stopped = stop.run_until_cancelled(clock.sleep_until(next)).await;
    }
}

fn tell(news: &[NotifyState<'_>]) {
    if let Err(cause) = notify(news) {
        tracing::debug!(%cause, "systemd cannot be told");
    }
}
