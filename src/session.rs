//! A session: one agent's work, with one credential context of its own.
//!
//! Isolation is by construction. There is no registry to look a context up in and no way to make
//! one: a context lives inside its [`Session`], and whoever has no session has no context. This is
//! all that there is to ask:
//!
//! ```
//! fn credentials(session: &subrosa::session::Session) -> Option<subrosa::session::CredentialSet> {
//!     session.credentials()
//! }
//! ```
//!
//! Without a session there is nothing to ask, and the context itself cannot be made or named:
//!
//! ```compile_fail,E0061
//! fn credentials() -> Option<subrosa::session::CredentialSet> {
//!     subrosa::session::Session::credentials()
//! }
//! ```
//! ```compile_fail,E0603
//! use subrosa::session::context::CredentialContext;
//! ```

mod context;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use self::context::CredentialContext;
pub use self::context::{CredentialSet, LiteralKeys, Origin};
use crate::{ids::SessionId, lease::Region, principal::Principal};

/// One agent's work.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    principal: Principal,
    context: Mutex<CredentialContext>,
    calls: TaskTracker,
    /// When the last call began or ended.
    last_call: Mutex<Instant>,
}

impl Session {
    /// Opens a session for a principal, with nothing in it.
    pub fn open(principal: Principal) -> Self {
        Self {
            id: SessionId::random(),
            principal,
            context: Mutex::default(),
            calls: TaskTracker::new(),
            last_call: Mutex::new(Instant::now()),
        }
    }

    /// The session's name.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whose session it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The credentials of the session, if it has any.
    pub fn credentials(&self) -> Option<CredentialSet> {
        self.context().credentials()
    }

    /// Replaces the credentials.
    pub fn set_credentials(&self, origin: Origin, region: Region) {
        self.context().set_credentials(origin, region);
    }

    /// Whether credentials were ever chosen, also if they have been cleared since. Whoever has
    /// chosen must not come to work on another account unawares.
    pub fn has_chosen(&self) -> bool {
        self.context().has_chosen()
    }

    /// The service that the session works on.
    pub fn service(&self) -> Option<Value> {
        self.context().service()
    }

    /// Replaces the service.
    pub fn set_service(&self, service: Value) {
        self.context().set_service(service);
    }

    /// Forgets credentials and service. Literal keys are wiped when their last lease ends.
    pub fn clear(&self) {
        self.context().clear();
    }

    /// Whether it has credentials or a service.
    pub fn holds_anything(&self) -> bool {
        let context = self.context();
        context.credentials().is_some() || context.service().is_some()
    }

    /// Counts a call as under way for as long as the guard lives; `None` if there are `limit`
    /// already, where there is one.
    pub fn begin_call(&self, limit: Option<usize>) -> Option<CallGuard<'_>> {
        let mut last = self.last_call();
        *last = Instant::now();
        limit
            .is_none_or(|limit| self.calls.len() < limit)
            .then(|| CallGuard { session: self, _under_way: self.calls.token() })
    }

    /// How long nothing has been called; zero while a call is under way.
    pub fn idle_for(&self) -> Duration {
        let last = self.last_call();
        if self.calls.is_empty() { last.elapsed() } else { Duration::ZERO }
    }

    /// Waits until no call is under way.
    pub async fn calls_over(&self) {
        self.calls.close();
        self.calls.wait().await;
    }

    // A panic while a lock was held left plain data behind, so a poisoned lock is as good as any.
    fn context(&self) -> MutexGuard<'_, CredentialContext> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_call(&self) -> MutexGuard<'_, Instant> {
        self.last_call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call is told that was under way when the context was cleared.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the call was ended because the session's credentials were cleared")]
pub struct ContextCleared;

/// A call that is under way.
#[must_use = "the call counts as over when this is dropped"]
#[derive(Debug)]
pub struct CallGuard<'a> {
    session: &'a Session,
    _under_way: TaskTrackerToken,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        *self.session.last_call() = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session() -> Session {
        Session::open(Principal::new("uid:1", "alice"))
    }

    #[test]
    fn clearing_forgets_all_and_numbers_are_not_used_again() {
        let session = session();
        session.set_credentials(Origin::Integration("prod".parse().unwrap()), Region::default());
        session.set_service(json!({"service_id": "web"}));
        let before = session.credentials().unwrap().generation;
        session.clear();
        assert!(!session.holds_anything());
        assert!(session.has_chosen());
        session.set_credentials(Origin::Integration("prod".parse().unwrap()), Region::default());
        assert!(session.credentials().unwrap().generation > before);
    }

    #[test]
    fn a_session_is_not_idle_while_a_call_is_under_way() {
        let session = session();
        let call = session.begin_call(Some(1)).unwrap();
        assert!(session.begin_call(Some(1)).is_none(), "one is enough");
        assert_eq!(session.idle_for(), Duration::ZERO);
        drop(call);
        std::thread::sleep(Duration::from_millis(2));
        assert!(session.idle_for() > Duration::ZERO);
    }

    #[test]
    fn two_sessions_have_different_names() {
        assert_ne!(session().id(), session().id());
    }
}
