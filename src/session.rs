//! A session: one agent's work, with one credential context of its own.
//!
//! Isolation is by construction. There is no registry to look a context up in and no way to make
//! one: a context lives inside its [`Session`], and whoever has no session has no context.
//!
//! ```compile_fail
//! let context = subrosa::session::CredentialContext::new();
//! ```
//! ```compile_fail
//! fn credentials(context: &subrosa::session::CredentialContext) {
//!     context.credentials();
//! }
//! ```

mod context;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

pub use self::context::{CredentialContext, CredentialSet, LiteralKeys, Origin};
use crate::{ids::SessionId, lease::Region, principal::Principal};

/// One agent's work.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    principal: Principal,
    context: Mutex<CredentialContext>,
    activity: Mutex<Activity>,
}

#[derive(Debug)]
struct Activity {
    calls: usize,
    last: Instant,
}

impl Session {
    /// Opens a session for a principal, with nothing in it.
    pub fn open(principal: Principal) -> Self {
        Self {
            id: SessionId::random(),
            principal,
            context: Mutex::default(),
            activity: Mutex::new(Activity { calls: 0, last: Instant::now() }),
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

    /// The service that the session works on.
    pub fn service(&self) -> Option<Value> {
        self.context().service()
    }

    /// Replaces the service.
    pub fn set_service(&self, service: Value) {
        self.context().set_service(service);
    }

    /// Rises with each change of the credentials.
    pub fn generation(&self) -> u64 {
        self.context().generation()
    }

    /// Forgets credentials and service. Literal keys are wiped when their last lease ends.
    pub fn clear(&self) {
        self.context().clear();
    }

    /// Counts a call as under way for as long as the guard lives.
    pub fn begin_call(&self) -> CallGuard<'_> {
        let mut activity = self.activity();
        activity.calls += 1;
        activity.last = Instant::now();
        CallGuard { session: self }
    }

    /// How long nothing has been called; zero while a call is under way.
    pub fn idle_for(&self) -> Duration {
        let activity = self.activity();
        if activity.calls > 0 { Duration::ZERO } else { activity.last.elapsed() }
    }

    // A panic while a lock was held left plain data behind, so a poisoned lock is as good as any.
    fn context(&self) -> MutexGuard<'_, CredentialContext> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is under way.
#[must_use = "the call counts as over when this is dropped"]
#[derive(Debug)]
pub struct CallGuard<'a> {
    session: &'a Session,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        let mut activity = self.session.activity();
        activity.calls -= 1;
        activity.last = Instant::now();
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
    fn clearing_forgets_all_and_counts_as_a_change() {
        let session = session();
        session.set_credentials(Origin::Integration("prod".parse().unwrap()), Region::default());
        session.set_service(json!({"service_id": "web"}));
        let before = session.generation();
        session.clear();
        assert!(session.credentials().is_none());
        assert!(session.service().is_none());
        assert!(session.generation() > before);
    }

    #[test]
    fn a_session_is_not_idle_while_a_call_is_under_way() {
        let session = session();
        let call = session.begin_call();
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
