//! Commands that need no network, as a person runs them.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use cxone_core::counts::{Record, RecordKey};
use cxone_core::store::Store;
use cxone_exporter::config::{AgentIds, IdKey};
use cxone_exporter::store::DiskStore;

/// Runs a command line; returns its exit status, stdout and stderr.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("cxone-exporter").unwrap().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn store_of(folder: &Path, agents: &[&str]) {
    let records: Vec<Record> = agents
        .iter()
        .map(|agent| Record::put(&RecordKey::Agent((*agent).into()), &[1_u8; 20]))
        .collect();
    DiskStore::open(folder).unwrap().commit(&records).unwrap();
}

#[test]
fn erase_accepts_the_agents_id_or_the_one_in_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let (store, config) = (folder.path().join("data"), folder.path().join("c.yml"));
    let key = "0123456789abcdef0123456789abcdef";
    let text = "api: {tenant: acme, client_id: c, client_secret_file: key}\nmetrics: {agent_ids: hmac, hmac_key_file: key}\n";
    fs::write(&config, text).unwrap();
    fs::write(folder.path().join("key"), key).unwrap();
    let ids = AgentIds::Hmac(IdKey::new(key.as_bytes()).unwrap());
    let (hashed, other) = (ids.of("user-1"), ids.of("user-2"));
    store_of(&store, &[&hashed, &other]);

    let storage = format!("--storage.path={}", store.display());
    let config = format!("--config.file={}", config.display());
    let (code, _, complaint) = run(&["erase", "--agent", "user-1", &storage]);
    assert_eq!(code, 1);
    assert!(
        complaint.contains(
            "no agent user-1 in the store; if `metrics.agent_ids` is hmac, add --config.file"
        ),
        "{complaint}"
    );
    let (code, said, _) = run(&["erase", "--agent", "user-1", &storage, &config]);
    assert!(code == 0 && said.starts_with("erased: 1 agent, 1 records"), "{said}");
    assert_eq!(run(&["erase", "--agent", &other, &storage]).0, 0);
    let (code, _, complaint) = run(&["erase", "--agent", "user-1", &storage, &config]);
    assert_eq!((code, complaint.as_str()), (1, "no agent user-1 in the store\n"));
}

#[test]
fn erase_does_not_wait_for_an_exporter_and_creates_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let storage = format!("--storage.path={}", folder.path().join("data").display());
    let (code, _, complaint) = run(&["erase", "--agent", "user-1", &storage]);
    assert!(code == 1 && complaint.starts_with("there is no store"), "{complaint}");
    assert!(!folder.path().join("data").exists());
    let _running = DiskStore::open(&folder.path().join("data")).unwrap();
    let (code, _, complaint) = run(&["erase", "--agent", "user-1", &storage]);
    assert!(code == 1 && complaint.contains("is used by another process"), "{complaint}");
}

#[test]
fn an_address_in_use_names_the_flag_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "s3cret").unwrap();
    let secret = format!("--api.client-secret-file={}", secret.display());
    let storage = format!("--storage.path={}", folder.path().join("data").display());
    let serve =
        ["serve", "--api.tenant=acme", "--api.client-id=c", "--target.user=u", &secret, &storage];
    let refused = |arguments: &[&str], flag: &str, address: &str| {
        let flag_with_address = format!("{flag}={address}");
        let arguments = [arguments, &[&flag_with_address]].concat();
        let (code, _, complaint) = run(&arguments);
        let advice = format!("; choose another address with {flag}\n");
        let said = complaint.lines().last().unwrap_or_default();
        assert!(code == 1 && said.starts_with("cannot listen on "), "{complaint}");
        assert!(complaint.contains(address) && complaint.ends_with(&advice), "{complaint}");
    };
    for command in [&["simulate"] as &[&str], &["demo", "--simulate.listen-address=127.0.0.1:0"]] {
        refused(command, "--web.listen-address", &taken);
    }
    refused(&["demo", "--web.listen-address=127.0.0.1:0"], "--simulate.listen-address", &taken);
    refused(&serve, "--web.listen-address", &taken);
    refused(&serve, "--web.listen-address", "name.invalid:10962");
    let elsewhere = format!("unix:{}", folder.path().join("none/socket").display());
    refused(&serve, "--web.listen-address", &elsewhere);
}

#[test]
fn every_command_has_a_man_page_and_every_shell_its_completions() {
    let (code, page, _) = run(&["man"]);
    assert_eq!(code, 0);
    let commands =
        ["serve", "demo", "history", "check", "simulate", "erase", "store", "completions", "man"];
    for command in commands {
        assert!(page.contains(&format!("cxone\\-exporter\\-{command}(1)")), "{command}");
        let (code, page, _) = run(&["man", command]);
        assert!(code == 0 && page.contains(&format!(".TH cxone-exporter-{command} 1")), "{page}");
    }
    let store = run(&["man", "store"]).1;
    for below in ["store-init", "store-status", "store-copy"] {
        assert!(store.contains(&below.replace('-', "\\-")), "{below}: {store}");
        let (code, page, _) = run(&["man", below]);
        assert!(code == 0 && page.contains(&format!(".TH cxone-exporter-{below} 1")), "{page}");
    }
    assert_eq!(run(&["man", "nothing"]).0, 1);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, text, _) = run(&["completions", shell]);
        assert!(code == 0 && text.contains("storage.path"), "{shell}");
    }
}
