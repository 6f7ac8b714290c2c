//! Generated inputs for the tests of every decoder, on stable Rust and inside `cargo test`.
//!
//! ```text
//! fuzz::run("durations", 500, fuzz::text(&["1", "h", "."]), |text| { let _ = duration::parse(&text); });
//! ```
//! What it keeps true: an input on which the check panics is made as small as it can be and printed; a run says how many
//! inputs it took and how long; `KVORUM_FUZZ_CASES` multiplies the number of inputs for long runs. A decoder that
//! believes a length which lies is found by the address space that the process takes, at the end of each run.

#![allow(clippy::print_stdout, reason = "figures are part of what these tests are for")]

use std::fmt::Debug;
use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

/// Multiplies the number of inputs of every run.
const VARIABLE: &str = "KVORUM_FUZZ_CASES";

/// By how much the address space may grow in one run, in bytes: far above what the inputs themselves and the threads of
/// other tests take, far below what a length of 32 bits can lie about.
const GROWTH_BYTES_MAX: u64 = 1 << 30;

/// Most changes to a valid input: with more of them nothing of it is left.
const EDITS_MAX: usize = 6;

/// Runs `check` on `cases` inputs, times `KVORUM_FUZZ_CASES`.
///
/// # Panics
/// When the check does, with the smallest input on which it does, or when a run took more memory than any input is worth.
pub fn run<S: Strategy>(name: &str, cases: u32, strategy: S, check: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let factor = std::env::var(VARIABLE)
        .ok()
        .and_then(|text| text.parse::<u32>().ok())
        .unwrap_or(1);
    let cases = cases.saturating_mul(factor);
    let config = ProptestConfig {
        failure_persistence: None,
        cases,
        ..ProptestConfig::default()
    };
    let (before, start) = (address_space_bytes(), Instant::now());
    let result = TestRunner::new(config).run(&strategy, |input| {
        check(input);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{name}: {failure}");
    }
    let grown = address_space_bytes().saturating_sub(before);
    println!("{name}: {cases} inputs in {} ms", start.elapsed().as_millis());
    assert!(
        grown <= GROWTH_BYTES_MAX,
        "{name}: some input made the process take {grown} bytes more"
    );
}

/// The most that this process ever had, in bytes; zero where the system does not tell.
fn address_space_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kilobytes = peak.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

/// Up to `length_max` bytes, any of them.
pub fn bytes(length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=length_max)
}

/// Text of up to forty pieces, most of them of those given: what a grammar is made of, in no order.
pub fn text(pieces: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    let piece = prop_oneof![
        8 => select(pieces.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => any::<u64>().prop_map(|number| number.to_string()),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// One of the valid inputs with a few changes; at times with none.
pub fn mutated(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (select(valid), vec(edit(), 0..=EDITS_MAX))
        .prop_map(|(valid, edits)| edits.into_iter().fold(valid, |bytes, edit| edit.apply(bytes)))
}

/// One change.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    /// A run of bytes that reads as a large number wherever a length is expected.
    Lie(Index, usize),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    /// The same piece again and again, which is how nesting grows.
    Repeat(Index, Index, usize),
    Cut(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        3 => (at(), 0..8_u32).prop_map(|(at, bit)| Edit::Flip(at, 1 << bit)),
        2 => (at(), 1..10_usize).prop_map(|(at, length)| Edit::Lie(at, length)),
        1 => (at(), bytes(8)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Remove(from, to)),
        1 => (at(), at(), 1..200_usize).prop_map(|(from, to, times)| Edit::Repeat(from, to, times)),
        1 => at().prop_map(Edit::Cut),
    ]
}

impl Edit {
    fn apply(self, mut bytes: Vec<u8>) -> Vec<u8> {
        let place = |at: Index| at.index(bytes.len() + 1);
        let range = |from: Index, to: Index| {
            let (from, to) = (place(from), place(to));
            from.min(to)..from.max(to)
        };
        match self {
            Edit::Set(at, byte) => {
                let at = place(at);
                bytes.splice(at..bytes.len().min(at + 1), [byte]);
            }
            Edit::Flip(at, bit) => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bit;
                }
            }
            Edit::Lie(at, length) => {
                let at = place(at);
                let end = bytes.len().min(at + length);
                bytes.splice(at..end, vec_of_lies(length));
            }
            Edit::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more);
            }
            Edit::Remove(from, to) => {
                let range = range(from, to);
                bytes.drain(range);
            }
            Edit::Repeat(from, to, times) => {
                let range = range(from, to);
                let (end, piece) = (range.end, bytes[range].repeat(times));
                // An input of the size of a request is large enough.
                bytes.splice(end..end, piece.into_iter().take(1 << 16));
            }
            Edit::Cut(at) => {
                let at = place(at);
                bytes.truncate(at);
            }
        }
        bytes
    }
}

/// 0xff… with a last byte that ends a number of variable length.
fn vec_of_lies(length: usize) -> Vec<u8> {
    let mut lies = vec![0xff; length];
    if let Some(last) = lies.last_mut() {
        *last = 0x7f;
    }
    lies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_as_many_inputs_as_it_says_and_finds_what_panics() {
        let seen = std::cell::Cell::new(0);
        run("counted", 50, bytes(4), |_| seen.set(seen.get() + 1));
        assert!(seen.get() >= 50);
        let failing = || {
            run("failing", 2_000, mutated(vec![b"valid".to_vec()]), |input| {
                assert!(input.len() < 9)
            })
        };
        assert!(std::panic::catch_unwind(failing).is_err());
    }
}
