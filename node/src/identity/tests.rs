//! The decision table, row by row, and the file it starts from.

use std::fs;

use test_case::test_case;

use super::*;

fn id(number: u64) -> Id {
    Id::new(number).unwrap()
}

fn disk(member: u64, cluster: Option<u64>, name: &str) -> Found {
    Found::Identity(Identity {
        cluster_id: cluster.map(id),
        member_id: id(member),
        name: name.into(),
        log_id: None,
    })
}

fn expected(member: Option<u64>, cluster: Option<u64>, certificate: Option<(u64, &str)>) -> Expected {
    let certificate = certificate.map(|(cluster, name)| crate::tls::PeerName {
        cluster_id: id(cluster),
        name: name.into(),
    });
    Expected {
        member_id: member.map(id),
        told_cluster_id: cluster.map(id),
        certificate,
        derived_cluster_id: None,
    }
}

fn known(member: u64, cluster: Option<u64>) -> Decision {
    Decision::Known(Identity {
        cluster_id: cluster.map(id),
        member_id: id(member),
        name: "m".into(),
        log_id: None,
    })
}

/// The decision in one line, as a table shows it.
fn told(decision: Decision) -> String {
    match decision {
        Decision::Fresh { cluster_id } => format!("fresh {}", cluster_id.map_or(0, Id::get)),
        Decision::Known(identity) => format!(
            "known {} {}",
            identity.member_id.get(),
            identity.cluster_id.map_or(0, Id::get)
        ),
        Decision::Refused(Refused::IdentityMissing { reason }) => format!("missing: {reason}"),
        Decision::Refused(Refused::IdentityMismatch { reason }) => format!("mismatch: {reason}"),
    }
}

#[test_case(&Found::Nothing, &expected(None, None, None) => "fresh 0"; "first start")]
#[test_case(&Found::Nothing, &expected(None, Some(7), None) => "fresh 7"; "first start in a known cluster")]
#[test_case(&Found::Nothing, &expected(None, None, Some((7, "m"))) => "fresh 7"; "cluster from the certificate")]
#[test_case(&Found::Nothing, &expected(Some(1), Some(7), None)
    => "missing: the data directory is empty, but this is known to be member 0000000000000001"; "emptied disk")]
#[test_case(&Found::Nothing, &expected(None, Some(8), Some((7, "m")))
    => "mismatch: the peer certificate is for cluster 0000000000000007, but cluster 0000000000000008 is expected"; "certificate of another cluster")]
#[test_case(&Found::Nothing, &expected(None, None, Some((7, "other")))
    => "mismatch: the peer certificate is for member \"other\", but this is \"m\""; "certificate of another member")]
#[test_case(&Found::Strangers("wal".into()), &expected(None, None, None)
    => "mismatch: the data directory holds wal but no identity file; it may belong to another member. Put back the whole directory as it was, or empty it and let this member join again"; "data without identity")]
#[test_case(&disk(1, Some(7), "m"), &expected(None, None, None) => "known 1 7"; "restart")]
#[test_case(&disk(1, Some(7), "m"), &expected(Some(1), Some(7), Some((7, "m"))) => "known 1 7"; "restart where all agree")]
#[test_case(&disk(1, None, "m"), &expected(None, Some(7), None) => "known 1 7"; "cluster learnt since")]
#[test_case(&disk(1, Some(7), "m"), &expected(Some(2), Some(7), None)
    => "mismatch: the disk belongs to member 0000000000000001, but member 0000000000000002 is expected"; "disk of another member")]
#[test_case(&disk(1, Some(7), "m"), &expected(Some(1), Some(8), None)
    => "mismatch: the disk belongs to cluster 0000000000000007, but cluster 0000000000000008 is expected"; "disk of another cluster")]
#[test_case(&disk(1, Some(7), "other"), &expected(None, Some(7), None)
    => "mismatch: the disk belongs to member \"other\", but this is \"m\""; "disk of another name")]
fn decision(found: &Found, expected: &Expected) -> String {
    told(decide(found, expected, "m"))
}

#[test]
fn a_token_counts_only_where_nobody_says_better() {
    let derived = Expected {
        derived_cluster_id: Some(id(9)),
        ..Expected::default()
    };
    assert_eq!(told(decide(&Found::Nothing, &derived, "m")), "fresh 9");
    let certified = Expected {
        derived_cluster_id: Some(id(9)),
        ..expected(None, None, Some((7, "m")))
    };
    assert_eq!(told(decide(&Found::Nothing, &certified, "m")), "fresh 7");
}

#[test]
fn an_identity_survives_and_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert_eq!(file::find(&data).unwrap(), Found::Nothing);
    for (cluster, log_id) in [(None, None), (Some(id(0xabc)), Some(7)), (Some(id(0xabc)), None)] {
        let identity = Identity {
            cluster_id: cluster,
            member_id: id(5),
            name: "m".into(),
            log_id,
        };
        file::write(&data, &identity).unwrap();
        assert_eq!(file::find(&data).unwrap(), Found::Identity(identity));
    }
    let names: Vec<_> = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [file::FILE_NAME]);
    assert_eq!(
        decide(&file::find(&data).unwrap(), &Expected::default(), "m"),
        known(5, Some(0xabc))
    );
}

#[test]
fn an_unfinished_identity_is_nobody_and_other_files_are_somebody() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("identity.new"), "half").unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    assert_eq!(file::find(dir.path()).unwrap(), Found::Nothing);
    fs::create_dir(dir.path().join("wal")).unwrap();
    assert_eq!(file::find(dir.path()).unwrap(), Found::Strangers("wal".into()));
}

#[test_case("", 0, "it begins with \"\", not \"kvorum identity 1\""; "empty")]
#[test_case("kvorum identity 2\n", 0, "it begins with \"kvorum identity 2\", not \"kvorum identity 1\""; "newer")]
#[test_case("kvorum identity 1\nmember 1\n", 27, "it has no checksum"; "cut off")]
#[test_case("kvorum identity 1\nmember 1\ncrc32c 00000000\n", 27, "its checksum does not match"; "changed")]
fn a_damaged_identity_is_refused(text: &str, offset: usize, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file::FILE_NAME);
    fs::write(&path, text).unwrap();
    let error = file::find(dir.path()).unwrap_err().to_string();
    let place = format!("identity file {}, offset {offset}: {expected}. ", path.display());
    assert!(
        error.starts_with(&place) && error.ends_with("restore from a snapshot"),
        "{error}"
    );
}

#[test]
fn the_operators_directory_may_be_empty_or_not_there_yet() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        expected::read_directory(&dir.path().join("none")).unwrap(),
        (None, None)
    );
    fs::write(dir.path().join("member-id"), "\n").unwrap();
    fs::write(dir.path().join("cluster-id"), "00000000000000ab\n").unwrap();
    assert_eq!(expected::read_directory(dir.path()).unwrap(), (None, Some(id(0xab))));
    fs::write(dir.path().join("member-id"), "demo-0").unwrap();
    let error = expected::read_directory(dir.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("member-id holds \"demo-0\", which is not an id of 16 hex digits"),
        "{error}"
    );
}

#[test]
fn drawn_ids_are_positive_everywhere() {
    for number in [0, 1, u64::MAX, 1 << 63] {
        let id = id_from_random(number).get();
        assert!((1..1 << 63).contains(&id), "{number} gave {id}");
    }
    assert_ne!(draw_member_id().unwrap(), draw_member_id().unwrap());
}

#[test]
fn fuzz_a_file_is_the_identity_that_was_written_or_an_error() {
    let written = Identity {
        cluster_id: Some(id(7)),
        member_id: id(9),
        name: "n0".into(),
        log_id: Some(0xa1),
    };
    let text = file::text(&written);
    let inputs = kvorum_fuzz::mutated(vec![text.clone().into_bytes()]);
    kvorum_fuzz::run("identity files", 2_000, inputs, |bytes| {
        match file::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(read) => assert_eq!(read, written),
            Err((offset, reason)) => assert!(offset <= bytes.len() * 3 && !reason.is_empty()),
        }
    });
    // With a checksum that is right, so that what it covers is read.
    let pieces = [
        "cluster ", "member ", "name ", "log ", "\n", "-", "7", "0", "n0", "crc32c ",
    ];
    kvorum_fuzz::run("identity files of pieces", 2_000, kvorum_fuzz::text(&pieces), |lines| {
        let heading = text.lines().next().unwrap();
        let body = format!("{heading}\n{lines}\n");
        let sealed = format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
        if let Ok(read) = file::parse(&sealed) {
            assert_eq!(file::parse(&file::text(&read)), Ok(read));
        }
    });
}
