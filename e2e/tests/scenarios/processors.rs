//! How much of this machine its owner gives to others. A virtual machine whose processors are given away runs slower by
//! that share, and a bound on time says something about Kvorum only when it is stretched by as much.

/// A bound is stretched at most so much: beyond that a run shows nothing.
const STRETCH_MAX: f64 = 4.0;

/// What the processors did since the machine began, in the kernel's ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processors {
    worked: f64,
    stolen: f64,
}

impl Processors {
    /// As they are now. The columns are those of proc(5), `/proc/stat`.
    pub(crate) fn now() -> Processors {
        Processors::read(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    fn read(stat: &str) -> Processors {
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = first
            .split_whitespace()
            .skip(1)
            .filter_map(|it| it.parse().ok())
            .collect();
        let column = |index: usize| ticks.get(index).copied().unwrap_or(0.0);
        // user, nice, system, irq, softirq; the fourth and the fifth are rest.
        Processors {
            worked: [0, 1, 2, 5, 6].into_iter().map(column).sum(),
            stolen: column(7),
        }
    }

    /// How much slower work went until then than on a machine that keeps its processors: 1 when nothing was taken.
    pub(crate) fn slower_until(&self, then: &Processors) -> f64 {
        let worked = (then.worked - self.worked).max(1.0);
        let stolen = (then.stolen - self.stolen).max(0.0);
        ((worked + stolen) / worked).min(STRETCH_MAX)
    }
}

#[test]
fn time_is_stretched_by_what_was_stolen() {
    let at = Processors::read;
    let before = at("cpu  100 0 50 9000 10 5 5 0 0 0\ncpu0 1 1 1 1");
    assert_eq!(before.slower_until(&before), 1.0);
    // 60 ticks of work, 60 stolen; rest does not count.
    assert_eq!(before.slower_until(&at("cpu 140 0 60 19000 99 10 10 60 0 0")), 2.0);
    assert_eq!(
        before.slower_until(&at("cpu 140 0 60 9000 10 10 10 6000 0 0")),
        STRETCH_MAX
    );
    assert_eq!(before.slower_until(&at("")), 1.0);
}
