//! The CPU time of a container whose processes come and go: a counter that never falls.
//!
//! It is the sum over the live processes plus what ended ones left. The latter is known from two sides:
//! each process' last reading, carried when it vanished, and what the kernel adds to a parent that waited
//! for a child. The carried readings miss what a child used since the last tick, and children that lived
//! between two ticks; the parents' sums miss children nobody in the container waited for, and those whose
//! parents ended. The larger of the two counts.
//!
//! So that no time is counted on both sides, a tick reads a parent before its children: what its sum
//! holds was waited for by then, and the child's own read fails afterwards.

/// CPU time used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuUse {
    /// All of it.
    pub(crate) total_ns: u64,
    /// In user space, in ticks of USER_HZ.
    pub(crate) user_ticks: u64,
    /// In the kernel.
    pub(crate) system_ticks: u64,
}

impl CpuUse {
    fn map2(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            total_ns: join(self.total_ns, other.total_ns),
            user_ticks: join(self.user_ticks, other.user_ticks),
            system_ticks: join(self.system_ticks, other.system_ticks),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        self.map2(other, u64::saturating_add)
    }

    pub(crate) fn max(self, other: Self) -> Self {
        self.map2(other, u64::max)
    }
}

/// What one container has used so far.
#[derive(Debug, Default)]
pub(crate) struct CpuAccount {
    ended: CpuUse,
    reported: CpuUse,
}

impl CpuAccount {
    /// A process has vanished; `last` is its last reading. To be told before [`CpuAccount::total`] of the same tick.
    pub(crate) fn end(&mut self, last: CpuUse) {
        self.ended = self.ended.plus(last);
    }

    /// The counter, given what the live processes have used themselves and what the children they waited for had.
    pub(crate) fn total(&mut self, live: CpuUse, waited_for: CpuUse) -> CpuUse {
        self.ended = self.ended.max(waited_for);
        self.reported = self.reported.max(live.plus(self.ended));
        self.reported
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ns(total_ns: u64) -> CpuUse {
        CpuUse { total_ns, ..CpuUse::default() }
    }

    #[test]
    fn children_seen_unseen_and_orphaned_are_counted_once() {
        let mut account = CpuAccount::default();
        assert_eq!(account.total(ns(100 + 500), ns(0)).total_ns, 600, "a parent and a child");
        account.end(ns(500));
        assert_eq!(
            account.total(ns(110), ns(520)).total_ns,
            630,
            "its last 20 come from the parent"
        );
        assert_eq!(account.total(ns(110), ns(820)).total_ns, 930, "one that no tick saw");
        account.end(ns(70));
        assert_eq!(account.total(ns(110), ns(820)).total_ns, 1000, "one that nobody waited for");
        assert_eq!(account.total(ns(110), ns(820)).total_ns, 1000);
    }

    /// A process of the model: parents stand before children.
    #[derive(Clone, Debug)]
    struct Live {
        own: u64,
        waited_for: u64,
        parent: usize,
        last_seen: Option<u64>,
        is_gone: bool,
    }

    proptest! {
        /// A tree in which everything is waited for: whatever happens between ticks, the counter never
        /// falls, never exceeds the truth, and is exact at each tick.
        #[test]
        fn the_counter_is_true_when_children_are_waited_for(
            steps in prop::collection::vec((0_u8..4, any::<prop::sample::Index>(), 1_u64..100), 1..80),
        ) {
            let root = Live { own: 0, waited_for: 0, parent: 0, last_seen: None, is_gone: false };
            let mut processes = vec![root];
            let mut account = CpuAccount::default();
            let mut truth = 0;
            let mut before = 0;
            for (step, pick, amount) in steps {
                let live: Vec<usize> =
                    (0..processes.len()).filter(|idx| !processes[*idx].is_gone).collect();
                let idx = live[pick.index(live.len())];
                match step {
                    0 => processes.push(Live {
                        own: 0, waited_for: 0, parent: idx, last_seen: None, is_gone: false,
                    }),
                    1 => {
                        processes[idx].own += amount;
                        truth += amount;
                    }
                    2 => {
                        let has_children =
                            processes.iter().any(|other| !other.is_gone && other.parent == idx);
                        if idx != 0 && !has_children {
                            processes[idx].is_gone = true;
                            let parent = processes[idx].parent;
                            processes[parent].waited_for +=
                                processes[idx].own + processes[idx].waited_for;
                        }
                    }
                    _ => {
                        let (mut own, mut waited_for) = (0, 0);
                        for process in &mut processes {
                            if process.is_gone {
                                if let Some(last) = process.last_seen.take() {
                                    account.end(ns(last));
                                }
                            } else {
                                process.last_seen = Some(process.own);
                                own += process.own;
                                waited_for += process.waited_for;
                            }
                        }
                        let counter = account.total(ns(own), ns(waited_for)).total_ns;
                        prop_assert!(counter >= before);
                        prop_assert_eq!(counter, truth);
                        before = counter;
                    }
                }
            }
        }

        /// Whatever readings come, the counter never falls.
        #[test]
        fn the_counter_never_falls(
            ticks in prop::collection::vec((0_u64..1000, 0_u64..1000, prop::option::of(0_u64..1000)), 1..50),
        ) {
            let mut account = CpuAccount::default();
            let mut before = CpuUse::default();
            for (live, waited_for, ended) in ticks {
                if let Some(last) = ended {
                    account.end(ns(last));
                }
                let now = account.total(ns(live), ns(waited_for));
                prop_assert!(now.total_ns >= before.total_ns);
                before = now;
            }
        }
    }
}
