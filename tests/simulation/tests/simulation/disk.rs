//! The simulated disk keeps the rules at the head of `kvorum_files::simulated`: neither kinder nor harder than they say.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use kvorum_files::simulated::disk;
use kvorum_files::{File, create_dir_all, exists, read_dir, remove_file, rename};

/// Cuts of each kind: chance has many ways.
const CUTS: usize = 200;
/// Two sectors.
const BYTES: usize = 1024;

fn sync(directory: &str) {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.expect("the power is on");
}

fn content(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.expect("the file is there");
    bytes
}

#[test]
fn what_was_synced_stays_and_the_rest_is_there_torn_or_lost() {
    let disk = disk("torn");
    let file = File::create("/torn/file").unwrap();
    file.write_all_at(&[1; BYTES], 0).unwrap();
    file.sync_data().unwrap();
    sync("/torn");
    let mut seen = BTreeSet::new();
    for _ in 0..CUTS {
        let file = File::open("/torn/file").unwrap();
        file.write_all_at(&[2; BYTES], 0).unwrap();
        assert_eq!(content("/torn/file"), [2; BYTES], "it is there for everybody at once");
        disk.cut();
        disk.restore();
        let left = content("/torn/file");
        let sectors = [left[0], left[512]];
        assert_eq!(
            left,
            [[sectors[0]; 512], [sectors[1]; 512]].concat(),
            "a sector is never torn"
        );
        seen.insert(sectors);
        let file = File::open("/torn/file").unwrap();
        file.write_all_at(&[1; BYTES], 0).unwrap();
        file.sync_data().unwrap();
        disk.cut();
        disk.restore();
        assert_eq!(content("/torn/file"), [1; BYTES], "what was synced stays");
    }
    assert_eq!(seen, BTreeSet::from([[1, 1], [1, 2], [2, 1], [2, 2]]));
}

#[test]
fn a_name_is_kept_by_a_sync_of_its_directory_alone() {
    let disk = disk("names");
    create_dir_all("/names/dir").unwrap();
    sync("/names");
    let mut seen = BTreeSet::new();
    for _ in 0..CUTS {
        let file = File::create("/names/dir/first").unwrap();
        file.sync_all().unwrap();
        File::create("/names/dir/second").unwrap();
        disk.cut();
        disk.restore();
        let left = [
            exists(Path::new("/names/dir/first")),
            exists(Path::new("/names/dir/second")),
        ];
        assert_ne!(
            left,
            [false, true],
            "the later change is not there without the earlier one"
        );
        seen.insert(left);
        for entry in read_dir("/names/dir").unwrap() {
            remove_file(entry.unwrap().path()).unwrap();
        }
        sync("/names/dir");
        disk.cut();
        disk.restore();
        assert_eq!(read_dir("/names/dir").unwrap().count(), 0, "what was synced stays");
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn an_open_file_outlives_its_name() {
    let file = File::create("/open/before").unwrap();
    file.write_all_at(b"one", 0).unwrap();
    rename("/open/before", "/open/after").unwrap();
    file.write_all_at(b"two", 0).unwrap();
    assert_eq!(content("/open/after"), b"two");
    remove_file("/open/after").unwrap();
    sync("/open");
    let mut bytes = [0; 3];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"two");
    assert!(File::open("/open/after").is_err());
}

#[test]
fn the_power_goes_between_two_changes() {
    let disk = disk("cut");
    let file = File::create("/cut/file").unwrap();
    sync("/cut");
    disk.cut_after(2);
    file.write_all_at(b"1", 0).unwrap();
    file.sync_data().unwrap();
    assert!(file.write_all_at(b"2", 1).is_err());
    assert!(disk.is_cut());
    assert!(File::open("/cut/file").is_err());
    disk.restore();
    assert_eq!(content("/cut/file")[0], b'1');
}

#[test]
fn a_process_that_is_killed_loses_nothing() {
    let disk = disk("killed");
    let file = File::create("/killed/file").unwrap();
    file.write_all_at(b"1", 0).unwrap();
    disk.cut();
    assert!(file.write_all_at(b"2", 0).is_err());
    disk.go_on();
    assert_eq!(content("/killed/file"), b"1");
}

#[test]
fn pretended_syncs_keep_nothing() {
    let disk = disk("pretended");
    disk.pretend_syncs();
    let mut lost = 0;
    for _ in 0..CUTS {
        let file = File::create("/pretended/file").unwrap();
        file.sync_all().unwrap();
        sync("/pretended");
        disk.cut();
        disk.restore();
        lost += usize::from(!exists(Path::new("/pretended/file")));
        disk.replace();
    }
    assert!(lost > 0);
}
