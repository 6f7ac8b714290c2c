//! That good histories pass and bad ones do not.

use super::*;

/// A history out of `(call, return, action, answer)`; a return of zero is "never".
fn verdict(steps: &[(i64, i64, Action, Answer)]) -> CheckResult {
    let operations: Vec<Operation<Register>> = steps
        .iter()
        .map(|(called, returned, action, answer)| Operation {
            client_id: None,
            call_time: *called,
            return_time: if *returned == 0 { i64::MAX } else { *returned },
            op: Step {
                key: 0,
                action: action.clone(),
                answer: answer.clone(),
            },
            metadata: None,
        })
        .collect();
    porcupine_rs::check_operations_timeout(&operations, SEARCH)
}

fn put(value: u64) -> Action {
    Action::Put(value)
}

fn found(value: u64, revision: i64) -> Answer {
    Answer::Found(Some((value, revision)))
}

#[test]
fn overlapping_writes_may_take_either_order_but_only_one() {
    let puts = [(0, 10, put(1), Answer::Put(3)), (5, 15, put(2), Answer::Put(2))];
    let one = [&puts[..], &[(20, 25, Action::Get, found(1, 3))]].concat();
    assert_eq!(verdict(&one), CheckResult::Ok);
    let both = [&one[..], &[(30, 35, Action::Get, found(2, 2))]].concat();
    assert_eq!(verdict(&both), CheckResult::Illegal);
}

#[test]
fn a_stale_read_is_seen() {
    let history = [
        (0, 1, put(1), Answer::Put(2)),
        (2, 3, put(2), Answer::Put(3)),
        (4, 5, Action::Get, found(1, 2)),
    ];
    assert_eq!(verdict(&history), CheckResult::Illegal);
}

#[test]
fn a_lost_write_is_seen() {
    let history = [(0, 1, put(1), Answer::Put(2)), (2, 3, Action::Get, Answer::Found(None))];
    assert_eq!(verdict(&history), CheckResult::Illegal);
}

#[test]
fn an_unknown_write_may_happen_late_or_never() {
    let open = (0, 0, put(7), Answer::Unknown);
    let late = [
        open.clone(),
        (1, 2, Action::Get, Answer::Found(None)),
        (3, 4, Action::Get, found(7, 2)),
    ];
    assert_eq!(verdict(&late), CheckResult::Ok);
    let never = [open.clone(), (1, 2, Action::Get, Answer::Found(None))];
    assert_eq!(verdict(&never), CheckResult::Ok);
    let undone = [
        open,
        (1, 2, Action::Get, found(7, 2)),
        (3, 4, Action::Get, Answer::Found(None)),
    ];
    assert_eq!(verdict(&undone), CheckResult::Illegal);
}

#[test]
fn a_swap_that_saw_another_value_is_seen() {
    let swap = Action::Swap {
        expected: Some(1),
        value: 2,
    };
    let good = [
        (0, 1, put(1), Answer::Put(2)),
        (2, 3, swap.clone(), Answer::Swapped(Some(3))),
    ];
    assert_eq!(verdict(&good), CheckResult::Ok);
    let blind = [(0, 1, put(5), Answer::Put(2)), (2, 3, swap, Answer::Swapped(Some(3)))];
    assert_eq!(verdict(&blind), CheckResult::Illegal);
}

#[test]
fn a_revision_that_does_not_rise_is_seen() {
    let history = [(0, 1, put(1), Answer::Put(5)), (2, 3, put(2), Answer::Put(4))];
    assert_eq!(verdict(&history), CheckResult::Illegal);
}

/// Checks a history that must fail: what is said, then the picture and the history that were kept.
fn failure(recorder: &Recorder) -> (String, String, String) {
    let check = std::panic::AssertUnwindSafe(|| recorder.check("what is bad"));
    let failed = std::panic::catch_unwind(check).unwrap_err();
    let said = failed.downcast_ref::<String>().expect("a message").clone();
    let [picture, history] = ["picture: ", "history: "].map(|what| {
        let rest = &said[said.find(what).expect("where it is") + what.len()..];
        let path = rest.split(';').next().expect("a path");
        let text = std::fs::read_to_string(path).expect("it was written");
        std::fs::remove_file(path).expect("it was there");
        text
    });
    (said, picture, history)
}

#[test]
fn a_history_that_fails_is_kept_with_its_seed_and_a_picture() {
    let recorder = Recorder::new(4711);
    for (action, answer) in [(put(1), Answer::Put(2)), (Action::Get, Answer::Found(None))] {
        let step = Step { key: 0, action, answer };
        recorder.add(0, recorder.now(), step);
    }
    let (said, picture, history) = failure(&recorder);
    assert!(said.contains("Illegal") && said.contains("seed: 4711"), "{said}");
    assert!(picture.contains("k0 Put(1)"), "{picture}");
    assert!(history.contains("\"seed\": 4711"), "{history}");
}

#[test]
fn an_old_header_fails_the_check() {
    let recorder = Recorder::new(4712);
    for revision in [9, 8] {
        let header = Header {
            member: 1,
            term: 1,
            revision,
        };
        recorder.header(&recorder.known(), header);
    }
    let (said, _, _) = failure(&recorder);
    assert!(said.contains("revision 8; 9 was known before it was asked"), "{said}");
}
