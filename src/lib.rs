//! A Prometheus exporter for the agent states of a NICE CXone contact centre.
//!
//! Dependencies point inward only: `main` → [`commands`] → [`app`] → adapters → [`cxone_core`].
//!
//! | module | what it is for |
//! |---|---|
//! | [`cxone`] | the client of CXone's API: transport, token, requests, reading of reports |
//! | [`exposition`] | the table of metric families, and a snapshot as text |
//! | [`server`] | the HTTP server: accept loop, limits, content negotiation |
//! | [`cli`] | the command line: what each command takes, exit codes |
//! | [`config`] | text → typed configuration, all mistakes at once |
//! | [`commands`] | one file a command |
//! | [`app`] | the composition root: the only place that knows every concrete type |
//! | [`engine`] | the loop: runs the plan, makes requests, counts replies, publishes |
//! | [`base_url`] | the one type of the addresses that a configuration names |
//! | [`build_info`] | what the binary was built from |
//! | [`telemetry`] | the exporter's metrics about itself |
//! | [`logging`] | log messages on stderr |
//! | [`clock`] | the only file that reads a clock |
//! | [`tasks`] | the only file that spawns tasks, and the signals that end the process |
//!
//! `ARCHITECTURE.md` describes how they work together.

pub mod app;
pub mod base_url;
pub mod build_info;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod cxone;
pub mod engine;
pub mod exposition;
pub mod logging;
pub mod server;
pub mod store;
pub mod tasks;
pub mod telemetry;
