//! Records what the binary is built from. Never fails: what is not known is `unknown`.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Another repository that merely contains these sources has other revisions.
    let in_repository = Path::new(".git").exists()
        // Otherwise every commit would rebuild a debug build.
        && env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let git = |arguments: &[&str]| if in_repository { output("git", arguments) } else { None };
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for (name, arguments) in [
        ("CXONE_EXPORTER_REVISION", &["rev-parse", "HEAD"][..]),
        ("CXONE_EXPORTER_BRANCH", &["rev-parse", "--abbrev-ref", "HEAD"]),
    ] {
        println!("cargo::rerun-if-env-changed={name}");
        let given = env::var(name).ok().filter(|value| is_word(value));
        export(name, given.or_else(|| git(arguments)));
    }
    let rustc = env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    export("CXONE_EXPORTER_RUST", rustc.and_then(|text| Some(text.split(' ').nth(1)?.to_owned())));
}

fn export(name: &str, value: Option<String>) {
    let value = value.filter(|value| is_word(value)).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env={name}={value}");
}

/// The output of a command, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        // A git hook sets them for another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether `value` may be in a label and on a line.
fn is_word(value: &str) -> bool {
    (1..=256).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic())
}
