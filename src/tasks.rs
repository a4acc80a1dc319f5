//! The only file that spawns: every task has a name, and a task that must not end ends the process
//! when it does.

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

/// An essential task that ended although nobody asked it to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task `{name}` {}", match panic { Some(text) => format!("panicked: {text}"), None => "ended unexpectedly".to_owned() })]
pub struct DeadTask {
    /// Its name.
    pub name: &'static str,
    /// What it said, if it panicked.
    pub panic: Option<String>,
}

impl Tasks {
    /// No tasks yet. Cancelling `stop` tells all of them to end; from then on an essential task
    /// may.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop,
            running: Arc::default(),
            dead: Arc::new(watch::Sender::new(None)),
        }
    }

    /// The token that tells the tasks to end.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task without which the process is of no use: if it panics, or ends before `stop` is
    /// cancelled, [`Tasks::dead`] tells.
    pub fn essential(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, dead) = (self.stop.clone(), Arc::clone(&self.dead));
        self.run(name, async move {
            let panic =
                AssertUnwindSafe(task).catch_unwind().await.err().map(|cause| panic_text(&*cause));
            if panic.is_some() || !stop.is_cancelled() {
                let mine = DeadTask { name, panic };
                dead.send_if_modified(|first| first.is_none() && first.replace(mine).is_none());
            }
        });
    }

    /// Runs a task that may end at any time, such as one client's connection. A panic ends it alone
    /// and is logged.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.run(name, async move {
            if let Err(cause) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(task = name, panic = panic_text(&*cause), "a task panicked");
            }
        });
    }

    /// Waits for the first essential task that ends although it should not; for ever, if none does.
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
        let listed = Listed::new(Arc::clone(&self.running), name);
        drop(self.tracker.spawn(async move {
            let _listed = listed;
            task.await;
        }));
    }
}

/// Runs `work`, which computes for more than a moment, on a thread where it holds up no task.
///
/// # Panics
/// With `work`'s own panic.
pub async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(cause) => match cause.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is being torn down drops blocking work; nobody waits then.
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

/// Runs `work`, which computes for more than a moment, here and now; the other tasks go on where
/// the runtime has threads for them.
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

/// Runs `work`, which may block for as long as it likes, on a thread of its own; the end of the
/// process is the end of it.
///
/// # Errors
/// If the system gives no more threads.
pub fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// A task's entry in the list of running tasks; gone when it is dropped.
struct Listed {
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    name: &'static str,
}

impl Listed {
    fn new(running: Arc<Mutex<BTreeMap<&'static str, usize>>>, name: &'static str) -> Self {
        *lock(&running).entry(name).or_default() += 1;
        Self { running, name }
    }
}

impl Drop for Listed {
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

/// The list is whole even if a thread panicked while it held it: each change is one step.
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
    text.unwrap_or("(no text)").to_owned()
}

/// The fewest files that a process needs to have open at once to do anything useful.
const FEWEST_FILES: u64 = 64;

/// Allows as many open files as the system lets this process have, beyond what is preset.
///
/// # Errors
/// If those are too few to do anything useful: the runtime would panic for want of them.
pub fn allow_open_files() -> Result<(), String> {
    let Ok((preset, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let allowed = match setrlimit(Resource::RLIMIT_NOFILE, most, most) {
        Ok(()) => most,
        Err(_) => preset,
    };
    if allowed < FEWEST_FILES {
        return Err(format!(
            "only {allowed} files may be open at once, and at least {FEWEST_FILES} are needed: raise the limit \
             (`ulimit -n`, `LimitNOFILE=` in a systemd unit)"
        ));
    }
    Ok(())
}

/// The signals that wait, from [`hold_signals`] to [`release_signals`].
const HELD: [Number; 5] = [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2];

/// Holds back the signals that are listened to later: until then any of them would end the process.
/// Call it first of all, while there is one thread. SIGXFSZ is never let through: a file that
/// reaches the size limit of the process is an error of the write, not the end.
pub fn hold_signals() {
    let mut held = SigSet::from_iter(HELD);
    held.add(SIGXFSZ);
    // It fails for no set of signals that exist.
    let _held = held.thread_block();
}

/// Lets the signals through that were held back. Threads that were started meanwhile go on without
/// them: the system gives them to this one.
pub fn release_signals() {
    let _released = SigSet::from_iter(HELD).thread_unblock();
}

/// The signals that ask the process to end. Once they are listened to, none of them ends it by
/// itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen for SIGTERM and SIGINT. SIGUSR1 and SIGUSR2, which ask for something that
    /// this process does not do, end it no more.
    ///
    /// # Errors
    /// If the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        // A handler stays when nobody listens to it any more.
        drop(signal(SignalKind::user_defined1())?);
        drop(signal(SignalKind::user_defined2())?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal and gives its name. The first one means to drain and end, the
    /// second one to end at once.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            else => std::future::pending().await,
        }
    }
}

/// The signal that asks for the configuration to be read again. Once it is listened to, it does not
/// end the process.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Begins to listen for SIGHUP.
    ///
    /// # Errors
    /// If the system refuses the handler.
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
    async fn an_essential_task_that_panics_or_ends_is_told_by_name() {
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
    async fn a_signal_is_told_by_name_and_does_not_end_the_process() {
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
