//! `cxone-exporter`: see the library's documentation for the map.

use std::io::Write as _;
use std::process::ExitCode;

use cxone_exporter::{cli, commands, tasks};
use tikv_jemalloc_ctl::{Access as _, AsName as _};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Has the allocator give memory back to the system when it is freed, not some time later: a poll
/// needs much for a moment, and nothing may happen for long after it. The first arena is there
/// already; the others begin as the setting says.
fn give_memory_back() {
    for setting in [&b"arenas.dirty_decay_ms\0"[..], b"arena.0.dirty_decay_ms\0"] {
        // The exporter is as right without, and only larger.
        let _set = setting.name().write(0_isize);
    }
}

fn main() -> ExitCode {
    tasks::hold_signals();
    give_memory_back();
    match cli::parse_args(std::env::args_os()) {
        Ok(cli) => commands::run(cli),
        Err(stop) => {
            tasks::release_signals();
            // A reader that has gone away has no use for the text.
            let _written = match stop.code {
                cli::EXIT_OK => std::io::stdout().write_all(stop.text.as_bytes()),
                _ => std::io::stderr().write_all(stop.text.as_bytes()),
            };
            ExitCode::from(stop.code)
        }
    }
}
