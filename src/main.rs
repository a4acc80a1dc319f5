//! `cxone-exporter`: see the library's documentation for the map.

use std::io::Write as _;
use std::process::ExitCode;

use cxone_exporter::{cli, commands};

fn main() -> ExitCode {
    match cli::parse_args(std::env::args_os()) {
        Ok(cli) => commands::run(cli),
        Err(stop) => {
            // A reader that has gone away has no use for the text.
            let _written = match stop.code {
                cli::EXIT_OK => std::io::stdout().write_all(stop.text.as_bytes()),
                _ => std::io::stderr().write_all(stop.text.as_bytes()),
            };
            ExitCode::from(stop.code)
        }
    }
}
