//! What every store promises, and what the disk's does when the disk does not.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use assert_matches::assert_matches;
use proptest::prelude::*;

use cxone_core::counts::Record;
use cxone_core::store::{MemoryStore, SharedRecords, Store, StoreError};

use super::*;
use cxone_core::counts::RecordKey;

fn put(key: &[u8], value: &[u8]) -> Record {
    Record { key: key.to_vec(), value: Some(value.to_vec()) }
}

fn contents(store: &mut dyn Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut contents: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    store
        .read(&mut |key, value| {
            let last = contents.last_key_value().map(|(last, _)| &**last);
            assert!(last < Some(key), "records are visited in the order of their keys");
            contents.insert(key.to_vec(), value.to_vec());
        })
        .expect("readable");
    contents.remove(&RecordKey::Version.to_bytes());
    contents
}

/// A store that can be closed and opened again, of each kind.
fn kinds(folder: &Path) -> [Box<dyn Fn() -> Box<dyn Store> + '_>; 2] {
    let shelf = SharedRecords::default();
    [
        Box::new(|| Box::new(DiskStore::open(folder).expect("usable"))),
        Box::new(move || Box::new(MemoryStore::on(shelf.clone()))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_kind_of_store_keeps_what_was_committed_last_in_the_order_of_its_keys(
        commits in prop::collection::vec((prop::collection::vec((0..12_u8, prop::option::of(0..200_usize)), 1..8), any::<bool>()), 1..8)
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        for open in kinds(folder.path()) {
            let mut model = BTreeMap::new();
            let mut store = open();
            for (records, reopen) in &commits {
                let records: Vec<Record> = records.iter().map(|(key, length)| Record { key: [b"a".as_slice(), &[*key][..usize::from(*key % 4 > 0)]].concat(), value: length.map(|length| vec![*key; length]) }).collect();
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
    let shelf = SharedRecords::default();
    let mut store = MemoryStore::on(shelf.clone());
    store.commit(&[put(b"a1", b"x")]).expect("there is room");
    shelf.set_full(true);
    assert_matches!(
        store.commit(&[put(b"a1", b"y"), put(b"a2", b"z")]),
        Err(StoreError::Unusable { .. })
    );
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
fn a_store_that_another_process_has_open_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = DiskStore::open(folder.path()).expect("usable");
    assert_matches!(DiskStore::open(folder.path()), Err(StoreError::Locked(_)));
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open(folder.path()).expect("usable");
    store
        .commit(&[Record::put(&RecordKey::Version, &7_u32), put(b"a1", b"x")])
        .expect("there is room");
    drop(store);
    let before = fs::read(folder.path().join("cxone-exporter.redb")).expect("the file");
    assert_matches!(DiskStore::open(folder.path()), Err(StoreError::Newer { found: 7, .. }));
    let after = fs::read(folder.path().join("cxone-exporter.redb")).expect("the file");
    assert_eq!(before.len(), after.len());
}

#[test]
fn a_folder_that_cannot_be_created_is_named() {
    let error = DiskStore::open(Path::new("/dev/null/data")).expect_err("no folder");
    assert_matches!(&error, StoreError::Unusable { .. });
    assert!(error.to_string().contains("/dev/null/data"), "{error}");
}

#[test]
fn a_store_that_is_written_anew_holds_no_trace_of_what_was_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cxone-exporter.redb");
    let traces = || {
        fs::read(&path).expect("the file").windows(8).filter(|bytes| bytes == b"user-002").count()
    };
    let mut store = DiskStore::open(folder.path()).expect("usable");
    for agent in ["user-001", "user-002", "user-003"] {
        store
            .commit(&[put(&RecordKey::Agent(agent.into()).to_bytes(), &[7; 500])])
            .expect("there is room");
    }
    let rewrite = || DiskStore::rewrite(folder.path(), None, |key| !key.is_about("user-002"));
    assert_matches!(rewrite(), Err(StoreError::Locked(_)));
    store.commit(&[Record::delete(&RecordKey::Agent("user-002".into()))]).expect("there is room");
    assert!(traces() > 0, "a record that is deleted may still be read in the file");
    store
        .commit(&[put(&RecordKey::Agent("user-002".into()).to_bytes(), &[7; 500])])
        .expect("there is room");
    drop(store);
    assert_eq!(rewrite().expect("usable"), 1);
    assert_eq!(traces(), 0);
    assert_eq!(rewrite().expect("usable"), 0);
    let kept = contents(&mut DiskStore::open(folder.path()).expect("whole"));
    assert_eq!(kept.len(), 2);
    assert_matches!(
        DiskStore::rewrite(&folder.path().join("elsewhere"), None, |_| true),
        Err(StoreError::Missing(_))
    );
}

#[test]
fn a_damaged_store_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open(folder.path()).expect("usable");
    let many: Vec<Record> = (0..2_000_u32)
        .map(|n| put(&[b"a".as_slice(), &n.to_be_bytes()].concat(), &[7; 100]))
        .collect();
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
        assert_matches!(
            result,
            Err(StoreError::Damaged { .. } | StoreError::Unusable { .. }),
            "{name}"
        );
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

/// A disk of the given size in MiB, unmounted when the value is dropped; `None` where nobody may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(mebibytes: u32) -> Option<Self> {
        let is_root = fs::metadata("/proc/self")
            .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0);
        if !is_root {
            println!("left out: only root can mount a small disk");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        assert!(std::env::var_os("CI").is_none(), "root cannot mount a small disk");
        println!("left out: this root cannot mount a small disk");
        None
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Mounts it again, to be only read, or to be written too.
    fn remount(&self, how: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(self.folder())
            .status()
            .expect("mount runs");
        assert!(status.success());
    }

    /// Takes up all room that is left.
    fn fill(&self) {
        let mut filler = fs::File::create(self.folder().join("filler")).expect("a file");
        let mut block = vec![0; 64 * 1024];
        while !block.is_empty() {
            if filler.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.folder().join("filler")).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.folder()).status());
    }
}

/// Half a MiB of records, each commit's others.
fn half_a_mebibyte(round: u8) -> Vec<Record> {
    (0..512_u32)
        .map(|n| put(&[b"a".as_slice(), &[round], &n.to_be_bytes()].concat(), &[round; 1024]))
        .collect()
}

#[test]
fn a_disk_that_fills_up_fails_commits_until_there_is_room_and_then_the_same_store_goes_on_without_loss()
 {
    let Some(disk) = SmallDisk::new(24) else { return };
    let mut store = DiskStore::open(disk.folder()).expect("usable");
    store.commit(&half_a_mebibyte(0)).expect("there is room");
    let mut kept = 1;
    for _ in 0..3 {
        disk.fill();
        let mut failures = 0;
        for _ in 0..200 {
            match store.commit(&half_a_mebibyte(kept)) {
                Ok(()) => kept += 1,
                Err(StoreError::Unusable { detail, .. }) => {
                    assert!(detail.to_lowercase().contains("space"), "{detail}");
                    failures += 1;
                }
                Err(error) => panic!("{error}"),
            }
            if failures == 5 {
                break;
            }
        }
        assert_eq!(failures, 5, "the disk never filled up");
        assert_eq!(
            contents(&mut store).len(),
            512 * usize::from(kept),
            "what was kept can be read, and no more"
        );
        disk.make_room();
        store.commit(&half_a_mebibyte(kept)).expect("there is room again");
        kept += 1;
        assert_eq!(contents(&mut store).len(), 512 * usize::from(kept));
    }
    drop(store);
    let mut store = DiskStore::open(disk.folder()).expect("whole");
    assert_eq!(contents(&mut store).len(), 512 * usize::from(kept));
}

#[test]
fn a_full_disk_at_the_start_is_reported_and_no_partial_file_remains() {
    let Some(disk) = SmallDisk::new(1) else { return };
    disk.fill();
    for _ in 0..2 {
        assert_matches!(DiskStore::open(disk.folder()), Err(StoreError::Unusable { .. }));
    }
    disk.make_room();
    let mut store = DiskStore::open(disk.folder()).expect("usable");
    store.commit(&[put(b"a1", b"x")]).expect("there is room");
}

#[test]
fn a_read_only_disk_is_reported_at_the_start_and_while_running() {
    let Some(disk) = SmallDisk::new(16) else { return };
    disk.remount("ro");
    let error = DiskStore::open(disk.folder()).expect_err("read-only");
    assert_matches!(&error, StoreError::Unusable { detail, .. } if detail.contains("Read-only"), "{error}");
    disk.remount("rw");
    let mut store = DiskStore::open(disk.folder()).expect("usable");
    store.commit(&[put(b"a1", b"x")]).expect("writable");
    drop(store);
    disk.remount("ro");
    let error = DiskStore::open(disk.folder()).expect_err("read-only");
    assert_matches!(&error, StoreError::Unusable { detail, .. } if detail.contains("Read-only"), "{error}");
    disk.remount("rw");
    let mut store = DiskStore::open(disk.folder()).expect("usable");
    assert_eq!(contents(&mut store).len(), 1, "nothing was lost");
}
