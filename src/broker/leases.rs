//! The leases that are held.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::BrokerError;
use crate::lease::{Lease, LeaseRequest};

/// The leases of one session, from one clearing of its context to the next. A lease is wiped when
/// this and the last call that uses it are gone.
#[derive(Debug, Default)]
pub struct Leases {
    slots: Mutex<HashMap<LeaseRequest, Slot>>,
}

/// One lease, or the wait for it.
pub(super) type Slot = Arc<tokio::sync::Mutex<Held>>;

/// What has come of it so far.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) lease: Option<Arc<Lease>>,
    /// Why there is no newer one, and since when: for those who waited for it.
    pub(super) failed: Option<(Instant, Arc<BrokerError>)>,
}

impl Leases {
    /// The place of a lease. Those of leases that have ended are given up.
    pub(super) fn slot(&self, request: &LeaseRequest) -> Slot {
        let mut slots = self.slots();
        slots.retain(|_, slot| in_use(slot));
        Arc::clone(slots.entry(request.clone()).or_default())
    }

    /// Whether none is held, nor waited for.
    pub fn is_empty(&self) -> bool {
        !self.slots().values().any(in_use)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<LeaseRequest, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_use(slot: &Slot) -> bool {
    match slot.try_lock() {
        Ok(held) => {
            Arc::strong_count(slot) > 1
                || held.lease.as_ref().is_some_and(|lease| lease.outlives(Duration::ZERO))
        }
        // Someone waits for it.
        Err(_) => true,
    }
}
