//! What this binary was built from, for `--version`, the log and the metrics.

/// The exporter's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, or `unknown`.
pub const REVISION: &str = env!("CXONE_EXPORTER_REVISION");

/// The branch that the commit was on, or `unknown`.
pub const BRANCH: &str = env!("CXONE_EXPORTER_BRANCH");

/// The version of the Rust compiler, or `unknown`.
pub const RUST_VERSION: &str = env!("CXONE_EXPORTER_RUST");

/// The operating system that it is for, as Go names it.
pub const OS: &str = std::env::consts::OS;

/// The architecture that it is for, as Go names it.
pub const ARCH: &str = go_arch(std::env::consts::ARCH);

const fn go_arch(arch: &'static str) -> &'static str {
    match arch.as_bytes() {
        b"x86_64" => "amd64",
        b"aarch64" => "arm64",
        _ => arch,
    }
}
