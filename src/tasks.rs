//! The only file that spawns: every task has a name, and the end of a task that must not end is the
//! end of the process.

#![allow(clippy::disallowed_methods, reason = "this is the file that spawns")]

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal::{
    self as Number, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ,
};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of the process. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    dead: Arc<watch::Sender<Option<DeadTask>>>,
}

/// An essential task that ended before it was to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task `{name}` {}", match panic { Some(text) => format!("panicked: {text}"), None => "ended unexpectedly".to_owned() })]
pub struct DeadTask {
    /// Its name.
    pub name: &'static str,
    /// The panic's message, if it panicked.
    pub panic: Option<String>,
}

impl Tasks {
    /// No tasks yet. Cancelling `stop` asks all of them to end; from then on an essential task may.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop,
            running: Arc::default(),
            dead: Arc::new(watch::Sender::new(None)),
        }
    }

    /// The token that asks the tasks to end.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task without which the process is of no use: if it panics, or ends before `stop` is
    /// cancelled, [`Tasks::dead`] returns it.
    pub fn essential(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, dead) = (self.stop.clone(), Arc::clone(&self.dead));
        self.run(name, async move {
            let panic =
                AssertUnwindSafe(task).catch_unwind().await.err().map(|cause| panic_text(&*cause));
            if panic.is_some() || !stop.is_cancelled() {
                let task = DeadTask { name, panic };
                dead.send_if_modified(|first| first.is_none() && first.replace(task).is_none());
            }
        });
    }

    /// Runs a task that may end at any time, such as one client's connection. A panic ends it alone
    /// and is logged.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.run(name, async move {
            if let Err(cause) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(task = name, panic = panic_text(&*cause), "task panicked");
            }
        });
    }

    /// Waits for the first essential task that ends too early, forever if none does.
    pub async fn dead(&self) -> DeadTask {
        let mut dead = self.dead.subscribe();
        let first = dead.wait_for(Option::is_some).await.map(|first| first.clone());
        match first {
            Ok(Some(task)) => task,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Waits until all tasks have ended, at most for `limit`. Returns the names of those that have
    /// not.
    pub async fn drain(&self, limit: Duration) -> Vec<&'static str> {
        self.tracker.close();
        let in_time = tokio::time::timeout(limit, self.tracker.wait()).await.is_ok();
        if in_time { Vec::new() } else { lock(&self.running).keys().copied().collect() }
    }

    fn run(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let listed = RunningTask::new(Arc::clone(&self.running), name);
        drop(self.tracker.spawn(async move {
            let _listed = listed;
            task.await;
        }));
    }
}

/// Runs `work`, which computes for more than a moment, on a thread where it blocks no task.
///
/// # Panics
/// With `work`'s own panic.
pub async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(cause) => match cause.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down drops blocking work; nobody waits then.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A value that work on another thread borrows, one piece of work at a time. While a thread has the
/// value, nobody else can reach it.
pub enum Offloaded<T, R> {
    /// Nothing is in progress.
    Idle(T),
    /// A thread has the value.
    Busy(BoxFuture<'static, (T, R)>),
}

impl<T: Send + 'static, R: Send + 'static> Offloaded<T, R> {
    /// The value, unless a thread has it.
    pub const fn idle(&self) -> Option<&T> {
        match self {
            Self::Idle(value) => Some(value),
            Self::Busy(_) => None,
        }
    }

    /// Starts `work` on a thread; [`Offloaded::finished`] waits for it.
    ///
    /// # Panics
    /// If other work is in progress.
    pub fn start(&mut self, work: impl FnOnce(&mut T) -> R + Send + 'static) {
        let before = std::mem::replace(self, Self::Busy(std::future::pending().boxed()));
        let Self::Idle(mut value) = before else { panic!("a thread has the value already") };
        let work = off_thread(move || {
            let result = work(&mut value);
            (value, result)
        });
        *self = Self::Busy(work.boxed());
    }

    /// Waits until the work in progress ends, for ever if there is none. Dropping the future loses
    /// nothing: the next call waits for the same work.
    pub async fn finished(&mut self) -> R {
        match self {
            Self::Idle(_) => std::future::pending().await,
            Self::Busy(work) => {
                let (value, result) = work.await;
                *self = Self::Idle(value);
                result
            }
        }
    }
}

/// Runs `work`, which computes for more than a moment, here and now; other tasks go on if the
/// runtime has more threads.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// Drops a value, which may take more than a moment, on another thread.
pub fn drop_later<T: Send + 'static>(value: T) {
    drop(tokio::task::spawn_blocking(move || drop(value)));
}

/// Runs `work`, which may block for any time, on a thread of its own, until the process ends.
///
/// # Errors
/// If the system has no more threads.
pub fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Keeps a task in the list of running tasks until it is dropped.
struct RunningTask {
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    name: &'static str,
}

impl RunningTask {
    fn new(running: Arc<Mutex<BTreeMap<&'static str, usize>>>, name: &'static str) -> Self {
        *lock(&running).entry(name).or_default() += 1;
        Self { running, name }
    }
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

/// The list is valid even if a thread panicked while it held the lock: each change is one step.
fn lock<'a>(
    running: &'a Mutex<BTreeMap<&'static str, usize>>,
) -> MutexGuard<'a, BTreeMap<&'static str, usize>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panic_text(cause: &(dyn Any + Send)) -> String {
    let text = cause
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(no message)").to_owned()
}

/// With fewer open files than this the process could do nothing useful.
const MIN_OPEN_FILES: u64 = 64;

/// Raises the limit of open files as far as the system allows.
///
/// # Errors
/// If that is too low to do anything useful: the runtime would panic.
pub fn allow_open_files() -> Result<(), String> {
    let Ok((preset, max)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let allowed = match setrlimit(Resource::RLIMIT_NOFILE, max, max) {
        Ok(()) => max,
        Err(_) => preset,
    };
    if allowed < MIN_OPEN_FILES {
        return Err(format!(
            "limit of open files is {allowed}, at least {MIN_OPEN_FILES} are needed: raise it \
             (`ulimit -n`, `LimitNOFILE=` in a systemd unit)"
        ));
    }
    Ok(())
}

/// The signals that are blocked from [`hold_signals`] to [`release_signals`].
const HELD: [Number; 5] = [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2];

/// Blocks the signals that are handled later: until then any of them would end the process. Call it
/// first of all, while there is one thread. SIGXFSZ stays blocked: a write beyond the file size
/// limit fails and does not end the process.
pub fn hold_signals() {
    let mut held = SigSet::from_iter(HELD);
    held.add(SIGXFSZ);
    // It cannot fail for signals that exist.
    let _held = held.thread_block();
}

/// Unblocks the signals in this thread. Threads that were started meanwhile keep them blocked, so
/// the system delivers them here.
pub fn release_signals() {
    let _released = SigSet::from_iter(HELD).thread_unblock();
}

/// The signals that ask the process to end. Once they are handled, none of them ends it by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Handles SIGTERM and SIGINT from now on, and ignores SIGUSR1 and SIGUSR2.
    ///
    /// # Errors
    /// If the system rejects the handlers.
    pub fn listen() -> io::Result<Self> {
        // A handler stays in place when nobody waits for its signal any more.
        drop(signal(SignalKind::user_defined1())?);
        drop(signal(SignalKind::user_defined2())?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal and returns its name. The first one means to drain and end, the
    /// second one to end at once.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            else => std::future::pending().await,
        }
    }
}

/// The signal that reloads the configuration. Once it is handled, it does not end the process.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Handles SIGHUP from now on.
    ///
    /// # Errors
    /// If the system rejects the handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_essential_task_that_panics_or_ends_is_returned_by_name() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("connection", async { panic!("only this connection") });
        tasks.essential("poller", async { panic!("no rows") });
        assert_eq!(
            tasks.dead().await,
            DeadTask { name: "poller", panic: Some("no rows".to_owned()) }
        );

        let tasks = Tasks::new(CancellationToken::new());
        tasks.essential("server", async {});
        assert_eq!(tasks.dead().await.to_string(), "the task `server` ended unexpectedly");
    }

    #[tokio::test(start_paused = true)]
    async fn an_essential_task_may_end_once_it_is_asked_to() {
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        tasks.essential("poller", stop.clone().cancelled_owned());
        stop.cancel();
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, Vec::<&str>::new());
        assert!(tokio::time::timeout(Duration::from_secs(60), tasks.dead()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn draining_is_bounded_and_names_what_is_left() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.essential("stuck", std::future::pending());
        tasks.spawn("quick", async {});
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, ["stuck"]);
    }

    #[tokio::test]
    async fn work_off_the_thread_gives_its_result() {
        assert_eq!(off_thread(|| 6 * 7).await, 42);
    }

    #[tokio::test]
    async fn a_signal_is_returned_by_name_and_does_not_end_the_process() {
        let mut signals = Signals::listen().unwrap();
        for (flag, name) in [("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
            let sent = std::process::Command::new("sh")
                .args(["-c", &format!("kill {flag} {}", std::process::id())])
                .status()
                .unwrap();
            assert!(sent.success());
            assert_eq!(signals.next().await, name);
        }
    }
}
