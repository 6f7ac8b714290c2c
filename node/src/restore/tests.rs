//! What is written is what a member recovers; what does not fit is refused, and leaves nothing.

use kvorum_store::{LogPosition, MemoryEngine, Store};
use openraft::RaftLogReader as _;
use test_case::test_case;

use super::*;
use crate::config::Settings;
use crate::recovery::recover;

const AT: LogPosition = LogPosition {
    term: 7,
    node: 0,
    index: 41,
};

fn founding(token: &str) -> Founding {
    Founding::from_settings(&Settings {
        name: Some("b".into()),
        initial_cluster: Some("a=http://a:1,b=http://b:1".into()),
        initial_cluster_token: Some(token.into()),
        initial_advertise_peer_urls: Some("http://b:1".into()),
        ..Settings::default()
    })
    .unwrap()
}

/// A backup from the cluster of this token.
fn backup(token: &str) -> Vec<u8> {
    let mut store = Store::open(Arc::new(MemoryEngine::default())).unwrap();
    let at = entry_id(AT.term, AT.index);
    store.note(AT, Some(members(&founding(token), at).unwrap()));
    store.publish();
    let mut bytes = Vec::new();
    snapshot::write(&store.reader().view(), &mut bytes).unwrap();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    let hash = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(backup: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("backup"), backup).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn restore(&self, token: &str) -> Result<Restored, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (source, target) = (self.path("backup"), self.path("data"));
        let restored = runtime.block_on(restore(&source, &target, &founding(token), &mut |_, _| {}));
        restored.map_err(|error| match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_member_recovers_what_was_restored() {
    let folder = Folder::new(&backup("old"));
    // What an attempt before left when it crashed.
    fs::create_dir_all(folder.path("data.restoring/snap")).unwrap();
    fs::write(folder.path("data.restoring/identity"), "half").unwrap();
    fs::create_dir(folder.path("data")).unwrap();
    let restored = folder.restore("new").unwrap();
    assert_eq!(folder.names(), ["backup", "data"]);
    let file::Found::Identity(found) = file::find(&folder.path("data")).unwrap() else {
        panic!("no identity");
    };
    assert!(found.log_id.is_some());
    let identity = Identity {
        cluster_id: Some(restored.cluster_id),
        member_id: restored.member_id,
        name: "b".into(),
        log_id: found.log_id,
    };
    assert_eq!(found, identity);

    let at = entry_id(AT.term, AT.index);
    let mut recovered = recover(&folder.path("data"), &identity).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let vote = runtime.block_on(recovered.log.read_vote()).unwrap();
    assert_eq!(vote, Some(Vote::new(AT.term, restored.member_id.get())));
    assert_eq!(recovered.log.bounds(), (Some(at), Some(at)));
    assert_eq!(recovered.store.applied(), Some(AT));
    let membership: StoredMembership = postcard::from_bytes(&recovered.store.membership().unwrap()).unwrap();
    let names: Vec<&str> = membership
        .membership()
        .nodes()
        .map(|(_, node)| node.name.as_str())
        .collect();
    assert_eq!((names.len(), membership.voter_ids().count()), (2, 2));
    assert!(names.contains(&"a") && names.contains(&"b"), "{names:?}");
    assert_eq!(*membership.log_id(), Some(at));
}

#[test]
fn the_old_clusters_token_is_refused() {
    let folder = Folder::new(&backup("old"));
    let refused = folder.restore("old").unwrap_err();
    assert!(
        refused.starts_with("--initial-cluster-token: the snapshot comes from a cluster with this token"),
        "{refused}"
    );
    assert_eq!(folder.names(), ["backup"]);
}

#[test]
fn a_member_that_was_added_gives_its_cluster_away() {
    let new = founding("new");
    let urls = vec!["http://c:1".to_owned()];
    let added = crate::config::added_member_id(new.cluster_id, &urls);
    assert!(new.knows(added, "c", &urls));
    assert!(!founding("old").knows(added, "c", &urls));
}

#[test]
fn a_directory_with_anything_in_it_is_left_alone() {
    let folder = Folder::new(&backup("old"));
    fs::create_dir(folder.path("data")).unwrap();
    fs::write(folder.path("data/precious"), "1").unwrap();
    let refused = folder.restore("new").unwrap_err();
    assert!(
        refused.ends_with("data is not empty; restore into a new directory"),
        "{refused}"
    );
    assert!(folder.path("data/precious").is_file());
}

#[test_case(|bytes| bytes.truncate(bytes.len() - 1), "it is cut, or something was added to it"; "cut by a byte")]
#[test_case(|bytes| bytes.push(0), "it is cut, or something was added to it"; "a byte too long")]
#[test_case(|bytes| *bytes.last_mut().unwrap() ^= 1, "the hash at its end does not match"; "another hash")]
#[test_case(|bytes| { let at = bytes.len() - 33; bytes[at] = 1 }, "the hash at its end does not match"; "padding")]
#[test_case(|bytes| bytes.truncate(50), "damaged at byte 50: it is cut short here"; "cut in the image")]
#[test_case(|bytes| bytes[20] ^= 1, "a frame's checksum does not match"; "damaged")]
#[test_case(|bytes| bytes[0] ^= 1, "not a snapshot"; "something else")]
#[test_case(|bytes| bytes.clear(), "damaged at byte 0: it is cut short here"; "empty")]
fn a_damaged_file_is_refused_and_leaves_nothing(damage: fn(&mut Vec<u8>), reason: &str) {
    let mut bytes = backup("old");
    damage(&mut bytes);
    let folder = Folder::new(&bytes);
    let refused = folder.restore("new").unwrap_err();
    assert!(
        refused.contains("is no whole snapshot") && refused.contains(reason),
        "{refused}"
    );
    assert_eq!(folder.names(), ["backup"]);
}
