//! What the network between members does to packets, per direction, and how to say so to the kernel. Pure.
//!
//! Must keep true: packets of clients are never touched, and a whole network has no rule at all.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The table that holds the rules of one member.
const TABLE: &str = "faults";

/// The network between members as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Pairs `(from, to)` between which nothing arrives.
    cut: BTreeSet<(usize, usize)>,
    /// How many of a hundred packets are lost, of those that arrive at all.
    loss_percent: u32,
    /// Members whose packets leave no faster than so many kbit/s; they wait in a queue, and beyond it they are lost.
    slow: BTreeSet<usize>,
    rate_kbit: u32,
}

/// How long a packet may wait in the queue of a slow member, in milliseconds. Beyond it, packets are lost.
pub const QUEUE_MS: u32 = 300;

impl Links {
    /// A network without a fault.
    #[must_use]
    pub fn whole() -> Links {
        Links::default()
    }

    /// Nothing goes between members of different groups, in both directions.
    #[must_use]
    pub fn parted(groups: &[&[usize]]) -> Links {
        let mut links = Links::whole();
        for (number, group) in groups.iter().enumerate() {
            for other in groups.iter().skip(number + 1) {
                links = links.without(group, other).without(other, group);
            }
        }
        links
    }

    /// Nothing that `from` send arrives at `to`; the other direction stays.
    #[must_use]
    pub fn without(mut self, from: &[usize], to: &[usize]) -> Links {
        for from in from {
            self.cut
                .extend(to.iter().filter(|to| *to != from).map(|to| (*from, *to)));
        }
        self
    }

    /// So many of a hundred packets are lost, everywhere.
    #[must_use]
    pub fn losing(mut self, percent: u32) -> Links {
        self.loss_percent = percent;
        self
    }

    /// What these members send goes no faster than `rate_kbit`, and waits.
    #[must_use]
    pub fn slowing(mut self, members: &[usize], rate_kbit: u32) -> Links {
        self.slow.extend(members);
        self.rate_kbit = rate_kbit;
        self
    }

    /// Whether nothing that `from` sends arrives at `to`.
    #[must_use]
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Whether anything is wrong at all.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Links::whole()
    }

    /// What `nft` is to read at one member: everything that was there goes, in one step with what comes.
    ///
    /// `addresses` are the members' own, by which a packet's sender is known; `device` is where members' packets arrive.
    #[must_use]
    pub fn rules(&self, member: usize, addresses: &[String], device: &str) -> String {
        let mut text = "flush ruleset\n".to_owned();
        let senders: Vec<&str> = (0..addresses.len())
            .filter(|from| self.is_cut(*from, member))
            .map(|from| addresses[from].as_str())
            .collect();
        if senders.is_empty() && self.loss_percent == 0 {
            return text;
        }
        let _ = writeln!(text, "table ip {TABLE} {{\n chain arriving {{");
        text.push_str("  type filter hook input priority 0; policy accept;\n");
        if !senders.is_empty() {
            let _ = writeln!(text, "  ip saddr {{ {} }} drop", senders.join(", "));
        }
        if self.loss_percent > 0 {
            let percent = self.loss_percent;
            let _ = writeln!(text, "  iifname \"{device}\" numgen random mod 100 < {percent} drop");
        }
        text.push_str(" }\n}\n");
        text
    }

    /// The queue that a member's packets leave through, in the words of `tc`; `None` when they leave at once.
    #[must_use]
    pub fn queue(&self, member: usize) -> Option<String> {
        self.slow
            .contains(&member)
            .then(|| format!("tbf rate {}kbit burst 3200 latency {QUEUE_MS}ms", self.rate_kbit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Vec<String> {
        (0..3).map(|number| format!("10.0.0.{number}")).collect()
    }

    #[test]
    fn a_whole_network_has_no_rule() {
        let whole = Links::parted(&[&[0, 1, 2]]);
        assert!(whole.is_whole());
        assert_eq!(whole.rules(0, &addresses(), "peers"), "flush ruleset\n");
        assert_eq!(whole.queue(0), None);
    }

    #[test]
    fn groups_are_parted_in_both_directions() {
        let links = Links::parted(&[&[0], &[1, 2]]);
        let cut = |from, to| links.is_cut(from, to);
        assert!(cut(0, 1) && cut(1, 0) && cut(0, 2) && cut(2, 0));
        assert!(!cut(1, 2) && !cut(2, 1));
        let rules = links.rules(0, &addresses(), "peers");
        assert!(rules.contains("ip saddr { 10.0.0.1, 10.0.0.2 } drop"), "{rules}");
        let rules = links.rules(1, &addresses(), "peers");
        assert!(rules.contains("ip saddr { 10.0.0.0 } drop"), "{rules}");
    }

    #[test]
    fn one_direction_leaves_the_other() {
        let links = Links::whole().without(&[0], &[0, 1, 2]);
        assert!(links.is_cut(0, 1) && !links.is_cut(1, 0) && !links.is_cut(0, 0));
        assert_eq!(links.rules(0, &addresses(), "peers"), "flush ruleset\n");
    }

    #[test]
    fn losses_are_where_members_arrive_and_queues_where_they_leave() {
        let links = Links::whole().losing(7).slowing(&[1], 256);
        let rules = links.rules(2, &addresses(), "peers");
        assert!(
            rules.contains("iifname \"peers\" numgen random mod 100 < 7 drop"),
            "{rules}"
        );
        assert_eq!(links.queue(0), None);
        assert_eq!(
            links.queue(1).as_deref(),
            Some("tbf rate 256kbit burst 3200 latency 300ms")
        );
    }
}
