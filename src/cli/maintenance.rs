//! The commands beside the exporter's work: what the store forgets, and what packages install.

use std::path::PathBuf;

use clap::Args;

use super::values::user_id;

/// `erase`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "What the agents did all together stays counted. First take the agent out of the targets: what CXone tells of it later is counted
as that of a new agent.

Example:
  cxone-exporter erase --agent user-abc-123 --storage.path=/var/lib/cxone-exporter"
)]
pub struct EraseArgs {
    /// The agent: the id that CXone has for it, or the one in the metrics
    #[arg(long, value_name = "ID", value_parser = user_id)]
    pub agent: String,

    /// The folder where the counts are kept
    #[arg(
        long = "storage.path",
        value_name = "FOLDER",
        default_value = "data/",
        help_heading = "Storage"
    )]
    pub storage_path: PathBuf,

    /// The configuration file; needed where ids are hashed
    #[arg(long = "config.file", value_name = "FILE", help_heading = "Configuration")]
    pub config_file: Option<PathBuf>,
}

/// `completions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:
  cxone-exporter completions bash > /etc/bash_completion.d/cxone-exporter")]
pub struct CompletionsArgs {
    /// The shell: bash, elvish, fish, powershell or zsh
    #[arg(value_enum, ignore_case = true, value_name = "SHELL", hide_possible_values = true)]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cxone-exporter man | man -l -
  cxone-exporter man serve | man -l -")]
pub struct ManArgs {
    /// The command that the page is about; without one, the page is about the program
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}
