//! `cxone-exporter`: see the library's documentation for the map.

use std::io::Write as _;
use std::process::ExitCode;

use cxone_exporter::{cli, commands, tasks};
use tikv_jemalloc_ctl::{Access as _, AsName as _};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Lets the allocator return freed memory to the system at once: a poll needs much for a moment, and
/// then nothing may happen for long. The first arena exists already; later ones take the default.
fn return_freed_memory() {
    for setting in [&b"arenas.dirty_decay_ms\0"[..], b"arena.0.dirty_decay_ms\0"] {
        // Without it the exporter only needs more memory.
        let _set = setting.name().write(0_isize);
    }
}

fn main() -> ExitCode {
    tasks::hold_signals();
    return_freed_memory();
    match cli::parse_args(std::env::args_os()) {
        Ok(cli) => commands::run(cli),
        Err(stop) => {
            tasks::release_signals();
            // If the reader has gone away, there is nobody to report it to.
            let _written = match stop.code {
                cli::EXIT_OK => std::io::stdout().write_all(stop.text.as_bytes()),
                _ => std::io::stderr().write_all(stop.text.as_bytes()),
            };
            ExitCode::from(stop.code)
        }
    }
}
