//! Notifications to systemd (`Type=notify`, `WatchdogSec`); without it nothing is sent.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::Heartbeat;
use crate::logging;

/// How often the status is sent, unless the watchdog needs it more often.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The configuration is being reloaded; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// What the loop leaves a trace in: often enough for the watchdog.
pub(super) fn heartbeat() -> Heartbeat {
    Heartbeat::new(notify_interval() / 2)
}

/// Twice within the time after which the watchdog kills the process.
fn notify_interval() -> Duration {
    watchdog_enabled().map_or(STATUS_INTERVAL, |limit| (limit / 2).min(STATUS_INTERVAL))
}

/// Sends the status and, if the loop has turned since, that the process is alive, until `stop` is
/// cancelled; and logs how many messages were suppressed.
pub(super) async fn notify_regularly(
    status: impl Fn() -> String + Send,
    heartbeat: Heartbeat,
    clock: Clock,
    stop: CancellationToken,
) {
    let every = notify_interval();
    let mut watchdog = Watchdog::default();
    while !stop.is_cancelled() {
        let status = status();
        let status = NotifyState::Status(&status);
        if watchdog.is_fed(heartbeat.beats()) {
            send(&[NotifyState::Watchdog, status]);
        } else {
            send(&[status]);
        }
        let suppressed = logging::take_suppressed();
        if suppressed > 0 {
            tracing::info!(messages = suppressed, "messages suppressed");
        }
        let next = clock.now().instant.plus(every);
        let _stopped = stop.run_until_cancelled(clock.sleep_until(next)).await;
    }
}

/// Feeds systemd's watchdog while the loop turns.
#[derive(Debug, Default)]
struct Watchdog {
    turns: u64,
}

impl Watchdog {
    /// Whether the loop has turned since the last call.
    fn is_fed(&mut self, turns: u64) -> bool {
        std::mem::replace(&mut self.turns, turns) != turns
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(cause) = notify(states) {
        tracing::debug!(%cause, "systemd notification failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_by_the_loop_alone() {
        let (heartbeat, mut watchdog) = (Heartbeat::new(STATUS_INTERVAL), Watchdog::default());
        assert!(!watchdog.is_fed(heartbeat.beats()), "it has not begun");
        heartbeat.beat();
        assert!(watchdog.is_fed(heartbeat.beats()));
        assert!(!watchdog.is_fed(heartbeat.beats()), "it is stuck");
        heartbeat.clone().beat();
        assert!(watchdog.is_fed(heartbeat.beats()));
    }
}
