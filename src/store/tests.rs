//! What every store promises, and what the disk's does when the disk does not.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use assert_matches::assert_matches;
use proptest::prelude::*;

use super::*;
use crate::domain::ledger::Key;

fn put(key: &[u8], value: &[u8]) -> Record {
    Record { key: key.to_vec(), value: Some(value.to_vec()) }
}

fn contents(store: &mut dyn Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut contents = BTreeMap::new();
    store.read(&mut |key, value| drop(contents.insert(key.to_vec(), value.to_vec()))).expect("readable");
    contents.remove(&Key::Version.to_bytes());
    contents
}

/// A store that can be closed and opened again, of each kind.
fn kinds(folder: &Path) -> [Box<dyn Fn() -> Box<dyn Store> + '_>; 2] {
    let shelf = Shelf::default();
    [Box::new(|| Box::new(DiskStore::open(folder).expect("usable"))), Box::new(move || Box::new(MemoryStore::on(shelf.clone())))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_kind_of_store_keeps_what_was_committed_last_wherever_it_is_opened_again(
        commits in prop::collection::vec((prop::collection::vec((0..12_u8, prop::option::of(0..200_usize)), 1..8), any::<bool>()), 1..8)
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        for open in kinds(folder.path()) {
            let mut model = BTreeMap::new();
            let mut store = open();
            for (records, reopen) in &commits {
                let records: Vec<Record> = records.iter().map(|(key, length)| Record { key: vec![b'a', *key], value: length.map(|length| vec![*key; length]) }).collect();
                store.commit(&records).expect("there is room");
                for record in records {
                    match record.value {
                        Some(value) => model.insert(record.key, value),
                        None => model.remove(&record.key),
                    };
                }
                if *reopen {
                    drop(store);
                    store = open();
                }
                prop_assert_eq!(&contents(&mut *store), &model);
            }
            prop_assert!(store.size_bytes() > 0 || model.is_empty());
        }
    }
}

#[test]
fn a_commit_that_fails_keeps_nothing_and_a_later_one_works() {
    let shelf = Shelf::default();
    let mut store = MemoryStore::on(shelf.clone());
    store.commit(&[put(b"a1", b"x")]).expect("there is room");
    shelf.set_full(true);
    assert_matches!(store.commit(&[put(b"a1", b"y"), put(b"a2", b"z")]), Err(StoreError::Unusable { .. }));
    shelf.set_full(false);
    assert_eq!(contents(&mut store), BTreeMap::from([(b"a1".to_vec(), b"x".to_vec())]));
    store.commit(&[put(b"a2", b"z")]).expect("there is room again");
    assert_eq!(contents(&mut store).len(), 2);
}

#[test]
fn a_new_store_is_for_us_alone() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("new/data");
    let _store = DiskStore::open(&folder).expect("usable");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("cxone-exporter.redb"))), (0o700, 0o600));
}

#[test]
fn a_store_that_another_process_has_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = DiskStore::open(folder.path()).expect("usable");
    assert_matches!(DiskStore::open(folder.path()), Err(StoreError::Locked(_)));
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open(folder.path()).expect("usable");
    store.commit(&[Record::put(&Key::Version, &7_u32), put(b"a1", b"x")]).expect("there is room");
    drop(store);
    let before = fs::read(folder.path().join("cxone-exporter.redb")).expect("the file");
    assert_matches!(DiskStore::open(folder.path()), Err(StoreError::Newer { found: 7, .. }));
    let after = fs::read(folder.path().join("cxone-exporter.redb")).expect("the file");
    assert_eq!(before.len(), after.len());
}

#[test]
fn a_folder_that_cannot_be_made_is_told_by_name() {
    let error = DiskStore::open(Path::new("/dev/null/data")).expect_err("no folder");
    assert_matches!(&error, StoreError::Unusable { .. });
    assert!(error.to_string().contains("/dev/null/data"), "{error}");
}

#[test]
fn a_damaged_store_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open(folder.path()).expect("usable");
    let many: Vec<Record> = (0..2_000_u32).map(|n| put(&[b"a".as_slice(), &n.to_be_bytes()].concat(), &[7; 100])).collect();
    store.commit(&many).expect("there is room");
    drop(store);
    let path = folder.path().join("cxone-exporter.redb");
    let whole = fs::read(&path).expect("the file");
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("empty", Vec::clear),
        ("another file", |bytes| *bytes = b"not a store".to_vec()),
        ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("the magic number", |bytes| bytes[0] ^= 0xff),
        ("both roots", |bytes| bytes[64..320].iter_mut().for_each(|byte| *byte ^= 0x5a)),
    ];
    for (name, damage) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&path, &bytes).expect("written");
        let result = DiskStore::open(folder.path());
        assert_matches!(result, Err(StoreError::Damaged { .. } | StoreError::Unusable { .. }), "{name}");
    }
    fs::write(&path, &whole).expect("written");
    assert_eq!(contents(&mut DiskStore::open(folder.path()).expect("whole again")).len(), 2_000);
}

#[test]
fn a_store_that_was_being_made_when_the_process_ended_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut half = fs::File::create(folder.path().join("cxone-exporter.redb.new")).expect("a file");
    half.seek(SeekFrom::Start(4096)).expect("room");
    half.write_all(b"half").expect("written");
    DiskStore::open(folder.path()).expect("usable");
}
