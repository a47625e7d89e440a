//! Whose query is next: a pure decision over who runs and who waits.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// A place in the queue; never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// What becomes of a query that asks for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It runs now.
    Runs,
    /// It waits, in place of another one where there was no room, which is refused.
    Waits(Ticket, Option<Ticket>),
    /// No more may wait.
    Refused,
}

/// Who runs, and who waits.
///
/// The next turn is that of the client with the fewest queries that run, of several that of the one which had its last
/// turn longest ago; one that comes anew stands right before the client of the last turn. Where no more may wait, the
/// client with the most that do gives up its newest one for a client that has fewer: however many queries one client
/// sends, one that has none running waits at most for one of each other client's.
#[derive(Debug)]
pub(super) struct Fair<C> {
    running_max: usize,
    waiting_max: usize,
    running_count: usize,
    waiting_count: usize,
    clients: FxHashMap<C, Client>,
    /// Clients by ticket of those that wait.
    waiting: BTreeMap<Ticket, C>,
    next_ticket: u64,
    turn_count: u64,
}

#[derive(Debug)]
struct Client {
    running_count: usize,
    waiting: VecDeque<Ticket>,
    /// Twice the number of its last turn; one less than that of the last turn of all for a client that has had none, so
    /// that whoever waits longer is not passed by those that come and go.
    last_turn: u64,
}

impl<C: Clone + Eq + Hash> Fair<C> {
    pub(super) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self {
            running_max,
            waiting_max,
            running_count: 0,
            waiting_count: 0,
            clients: FxHashMap::default(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            turn_count: 0,
        }
    }

    pub(super) const fn waiting_max(&self) -> usize {
        self.waiting_max
    }

    /// A query of a client asks for its turn.
    pub(super) fn ask(&mut self, client: &C) -> Asked {
        // Nobody waits while there is room.
        if self.running_count < self.running_max {
            self.begin(client);
            return Asked::Runs;
        }
        let mut given_up = None;
        if self.waiting_count >= self.waiting_max {
            let own = self.clients.get(client).map_or(0, |client| client.waiting.len());
            let most = self.clients.values_mut().max_by_key(|other| other.waiting.len());
            // It has to stay ahead, or two clients would take the place from each other.
            let most = most.filter(|most| most.waiting.len() > own + 1);
            let Some(newest) = most.and_then(|most| most.waiting.pop_back()) else {
                return Asked::Refused;
            };
            self.waiting.remove(&newest);
            self.waiting_count -= 1;
            given_up = Some(newest);
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting_count += 1;
        self.waiting.insert(ticket, client.clone());
        self.known(client).waiting.push_back(ticket);
        Asked::Waits(ticket, given_up)
    }

    /// A query of a client has ended; gives the one whose turn it is, which runs from now on, and whose it is.
    pub(super) fn end(&mut self, client: &C) -> Option<(Ticket, C)> {
        self.running_count -= 1;
        if let Some(known) = self.clients.get_mut(client) {
            known.running_count -= 1;
        }
        self.forget_if_idle(client);
        let waiting = self.clients.iter().filter(|(_, client)| !client.waiting.is_empty());
        let next = waiting.min_by_key(|(_, client)| {
            (client.running_count, client.last_turn, client.waiting.front().copied())
        });
        let next = next.map(|(client, _)| client.clone())?;
        let ticket = self.clients.get_mut(&next)?.waiting.pop_front()?;
        self.waiting.remove(&ticket);
        self.waiting_count -= 1;
        self.begin(&next);
        Some((ticket, next))
    }

    /// A query that waits wants its turn no more; `false` when it does not wait.
    pub(super) fn leave(&mut self, ticket: Ticket) -> bool {
        let Some(client) = self.waiting.remove(&ticket) else { return false };
        self.waiting_count -= 1;
        if let Some(known) = self.clients.get_mut(&client) {
            known.waiting.retain(|other| *other != ticket);
        }
        self.forget_if_idle(&client);
        true
    }

    fn begin(&mut self, client: &C) {
        self.turn_count += 1;
        self.running_count += 1;
        let last_turn = 2 * self.turn_count;
        let known = self.known(client);
        known.running_count += 1;
        known.last_turn = last_turn;
    }

    fn known(&mut self, client: &C) -> &mut Client {
        let last_turn = (2 * self.turn_count).saturating_sub(1);
        let new = || Client { running_count: 0, waiting: VecDeque::new(), last_turn };
        self.clients.entry(client.clone()).or_insert_with(new)
    }

    fn forget_if_idle(&mut self, client: &C) {
        let is_idle = |known: &Client| known.running_count == 0 && known.waiting.is_empty();
        if self.clients.get(client).is_some_and(is_idle) {
            self.clients.remove(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Asks, and gives the ticket of a query that waits.
    fn waits(fair: &mut Fair<char>, client: char) -> Ticket {
        match fair.ask(&client) {
            Asked::Waits(ticket, None) => ticket,
            other => panic!("{client}: {other:?}"),
        }
    }

    #[test]
    fn a_single_query_is_next_however_many_another_client_has() {
        let mut fair = Fair::new(2, 100);
        assert_eq!([fair.ask(&'a'), fair.ask(&'a')], [Asked::Runs, Asked::Runs]);
        let of_a: Vec<Ticket> = (0..50).map(|_| waits(&mut fair, 'a')).collect();
        let of_b = waits(&mut fair, 'b');
        assert_eq!(fair.end(&'a'), Some((of_b, 'b')));
        assert_eq!(fair.end(&'a'), Some((of_a[0], 'a')), "its own stand in their order");
        let again = waits(&mut fair, 'b');
        assert_eq!(fair.end(&'b'), Some((again, 'b')), "one of each runs, as before");
    }

    #[test]
    fn turns_go_round() {
        let mut fair = Fair::new(1, 100);
        assert_eq!(fair.ask(&'a'), Asked::Runs);
        for client in ['a', 'a', 'a', 'b', 'b', 'c'] {
            waits(&mut fair, client);
        }
        let mut order = vec!['a'];
        while let Some((_, next)) = fair.end(order.last().expect("one runs")) {
            order.push(next);
        }
        assert_eq!(order, ['a', 'b', 'c', 'a', 'b', 'a', 'a']);
    }

    #[test]
    fn clients_that_come_and_go_pass_nobody_who_waits() {
        let mut fair = Fair::new(2, 100);
        for client in ['a', 'b'] {
            assert_eq!(fair.ask(&client), Asked::Runs);
        }
        for client in ['a', 'a', 'c', 'd', 'e'] {
            waits(&mut fair, client);
        }
        let (mut running, mut order) = (VecDeque::from(['a', 'b']), Vec::new());
        for _ in 0..12 {
            let ended = running.pop_front().expect("two run");
            let (_, next) = fair.end(&ended).expect("many wait");
            running.push_back(next);
            order.push(next);
            // Each but the first sends its next query when it has the answer to the last.
            if ended != 'a' {
                waits(&mut fair, ended);
            }
        }
        let of_a: Vec<usize> = (0..12).filter(|turn| order[*turn] == 'a').collect();
        assert!(of_a.len() == 2 && of_a[1] < 10, "its two queries have had their turns: {order:?}");
    }

    #[test]
    fn who_has_most_gives_a_place_up_and_who_has_as_many_is_refused() {
        let mut fair = Fair::new(1, 4);
        assert_eq!(fair.ask(&'a'), Asked::Runs);
        let of_a: Vec<Ticket> = (0..4).map(|_| waits(&mut fair, 'a')).collect();
        assert_eq!(fair.ask(&'a'), Asked::Refused);
        for newest in [of_a[3], of_a[2]] {
            assert!(matches!(fair.ask(&'b'), Asked::Waits(_, Some(it)) if it == newest));
        }
        assert_eq!(fair.ask(&'b'), Asked::Refused, "both have two");
        assert!(matches!(fair.ask(&'c'), Asked::Waits(_, Some(_))));
        assert!(!fair.leave(of_a[3]), "it waits no more");
        assert!(fair.leave(of_a[0]));
        assert!(matches!(fair.ask(&'d'), Asked::Waits(_, None)), "its place is free");
    }

    proptest! {
        #[test]
        fn limits_hold_and_nothing_is_lost(
            steps in prop::collection::vec((0u8..6, any::<prop::sample::Index>()), 1..300),
            (running_max, waiting_max) in (1usize..4, 0usize..6),
        ) {
            let mut fair = Fair::new(running_max, waiting_max);
            let mut running: Vec<u8> = Vec::new();
            let mut waiting: Vec<(Ticket, u8)> = Vec::new();
            for (what, which) in steps {
                match what {
                    0 if !running.is_empty() => {
                        let client = running.swap_remove(which.index(running.len()));
                        let next = fair.end(&client);
                        prop_assert_eq!(next.is_none(), waiting.is_empty());
                        if let Some(next) = next {
                            let idx = waiting.iter().position(|it| *it == next).expect("waits");
                            running.push(waiting.remove(idx).1);
                        }
                    }
                    1 if !waiting.is_empty() => {
                        let (ticket, _) = waiting.remove(which.index(waiting.len()));
                        prop_assert!(fair.leave(ticket) && !fair.leave(ticket));
                    }
                    client => match fair.ask(&client) {
                        Asked::Runs => {
                            prop_assert!(waiting.is_empty());
                            running.push(client);
                        }
                        Asked::Waits(ticket, given_up) => {
                            waiting.retain(|it| Some(it.0) != given_up);
                            waiting.push((ticket, client));
                        }
                        Asked::Refused => {
                            let own = waiting.iter().filter(|it| it.1 == client).count();
                            let most = (0..6).map(|client| {
                                waiting.iter().filter(|it| it.1 == client).count()
                            });
                            prop_assert!(most.max().expect("six") <= own + 1);
                            prop_assert_eq!(waiting.len(), waiting_max);
                        }
                    },
                }
                prop_assert!(running.len() <= running_max && waiting.len() <= waiting_max);
                prop_assert!(waiting.is_empty() || running.len() == running_max);
            }
            while let Some(client) = running.pop() {
                if let Some(next) = fair.end(&client) {
                    let idx = waiting.iter().position(|it| *it == next).expect("waits");
                    running.push(waiting.remove(idx).1);
                }
            }
            prop_assert!(waiting.is_empty() && fair.clients.is_empty() && fair.waiting.is_empty());
        }
    }
}
