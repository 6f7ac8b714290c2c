//! That a seed repeats, that every kind comes, and that each is what its name says.

use std::collections::BTreeMap;

use super::*;

fn schedule(seed: u64, members: usize, count: usize) -> Vec<Fault> {
    let mut nemesis = Nemesis::new(seed, members);
    (0..count).map(|_| nemesis.draw()).collect()
}

/// Every fault of a kind in a long schedule, done while `leader` leads.
fn acts(kind: Kind, members: usize, leader: usize) -> Vec<(Fault, Act)> {
    let all = schedule(11, members, 40 * Kind::ALL.len());
    let some = all.into_iter().filter(|fault| fault.kind == kind);
    some.map(|fault| (fault.clone(), fault.act(leader))).collect()
}

fn links(act: &Act) -> &Links {
    match act {
        Act::Network { phases, .. } => &phases[0].1,
        other => panic!("{other:?}"),
    }
}

/// How many others each member hears.
fn hears(links: &Links, members: usize) -> Vec<usize> {
    let from_others = |to| {
        (0..members)
            .filter(|from| *from != to && !links.is_cut(*from, to))
            .count()
    };
    (0..members).map(from_others).collect()
}

#[test]
fn a_seed_gives_the_whole_schedule() {
    assert_eq!(schedule(7, 3, 100), schedule(7, 3, 100));
    assert_ne!(schedule(7, 3, 100), schedule(8, 3, 100));
    let act = |fault: &Fault| fault.act(1);
    let (one, other) = (schedule(7, 5, 100), schedule(7, 5, 100));
    assert!(one.iter().map(act).eq(other.iter().map(act)));
}

#[test]
fn every_kind_comes_before_any_comes_again() {
    let mut counts = BTreeMap::new();
    for fault in schedule(3, 3, 5 * Kind::ALL.len()) {
        *counts.entry(fault.kind).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), Kind::ALL.len());
    assert!(counts.values().all(|count| *count == 5), "{counts:?}");
}

#[test]
fn the_leader_is_cut_off_whoever_it_is() {
    for leader in 0..5 {
        for (_, act) in acts(Kind::CutLeader, 5, leader) {
            let heard = hears(links(&act), 5);
            assert_eq!(heard[leader], 0, "{act:?}");
            assert!((0..5).filter(|other| *other != leader).all(|other| heard[other] == 3));
        }
    }
}

#[test]
fn a_minority_leaves_a_majority_and_a_shattered_cluster_has_none() {
    for (members, majority) in [(3, 2), (5, 3)] {
        for (_, act) in acts(Kind::CutMinority, members, 0) {
            let heard = hears(links(&act), members);
            let whole = heard.iter().filter(|heard| **heard + 1 >= majority).count();
            assert_eq!(whole, majority, "{act:?}");
        }
        for (_, act) in acts(Kind::Shatter, members, 0) {
            assert!(
                hears(links(&act), members).iter().all(|heard| heard + 1 < majority),
                "{act:?}"
            );
        }
    }
}

#[test]
fn one_way_is_one_way() {
    for (_, act) in acts(Kind::Mute, 3, 2) {
        let mut heard = hears(links(&act), 3);
        heard.sort_unstable();
        assert_eq!(heard, [1, 1, 2], "{act:?}");
    }
    for (_, act) in acts(Kind::Deafen, 3, 2) {
        let mut heard = hears(links(&act), 3);
        heard.sort_unstable();
        assert_eq!(heard, [0, 2, 2], "{act:?}");
    }
    for (_, act) in acts(Kind::OneWayLink, 5, 2) {
        assert_eq!(hears(links(&act), 5).iter().sum::<usize>(), 19, "{act:?}");
    }
}

#[test]
fn a_bridge_is_seen_by_both_halves() {
    for (members, sorted) in [(3, vec![1, 1, 2]), (5, vec![2, 2, 2, 2, 4])] {
        for (_, act) in acts(Kind::Bridge, members, 1) {
            let mut heard = hears(links(&act), members);
            heard.sort_unstable();
            assert_eq!(heard, sorted, "{act:?}");
        }
    }
}

#[test]
fn flapping_takes_turns_and_lasts_as_long_as_asked() {
    for (fault, act) in acts(Kind::Flap, 3, 1) {
        let Act::Network { phases, .. } = act else {
            panic!("{act:?}");
        };
        assert_eq!(phases.iter().map(|(time, _)| *time).sum::<Duration>(), fault.lasts);
        assert!(
            phases
                .iter()
                .enumerate()
                .all(|(turn, (_, links))| links.is_whole() == (turn % 2 == 1))
        );
    }
}

#[test]
fn kills_and_pauses_meet_as_many_as_they_say() {
    for (kind, members, count) in [
        (Kind::Kill, 5, 1),
        (Kind::KillMajority, 5, 3),
        (Kind::KillMajority, 3, 2),
        (Kind::KillAll, 3, 3),
        (Kind::Pause, 5, 1),
        (Kind::PauseMajority, 3, 2),
    ] {
        for (_, act) in acts(kind, members, 0) {
            let (Act::Kill(met) | Act::Pause(met)) = &act else {
                panic!("{act:?}");
            };
            assert_eq!(met.len(), count, "{act:?}");
        }
    }
    let leaders = acts(Kind::Kill, 3, 1)
        .into_iter()
        .filter(|(_, act)| *act == Act::Kill(vec![1]))
        .count();
    assert!(
        (20..40).contains(&leaders),
        "the leader is met more often than by chance, not always: {leaders}"
    );
}

#[test]
fn clocks_jump_where_their_names_say() {
    for (kind, sign) in [(Kind::ClockForward, 1), (Kind::ClockBack, -1)] {
        for (_, act) in acts(kind, 3, 0) {
            assert!(
                matches!(act, Act::Clock { by_ms, .. } if by_ms.signum() == sign),
                "{act:?}"
            );
        }
    }
}
