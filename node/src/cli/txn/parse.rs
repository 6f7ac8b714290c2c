//! The language of `kvorum txn`, which is etcdctl's.

use clap::Parser;
use kvorum_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{Compare, RequestOp, TxnRequest};

use crate::cli::{del, get, lease, put};

/// A line of what is done.
#[derive(Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
enum Operation {
    Get(get::Arguments),
    Put(put::Arguments),
    #[command(alias = "delete")]
    Del(del::Arguments),
}

/// Reads a whole transaction; an error is a sentence that names the line.
pub(super) fn txn(text: &str) -> Result<TxnRequest, String> {
    let mut part = 0;
    let mut request = TxnRequest::default();
    for (number, line) in text.lines().enumerate() {
        let wrong = |reason: String| format!("line {}: {reason}", number + 1);
        let line = line.trim();
        if line.is_empty() {
            part += 1;
            continue;
        }
        match part {
            0 => request.compare.push(compare(line).map_err(wrong)?),
            1 => request.success.push(operation(line).map_err(wrong)?),
            2 => request.failure.push(operation(line).map_err(wrong)?),
            _ => return Err(wrong("nothing is expected after the third part".to_owned())),
        }
    }
    Ok(request)
}

/// `mod("key") > "5"`.
fn compare(line: &str) -> Result<Compare, String> {
    let wrong = || format!("{line:?} is no condition; write for example mod(\"key\") > \"0\"");
    let (target, rest) = line.split_once('(').ok_or_else(wrong)?;
    let (key, rest) = quoted(rest.trim_start()).ok_or_else(wrong)?;
    let rest = rest.trim_start().strip_prefix(')').ok_or_else(wrong)?.trim_start();
    let relation = rest.split('"').next().unwrap_or_default().trim();
    let (value, after) = quoted(rest[relation.len()..].trim_start()).ok_or_else(wrong)?;
    if !after.trim().is_empty() {
        return Err(wrong());
    }
    let result = match relation {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        _ => return Err(format!("{relation:?} is no comparison; there are =, !=, < and >")),
    };
    let number = || value.parse::<i64>().map_err(|_| format!("{value:?} is no number"));
    let (target, with) = match target.trim() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(value.into())),
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(lease::id(&value)?)),
        other => {
            return Err(format!(
                "{other:?} cannot be compared; there are create, mod, version, value and lease"
            ));
        }
    };
    Ok(Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        range_end: Default::default(),
        target_union: Some(with),
    })
}

fn operation(line: &str) -> Result<RequestOp, String> {
    let words = words(line)?;
    let parsed = Operation::try_parse_from(words).map_err(|error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().to_owned()
    })?;
    let request = match parsed {
        Operation::Get(get) => Request::RequestRange(get.request()),
        Operation::Put(mut put) => {
            let value = put.take_value().ok_or("put needs a value")?;
            Request::RequestPut(put.request(value))
        }
        Operation::Del(del) => Request::RequestDeleteRange(del.request()),
    };
    Ok(RequestOp { request: Some(request) })
}

/// Text in double quotes, with `\"`, `\\` and `\n` in it; and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((out, &inner[at + 1..])),
            '\\' => out.push(match letters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            other => out.push(other),
        }
    }
    None
}

/// The words of a line; quotes of either kind hold blanks.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        while let Some(letter) = rest.chars().next().filter(|letter| !letter.is_whitespace()) {
            if letter == '"' {
                let (text, after) = quoted(rest).ok_or("a quote is not closed")?;
                word.push_str(&text);
                rest = after;
            } else if letter == '\'' {
                let (text, after) = rest[1..].split_once('\'').ok_or("a quote is not closed")?;
                word.push_str(text);
                rest = after;
            } else {
                word.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        words.push(word);
        rest = rest.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test]
    fn a_whole_transaction_is_read() {
        let request =
            txn("mod(\"a b\") > \"0\"\nvalue(\"c\") != \"x\\\"y\"\n\nput a 'b c'\n\nget a --prefix\ndel \"q\"\n")
                .unwrap();
        assert_eq!(request.compare[0].key, "a b");
        assert_eq!(request.compare[0].target_union, Some(TargetUnion::ModRevision(0)));
        assert_eq!(request.compare[1].result(), CompareResult::NotEqual);
        assert_eq!(request.compare[1].target_union, Some(TargetUnion::Value("x\"y".into())));
        let Some(Request::RequestPut(put)) = &request.success[0].request else {
            panic!("{request:?}")
        };
        assert_eq!((&put.key[..], &put.value[..]), (&b"a"[..], &b"b c"[..]));
        assert_eq!(request.failure.len(), 2);
    }

    #[test_case("mod(a) > 1", "line 1: \"mod(a) > 1\" is no condition; write for example mod(\"key\") > \"0\""; "no quotes")]
    #[test_case("mod(\"a\") >= \"1\"", "line 1: \">=\" is no comparison; there are =, !=, < and >"; "comparison")]
    #[test_case("mod(\"a\") > \"x\"", "line 1: \"x\" is no number"; "number")]
    #[test_case("size(\"a\") > \"1\"", "line 1: \"size\" cannot be compared; there are create, mod, version, value and lease"; "target")]
    #[test_case("\nput a", "line 2: put needs a value"; "no value")]
    #[test_case("\nset a b", "line 2: error: unrecognized subcommand 'set'"; "operation")]
    #[test_case("\nput \"a b", "line 2: a quote is not closed"; "open quote")]
    #[test_case("\n\n\nget a", "line 4: nothing is expected after the third part"; "fourth part")]
    fn nonsense_is_named_with_its_line(text: &str, expected: &str) {
        assert_eq!(txn(text).unwrap_err(), expected);
    }

    #[test]
    fn fuzz_any_text_is_a_transaction_or_an_error_that_names_its_line() {
        let pieces = [
            "mod", "value", "lease", "(", ")", "\"", "'", "\\", "=", "!=", ">", "<", "\n", "\n\n", " ", "put", "get",
            "del", "--prefix", "--lease", "--", "=", "-", "a", "\u{e9}",
        ];
        kvorum_fuzz::run(
            "transactions of the command line",
            1_000,
            kvorum_fuzz::text(&pieces),
            |text| {
                if let Err(reason) = txn(&text) {
                    assert!(reason.starts_with("line "), "{reason}");
                }
            },
        );
        let valid = "mod(\"a b\") > \"0\"\nvalue(\"c\") != \"x\\\"y\"\nlease(\"c\") = \"beef\"\n\nput a 'b c' --lease=7\n\nget a --prefix\ndel \"q\"\n";
        let mutated = kvorum_fuzz::mutated(vec![valid.as_bytes().to_vec()]);
        kvorum_fuzz::run("transactions that were valid", 1_000, mutated, |bytes| {
            if let Err(reason) = txn(&String::from_utf8_lossy(&bytes)) {
                assert!(reason.starts_with("line "), "{reason}");
            }
        });
    }
}
