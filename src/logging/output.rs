//! Lines on stderr, written by a thread of their own, so that a slow reader blocks nothing else.
//! Lines that do not fit in the queue or cannot be written are dropped and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

const MAX_QUEUED_BYTES: usize = 1024 * 1024;

/// The pause before another attempt where stderr would block, because another process made it so.
const RETRY_DELAY: Duration = Duration::from_millis(20);

pub(super) struct LogOutput {
    queue: Mutex<LineQueue>,
    changed: Condvar,
    dropped: AtomicU64,
}

struct LineQueue {
    lines: VecDeque<Vec<u8>>,
    /// The length of these lines, and of the one that is being written.
    bytes: usize,
}

impl LogOutput {
    pub(super) const fn new() -> Self {
        Self {
            queue: Mutex::new(LineQueue { lines: VecDeque::new(), bytes: 0 }),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Queues a line, or drops it.
    pub(super) fn put(&self, line: &[u8]) {
        let mut queue = self.lock();
        if line.len() > MAX_QUEUED_BYTES - queue.bytes {
            drop(queue);
            self.drop_line();
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.changed.notify_all();
    }

    /// Writes queued lines, for ever.
    pub(super) fn write_to(&self, mut out: impl Write) {
        loop {
            let waiting = |queue: &mut LineQueue| queue.lines.is_empty();
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

    /// Waits until the queue is written, at most for `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let waiting = |queue: &mut LineQueue| queue.bytes > 0;
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
    fn lock(&self) -> MutexGuard<'_, LineQueue> {
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
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(RETRY_DELAY)
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Queues each event, which comes in one piece.
impl Write for &LogOutput {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static LogOutput {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Accepts a line, or fails, as the test lets it.
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
    fn unread_lines_queue_up_to_the_limit_and_unwritable_ones_are_dropped_and_counted() {
        static OUTPUT: LogOutput = LogOutput::new();
        let (lets, reader) = mpsc::channel();
        let (read, lines) = mpsc::channel();
        crate::tasks::thread("test", || OUTPUT.write_to(Reader { lets: reader, read }))
            .expect("there is room for a thread");
        let half = vec![b'x'; MAX_QUEUED_BYTES / 2];
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
