//! What is still to be told to plugins.
//!
//! Invariant: bounded, over all and for each organisation, so that one of them cannot crowd the others out; events of one
//! organisation are given out in their order, one at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Event;
use crate::access::OrgId;
use crate::base::tasks::Tasks;

/// Events that may wait.
const MAX_WAITING: usize = 1_024;
/// Of one organisation.
const MAX_OF_ONE: usize = 512;

#[derive(Default)]
pub struct Queue {
    lanes: Mutex<Lanes>,
    /// There may be something to give out, or nothing more to come.
    changed: Notify,
}

#[derive(Default)]
struct Lanes {
    waiting: HashMap<Option<OrgId>, VecDeque<Event>>,
    /// Whose turn it is next; each lane that waits and has nothing at work, once.
    ready: VecDeque<Option<OrgId>>,
    at_work: HashSet<Option<OrgId>>,
    count: usize,
    closed: bool,
}

impl Queue {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when there is no room for it, or nobody gives out any more.
    pub fn push(&self, event: Event) -> bool {
        let mut lanes = self.lanes();
        let org = event.org;
        let own = lanes.waiting.get(&org).map_or(0, VecDeque::len);
        if lanes.closed || lanes.count >= MAX_WAITING || own >= MAX_OF_ONE {
            return false;
        }
        lanes.count += 1;
        lanes.waiting.entry(org).or_default().push_back(event);
        if own == 0 && !lanes.at_work.contains(&org) {
            lanes.ready.push_back(org);
        }
        drop(lanes);
        self.changed.notify_waiters();
        true
    }

    /// The next event; [`Queue::done`] must follow. None when the server stops and nothing waits any more.
    pub async fn next(&self, tasks: &Tasks) -> Option<Event> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on a change is heard, also one that comes before the wait.
            changed.as_mut().enable();
            if let Some(event) = self.take() {
                return Some(event);
            }
            if tasks.is_stopping() {
                if self.close_if_empty() {
                    return None;
                }
                changed.await;
            } else {
                tokio::select! {
                    () = changed => {}
                    () = tasks.stopping() => {}
                }
            }
        }
    }

    /// Nothing of `org` is at work any more.
    pub fn done(&self, org: Option<OrgId>) {
        let mut lanes = self.lanes();
        lanes.at_work.remove(&org);
        if lanes.waiting.contains_key(&org) {
            lanes.ready.push_back(org);
        }
        drop(lanes);
        self.changed.notify_waiters();
    }

    /// Takes nothing more in; how many are left untold.
    pub fn close(&self) -> usize {
        let mut lanes = self.lanes();
        lanes.closed = true;
        std::mem::take(&mut lanes.count)
    }

    fn take(&self) -> Option<Event> {
        let mut lanes = self.lanes();
        let org = lanes.ready.pop_front()?;
        let lane = lanes.waiting.get_mut(&org)?;
        let event = lane.pop_front()?;
        if lane.is_empty() {
            lanes.waiting.remove(&org);
        }
        lanes.count = lanes.count.saturating_sub(1);
        lanes.at_work.insert(org);
        Some(event)
    }

    fn close_if_empty(&self) -> bool {
        let mut lanes = self.lanes();
        let empty = lanes.waiting.is_empty();
        lanes.closed |= empty;
        empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::{Hook, Payload};

    fn event(org: i64) -> Event {
        Event { hook: Hook::UserLogin, org: Some(OrgId(org)), payload: Payload::new() }
    }

    #[test]
    fn one_organisation_cannot_crowd_the_others_out() {
        let queue = Queue::default();
        assert_eq!((0..2_000).filter(|_| queue.push(event(1))).count(), MAX_OF_ONE);
        assert_eq!((0..2_000).filter(|n| queue.push(event(2 + n % 10))).count(), MAX_WAITING - MAX_OF_ONE);
        assert_eq!(queue.close(), MAX_WAITING);
        assert!(!queue.push(event(99)), "nobody would tell it");
    }

    #[test]
    fn one_at_a_time_is_given_out_for_each() {
        let queue = Queue::default();
        for org in [1, 1, 2] {
            assert!(queue.push(event(org)));
        }
        let taken = |queue: &Queue| queue.take().and_then(|event| event.org);
        assert_eq!((taken(&queue), taken(&queue), taken(&queue)), (Some(OrgId(1)), Some(OrgId(2)), None));
        queue.done(Some(OrgId(1)));
        assert_eq!(taken(&queue), Some(OrgId(1)));
    }
}
