//! `completions` and `man`, which packages install.

use std::io::{self, Write as _};

use clap::CommandFactory as _;

use super::CommandError;
use crate::cli::{Cli, CompletionsArgs, ManArgs};

/// Prints completions for a shell.
///
/// # Errors
/// When they cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cxone-exporter", &mut text);
    print(&text)
}

/// Prints the man page of the program, or of one of its commands.
///
/// # Errors
/// When there is no such command, or the page cannot be written.
pub fn man(args: &ManArgs) -> Result<(), CommandError> {
    let mut program = Cli::command();
    program.build();
    let page = match &args.command {
        None => program,
        Some(name) => {
            let mut known = Vec::new();
            for command in program.get_subcommands() {
                known.push((command.get_name().to_owned(), command));
                // A command with commands of its own names their pages so.
                let below = command.get_subcommands().filter(|below| below.get_name() != "help");
                known.extend(
                    below.map(|below| {
                        (format!("{}-{}", command.get_name(), below.get_name()), below)
                    }),
                );
            }
            let found = known.iter().find(|(known, _)| known == name);
            let (_, command) = found.ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|(name, _)| &**name).collect();
                CommandError::Failed(format!(
                    "no command {name}; commands are {}",
                    names.join(", ")
                ))
            })?;
            (*command).clone()
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|cause| CommandError::Failed(format!("cannot make the page: {cause}")))?;
    print(&text)
}

/// Prints a result on stdout.
pub(super) fn print(text: &[u8]) -> Result<(), CommandError> {
    match io::stdout().write_all(text) {
        // A reader that has read enough, such as `head`, is not a failure.
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::Failed(format!("cannot write: {cause}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
