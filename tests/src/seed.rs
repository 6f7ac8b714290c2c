//! Seeds: whatever a test draws at random can be drawn again.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The variable that fixes the seed of a run.
const VARIABLE: &str = "KVORUM_SEED";

/// A generator and the seed it was made from, which is printed: `KVORUM_SEED=<seed>` repeats the draws.
#[must_use]
pub fn generator(test: &str) -> (StdRng, u64) {
    let seed = std::env::var(VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    println!("{test}: {VARIABLE}={seed}");
    (StdRng::seed_from_u64(seed), seed)
}

/// How many of something to do: `short` in an ordinary run, more when the variable says so (the long runs).
#[must_use]
pub fn count(variable: &str, short: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(short)
}
