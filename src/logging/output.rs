//! Lines on stderr, written by a thread of their own: whoever reads them slowly, or not at all,
//! holds up nothing else. What does not fit in the queue, and what cannot be written, is dropped
//! and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How much may wait to be written, in bytes.
const MOST_WAITING: usize = 1024 * 1024;

/// The pause before a stderr that would block, because somebody else made it so, is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// Lines on their way.
pub(super) struct Output {
    queue: Mutex<Queue>,
    changed: Condvar,
    dropped: AtomicU64,
}

struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// The length of these lines, and of the one that is being written.
    bytes: usize,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self {
            queue: Mutex::new(Queue { lines: VecDeque::new(), bytes: 0 }),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Has a line written some time soon, or drops it.
    pub(super) fn put(&self, line: &[u8]) {
        let mut queue = self.lock();
        if line.len() > MOST_WAITING - queue.bytes {
            drop(queue);
            self.drop_line();
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.changed.notify_all();
    }

    /// Writes what is put, for ever.
    pub(super) fn write_to(&self, mut out: impl Write) {
        loop {
            let waiting = |queue: &mut Queue| queue.lines.is_empty();
            let queue = self.changed.wait_while(self.lock(), waiting);
            let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
            let Some(line) = queue.lines.pop_front() else { continue };
            drop(queue);
            if write_whole(&mut out, &line).is_err() {
                self.drop_line();
            }
            self.lock().bytes -= line.len();
            self.changed.notify_all();
        }
    }

    /// Waits until all that was put is written, at most for `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let waiting = |queue: &mut Queue| queue.bytes > 0;
        drop(self.changed.wait_timeout_while(self.lock(), limit, waiting));
    }

    /// How many lines were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_line(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// The queue is whole even if a thread panicked while it held it: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_whole(out: &mut impl Write, line: &[u8]) -> io::Result<()> {
    let mut left = line;
    while !left.is_empty() {
        match out.write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => left = &left[written..],
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Puts each event, which comes in one piece.
impl Write for &Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static Output {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes a line when it is let to, and fails where it is told to.
    struct Reader {
        lets: mpsc::Receiver<io::Result<()>>,
        read: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.lets.recv().expect("the test goes on")?;
            self.read.send(line.to_vec()).expect("the test goes on");
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_reads_waits_up_to_the_limit_and_what_cannot_be_written_is_dropped_and_counted() {
        static OUTPUT: Output = Output::new();
        let (lets, reader) = mpsc::channel();
        let (read, lines) = mpsc::channel();
        crate::tasks::thread("test", || OUTPUT.write_to(Reader { lets: reader, read }))
            .expect("there is room for a thread");
        let half = vec![b'x'; MOST_WAITING / 2];
        for _ in 0..3 {
            OUTPUT.put(&half);
        }
        assert_eq!(OUTPUT.dropped(), 1);
        OUTPUT.flush(Duration::ZERO);
        lets.send(Err(io::ErrorKind::WouldBlock.into())).expect("it listens");
        lets.send(Ok(())).expect("it listens");
        assert_eq!(lines.recv().expect("a line"), half);
        lets.send(Err(io::ErrorKind::StorageFull.into())).expect("it listens");
        OUTPUT.flush(Duration::MAX);
        assert_eq!(OUTPUT.dropped(), 2);
        lets.send(Ok(())).expect("it listens");
        OUTPUT.put(b"again\n");
        assert_eq!(lines.recv().expect("a line"), b"again\n");
    }
}
