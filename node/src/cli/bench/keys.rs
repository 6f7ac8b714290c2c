//! Which key comes next: numbers below a prefix, written so that their order as keys is their order as numbers.

use bytes::Bytes;

/// A source of numbers that look random: SplitMix64. Good enough to spread keys, and nothing secret depends on it.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The high half of a product is even enough: the bounds here are far below 2^64.
        let product = u128::from(self.roll()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// Whether something that happens in this share of cases happens now.
    pub(super) fn happens(&mut self, share: f64) -> bool {
        // 53 bits are what a float holds exactly.
        ((self.roll() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    /// Bytes that do not compress.
    pub(super) fn bytes(&mut self, count: usize) -> Bytes {
        let words = std::iter::repeat_with(|| self.roll().to_le_bytes());
        words.flatten().take(count).collect::<Vec<u8>>().into()
    }
}

/// The keys of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeySpace {
    prefix: String,
    size: usize,
    count: u64,
    sequential: bool,
}

impl KeySpace {
    /// `count` keys with `size` bytes behind the prefix; `size` is at least [`KeySpace::digits`] of `count`.
    pub(super) fn new(prefix: &str, size: usize, count: u64, sequential: bool) -> Self {
        Self {
            prefix: prefix.to_owned(),
            size,
            count,
            sequential,
        }
    }

    /// Bytes that so many keys need to differ.
    pub(super) fn digits(count: u64) -> usize {
        format!("{:x}", count - 1).len()
    }

    /// The key of a number.
    pub(super) fn key(&self, number: u64) -> Bytes {
        format!("{}{number:0size$x}", self.prefix, size = self.size).into()
    }

    /// The number of the key that a request uses.
    pub(super) fn choose(&self, request: u64, dice: &mut Dice) -> u64 {
        if self.sequential {
            request % self.count
        } else {
            dice.below(self.count)
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many keys there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The same keys, one after the other.
    pub(super) fn in_order(&self) -> Self {
        Self {
            sequential: true,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_size_asked_for_and_the_order_of_their_numbers() {
        let keys = KeySpace::new("b/", 5, 70_000, true);
        assert_eq!(
            (KeySpace::digits(1), KeySpace::digits(16), KeySpace::digits(17)),
            (1, 1, 2)
        );
        assert_eq!(KeySpace::digits(70_000), 5);
        assert_eq!(keys.key(0), "b/00000");
        assert_eq!(keys.key(69_999), "b/1116f");
        assert!((1..70_000).all(|number| keys.key(number - 1) < keys.key(number) && keys.key(number).len() == 7));
    }

    #[test]
    fn sequential_keys_come_round_and_others_stay_within_and_reach_all() {
        let mut dice = Dice::new(1);
        let keys = KeySpace::new("b/", 4, 3, true);
        let chosen: Vec<u64> = (0..7).map(|request| keys.choose(request, &mut dice)).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2, 0]);
        let keys = KeySpace::new("b/", 4, 10, false);
        let mut hits = [0; 10];
        for request in 0..10_000 {
            hits[keys.choose(request, &mut dice) as usize] += 1;
        }
        assert!(hits.iter().all(|hits| (800..1_200).contains(hits)), "{hits:?}");
    }

    #[test]
    fn what_happens_in_a_share_of_cases_does() {
        let mut dice = Dice::new(2);
        for (share, expected) in [(0.0, 0..1), (0.25, 2_300..2_700), (1.0, 10_000..10_001)] {
            let happened = (0..10_000).filter(|_| dice.happens(share)).count();
            assert!(expected.contains(&happened), "{share}: {happened}");
        }
    }

    #[test]
    fn values_have_their_size_and_differ() {
        let mut dice = Dice::new(3);
        for size in [0, 1, 8, 31] {
            assert_eq!(dice.bytes(size).len(), size);
        }
        assert_ne!(dice.bytes(32), dice.bytes(32));
    }
}
