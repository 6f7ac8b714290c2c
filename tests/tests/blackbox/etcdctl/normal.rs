//! What two clusters may rightly say differently, taken out of what a command printed.

/// Fields of JSON and of the `fields` format whose values are no part of the comparison.
const FREE_FIELDS: [&str; 23] = [
    "ttl",
    "cluster_id",
    "member_id",
    "raft_term",
    "ClusterID",
    "MemberID",
    "RaftTerm",
    "memberID",
    "leader",
    "raftIndex",
    "raftTerm",
    "raftAppliedIndex",
    "dbSize",
    "dbSizeInUse",
    "dbSizeQuota",
    "storageVersion",
    "hash",
    "Leader",
    "RaftIndex",
    "RaftAppliedIndex",
    "Hash",
    "Version",
    "took",
];

/// `text` with ids, addresses, times and the client's log taken out.
pub(super) fn normal(text: &str, names: &[(String, String)]) -> String {
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("{\"level\"")) {
        let mut line = line.to_owned();
        for (value, name) in names {
            line = line.replace(value.as_str(), name);
        }
        for field in FREE_FIELDS {
            line = without_value(&line, &format!("\"{field}\":"));
            line = without_value(&line, &format!("\"{field}\" :"));
        }
        // A key's version is a number and stays.
        line = without_value(&line, "\"version\":\"");
        line = without_value(&line, "remaining(");
        line = without_value(&line, "took = ");
        line = without_value(&line, ". took ");
        if line.starts_with(['┌', '├', '└', '│']) {
            line = narrow(&line);
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// A line of a table as if every column were as narrow as can be: ids have not the same width everywhere.
fn narrow(line: &str) -> String {
    let mut out = String::new();
    for character in line.chars() {
        if !(matches!(character, ' ' | '─') && out.ends_with(character)) {
            out.push(character);
        }
    }
    out
}

/// `line` with the word after every `label` replaced by a dot. A word in quotes ends with them; a bare one before a comma, a
/// brace or a blank.
fn without_value(line: &str, label: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(label) {
        let (before, after) = rest.split_at(at + label.len());
        out.push_str(before);
        out.push('.');
        let after = after.trim_start();
        let end = match after.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map_or(after.len(), |end| end + 2),
            None => after.find([',', '}', ')', ' ', '"']).unwrap_or(after.len()),
        };
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

#[test]
fn tables_are_compared_without_their_widths() {
    assert_eq!(narrow("│   ID  │ a b │"), "│ ID │ a b │");
    assert_eq!(narrow("├──────┤"), "├─┤");
}

#[test]
fn only_what_may_differ_is_taken_out() {
    let names = [("2f0a".to_owned(), "<member>".to_owned())];
    let text =
        "{\"level\":\"warn\"}\n{\"header\":{\"cluster_id\":17,\"revision\":4},\"version\":\"3.7.3\"}\n2f0a took = 12ms";
    assert_eq!(
        normal(text, &names),
        "{\"header\":{\"cluster_id\":.,\"revision\":4},\"version\":\".\"}\n<member> took = ."
    );
}
