//! The fuzz targets as property tests: `fuzz/bodies` with mutated seeds and with random bytes.
//! `scripts/fuzz` searches longer and deeper.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

use std::alloc::System;
use std::fs;
use std::path::{Path, PathBuf};

use cap::Cap;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The memory that this process may use at once; an allocation above it aborts.
const MOST_MEMORY: usize = 256 << 20;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MOST_MEMORY);

/// Fragments with a meaning in one of the formats.
const WORDS: [&[u8]; 30] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"\n",
    b"\\",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"99999999999999999999",
    b"\\ud800",
    b"\xFF",
    b"\xEF\xBB\xBF",
    b"\0",
    b"\x1B[2J",
    b"COMPLETED",
    b"\"data\":[",
    b"\"access_token\":",
    b"https://",
    b"@",
    b"*a",
    b"&a ",
    b"- ",
    b";q=0.5",
    b"9999-12-31T23:59:59Z",
];

#[derive(Clone, Debug)]
struct Edit {
    at: Index,
    cut: usize,
    put: Vec<u8>,
}

fn edit() -> impl Strategy<Value = Edit> {
    let put = prop_oneof![
        select(&WORDS[..]).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..4)
    ];
    (any::<Index>(), prop_oneof![4 => 0_usize..4, 1 => 0_usize..200], put)
        .prop_map(|(at, cut, put)| Edit { at, cut, put })
}

fn input(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changed =
        (select(seeds), prop::collection::vec(edit(), 0..5)).prop_map(|(mut input, edits)| {
            for Edit { at, cut, put } in edits {
                let at = at.index(input.len() + 1);
                let end = (at + cut).min(input.len());
                input.splice(at..end, put);
            }
            input
        });
    prop_oneof![9 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn holds(name: &str, cases: u32) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder("seeds").join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.into_iter().map(|path| fs::read(path).unwrap()).collect();
    seeds.iter().for_each(|seed| bodies::check(name, seed));
    // The same inputs each time, so that a change is what makes this fail; new ones are what
    // `scripts/fuzz` is for, and `PROPTEST_CASES`.
    let (config, random) = (
        Config { cases, failure_persistence: None, ..Config::default() },
        std::env::var_os("PROPTEST_CASES").is_some(),
    );
    let mut runner = if random {
        TestRunner::new(Config { failure_persistence: None, ..Config::default() })
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    };
    let outcome = runner.run(&input(seeds), |input| {
        bodies::check(name, &input);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn no_accept_header_breaks_a_promise() {
    holds("accept", 2_000);
}

#[test]
fn no_configuration_breaks_a_promise() {
    holds("config", 1_000);
}

#[test]
fn no_list_of_the_platform_breaks_a_promise() {
    holds("platform", 1_500);
}

#[test]
fn no_record_breaks_a_promise() {
    holds("records", 1_500);
}

#[test]
fn no_report_breaks_a_promise() {
    holds("report", 1_500);
}

#[test]
fn no_retry_after_breaks_a_promise() {
    holds("retry_after", 5_000);
}

#[test]
fn no_token_answer_breaks_a_promise() {
    holds("token", 1_500);
}

#[test]
fn no_web_configuration_breaks_a_promise() {
    holds("web_config", 1_000);
}

#[test]
fn every_fuzz_target_has_seeds_a_program_and_a_manifest_entry() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for (name, _) in bodies::TARGETS {
        assert!(folder("seeds").join(name).read_dir().unwrap().next().is_some());
        let program =
            fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(
            program.contains(&format!("check(\"{name}\", data)"))
                && manifest.contains(&format!("name = \"{name}\"")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), bodies::TARGETS.len());
}
