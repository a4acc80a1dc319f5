//! `store`: the commands about the shared store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `store`.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// The commands below `store`.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreCommand {
    /// Create the tables in a PostgreSQL database; does nothing where they exist
    Init(StoreInitArgs),
    /// Show what a PostgreSQL database holds: leader, revision, lease, size, replicas
    Status(StoreStatusArgs),
    /// Copy a store from a folder into a PostgreSQL database, or back
    Copy(StoreCopyArgs),
}

/// The password of the database.
#[derive(Clone, Debug, Args)]
pub struct DatabasePasswordArgs {
    /// The file that holds the database user's password [env: the password itself in
    /// CXONE_STORAGE_PASSWORD]
    #[arg(long = "storage.password-file", value_name = "FILE", help_heading = "Storage")]
    pub file: Option<PathBuf>,
}

/// Where the database is.
#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// The PostgreSQL database, without a password: postgres://USER@HOST/DATABASE [env:
    /// CXONE_STORAGE_URL]
    // It is parsed by the command: a message about it here would repeat it.
    #[arg(long = "storage.url", value_name = "URL", help_heading = "Storage")]
    pub url: Option<String>,

    /// The password.
    #[command(flatten)]
    pub password: DatabasePasswordArgs,
}

/// `store init`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Any number of replicas may run it at once.

Example:
  export CXONE_STORAGE_PASSWORD=…
  cxone-exporter store init --storage.url=postgres://cxone@db.example.org/cxone")]
pub struct StoreInitArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `store status`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:
  export CXONE_STORAGE_PASSWORD=…
  cxone-exporter store status --storage.url=postgres://cxone@db.example.org/cxone")]
pub struct StoreStatusArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The store to show; all in the database unless given
    #[arg(long = "storage.name", value_name = "NAME", help_heading = "Storage")]
    pub name: Option<String>,
}

/// `store copy`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Stop the exporter first. The target must be empty; it gets all records, or none.

Examples:
  export CXONE_STORAGE_PASSWORD=…
  cxone-exporter store copy --from=data --to=postgres://cxone@db.example.org/cxone
  cxone-exporter store copy --from=postgres://cxone@db.example.org/cxone --to=data"
)]
pub struct StoreCopyArgs {
    /// What to copy: a folder, or a PostgreSQL database (postgres://…)
    #[arg(long, value_name = "FOLDER|URL")]
    pub from: String,

    /// Where to: a PostgreSQL database, or a folder, made if it does not exist
    #[arg(long, value_name = "FOLDER|URL")]
    pub to: String,

    /// The name of the store in the database; API host and client id of the store in the folder, or
    /// the only one in the database, unless given
    #[arg(long = "storage.name", value_name = "NAME", help_heading = "Storage")]
    pub name: Option<String>,

    /// The password.
    #[command(flatten)]
    pub password: DatabasePasswordArgs,
}
