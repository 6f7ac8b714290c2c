//! The list of failpoints (`node/faults/src/names.rs`) and the node's code name the same. That each of them is made to fail
//! is a black-box test's to see (`failures`).

use std::collections::BTreeSet;

use kvorum_faults::FAILPOINTS;

use crate::tree::sources;

/// What stands before the name of a failpoint, without white space.
const PASSAGES: [&str; 3] = ["faults::pass(\"", "faults::write(\"", "faults::Through::new(\""];

#[test]
fn every_failpoint_in_the_code_is_in_the_list_and_none_else() {
    let mut named = BTreeSet::new();
    for file in sources(&[".rs"])
        .into_iter()
        .filter(|file| file.path.starts_with("node/"))
    {
        let text: String = file.text.split_whitespace().collect();
        for passage in PASSAGES {
            let names = text.split(passage).skip(1).filter_map(|rest| rest.split('"').next());
            named.extend(names.map(str::to_owned));
        }
    }
    let listed: BTreeSet<String> = FAILPOINTS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(named, listed, "in the code, and in node/faults/src/names.rs");
}
