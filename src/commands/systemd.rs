//! Word to systemd, if it started the process and wants to know (`Type=notify`, `WatchdogSec`).
//! Without it nothing is said.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::Heartbeat;
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

/// What the loop leaves a trace in: often enough for the watchdog.
pub(super) fn heartbeat() -> Heartbeat {
    Heartbeat::new(told_every() / 2)
}

/// How often systemd is told: twice within the time after which the watchdog bites.
fn told_every() -> Duration {
    watchdog_enabled().map_or(STATUS_EVERY, |limit| (limit / 2).min(STATUS_EVERY))
}

/// Tells now and then what the process does and, if the loop has turned since, that it is alive,
/// until `stop` is cancelled; and logs how many messages were folded.
pub(super) async fn stay_in_touch(
    status: impl Fn() -> String + Send,
    heartbeat: Heartbeat,
    clock: Clock,
    stop: CancellationToken,
) {
    let every = told_every();
    let mut watchdog = Watchdog::default();
    while !stop.is_cancelled() {
        let status = status();
        let status = NotifyState::Status(&status);
        if watchdog.is_fed(heartbeat.beats()) {
            tell(&[NotifyState::Watchdog, status]);
        } else {
            tell(&[status]);
        }
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

/// Feeds systemd's watchdog while the loop turns.
#[derive(Debug, Default)]
struct Watchdog {
    turns: u64,
}

impl Watchdog {
    /// Whether to feed it after so many turns of the loop: only if some of them are new.
    fn is_fed(&mut self, turns: u64) -> bool {
        std::mem::replace(&mut self.turns, turns) != turns
    }
}

fn tell(news: &[NotifyState<'_>]) {
    if let Err(cause) = notify(news) {
        tracing::debug!(%cause, "systemd cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_by_the_loop_alone() {
        let (heartbeat, mut watchdog) = (Heartbeat::new(STATUS_EVERY), Watchdog::default());
        assert!(!watchdog.is_fed(heartbeat.beats()), "it has not begun");
        heartbeat.beat();
        assert!(watchdog.is_fed(heartbeat.beats()));
        assert!(!watchdog.is_fed(heartbeat.beats()), "it is stuck");
        heartbeat.clone().beat();
        assert!(watchdog.is_fed(heartbeat.beats()));
    }
}
