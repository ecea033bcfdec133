//! What a session makes with its credentials: leases, children, and the knowledge of what must not
//! come out. When the context is cleared all of it ends as a whole, and what begins afterwards has
//! nothing of it but this: leases that have not ended yet must not come out.

use std::sync::{Arc, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;

use crate::{
    broker::Leases,
    redact::Redactor,
    session::{ContextCleared, Session},
    toolserver::{Children, ToolServers},
};

/// The time from one clearing of a session's context to the next.
pub(super) struct Epoch {
    /// Cancelled at its end: its calls stop, its endpoints refuse, its children end.
    over: CancellationToken,
    pub(super) redactor: Arc<Redactor>,
    pub(super) leases: Leases,
    pub(super) children: Arc<Children>,
}

impl Epoch {
    fn begin(servers: Arc<ToolServers>, redactor: Redactor) -> Self {
        let (over, redactor) = (CancellationToken::new(), Arc::new(redactor));
        let children = Arc::new(Children::new(servers, Arc::clone(&redactor), over.clone()));
        Self { over, redactor, leases: Leases::default(), children }
    }

    /// Waits for its end.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// A session's epochs, of which one is the present one.
pub(super) struct Epochs {
    session: Arc<Session>,
    servers: Arc<ToolServers>,
    /// Written to together with the end of what the session holds.
    present: RwLock<Arc<Epoch>>,
}

impl Epochs {
    pub(super) fn new(session: Arc<Session>, servers: Arc<ToolServers>) -> Self {
        let present =
            RwLock::new(Arc::new(Epoch::begin(Arc::clone(&servers), Redactor::default())));
        Self { session, servers, present }
    }

    pub(super) fn present(&self) -> Arc<Epoch> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something to the session's context within an epoch. What comes too late is not done:
    /// it would outlive the clearing that ended its epoch.
    pub(super) fn within<T>(
        &self,
        epoch: &Epoch,
        work: impl FnOnce() -> T,
    ) -> Result<T, ContextCleared> {
        let _no_end_meanwhile = self.present.read().unwrap_or_else(PoisonError::into_inner);
        if epoch.over.is_cancelled() { Err(ContextCleared) } else { Ok(work()) }
    }

    /// Clears the context and begins a new epoch. The old one is over when this returns; its
    /// children may still be ending.
    pub(super) fn next(&self) -> Arc<Epoch> {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        let redactor = Redactor::after(&present.redactor);
        let next = Arc::new(Epoch::begin(Arc::clone(&self.servers), redactor));
        let ended = std::mem::replace(&mut *present, next);
        self.session.clear();
        ended.over.cancel();
        ended
    }

    /// Whether there is anything that a clearing would end.
    pub(super) fn hold_anything(&self) -> bool {
        let present = self.present();
        self.session.holds_anything() || !present.leases.is_empty() || !present.children.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::{config::Config, principal::Principal, secret::Secret};

    fn epochs() -> Epochs {
        let config = Config::parse("[tools]\nenable = []", Path::new("."), None).unwrap();
        let session = Arc::new(Session::open(Principal::new("uid:1", "alice")));
        Epochs::new(session, Arc::new(ToolServers::new(&config).unwrap()))
    }

    #[test]
    fn what_comes_after_a_clearing_is_not_done() {
        let epochs = epochs();
        let before = epochs.present();
        let set = |service| epochs.session.set_service(json!(service));
        epochs.within(&before, || set("one")).unwrap();
        assert!(epochs.hold_anything());
        epochs.next();
        assert!(!epochs.hold_anything());
        assert!(epochs.within(&before, || set("too late")).is_err());
        assert!(epochs.session.service().is_none());
        epochs.within(&epochs.present(), || set("two")).unwrap();
    }

    #[test]
    fn a_call_on_its_way_still_knows_what_must_not_come_out() {
        let epochs = epochs();
        let before = epochs.present();
        before.redactor.learn("password", &Secret::new("correct horse battery".into()));
        let later = crate::clock::now() + std::time::Duration::from_mins(15);
        let lease = Secret::new("a lease that lives on".into());
        before.redactor.learn_until("lease", &lease, Some(later));
        epochs.next();
        let shown = |epoch: &Epoch| {
            let text = "correct horse battery, a lease that lives on";
            epoch.redactor.text(text).into_inner()
        };
        assert_eq!(shown(&before), "[redacted: password], [redacted: lease]");
        assert_eq!(shown(&epochs.present()), "correct horse battery, [redacted: lease]");
    }
}
