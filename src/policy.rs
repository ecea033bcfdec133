//! The policy decision point: nothing runs without a [`PermittedCall`], and only
//! [`PolicyDecisionPoint::decide`] makes one.
//!
//! ```compile_fail
//! fn skip(call: subrosa::call::ToolCall) -> subrosa::policy::PermittedCall {
//!     subrosa::policy::PermittedCall { call, scope: todo!(), policy: todo!() }
//! }
//! ```

use std::collections::BTreeMap;

use crate::{
    call::{ActionKind, ToolCall},
    config::Config,
    name::ScopeName,
};

/// Decides whether a call may be made, and with what.
#[derive(Debug)]
pub struct PolicyDecisionPoint {
    allowed_writes: BTreeMap<String, ScopeName>,
}

/// A call that may be made.
#[derive(Debug)]
pub struct PermittedCall {
    call: ToolCall,
    scope: ScopeName,
    policy: &'static str,
}

impl PermittedCall {
    /// The call.
    pub fn call(&self) -> &ToolCall {
        &self.call
    }

    /// The scope that its lease gets.
    pub fn scope(&self) -> &ScopeName {
        &self.scope
    }

    /// Whether it may change something.
    pub fn may_write(&self) -> bool {
        self.call.action.kind == ActionKind::Write
    }

    /// The policy that permits it.
    pub fn policy(&self) -> &'static str {
        self.policy
    }
}

/// A call that may not be made.
#[derive(Debug)]
pub struct Denial {
    /// The call.
    pub call: ToolCall,
    /// The policy that denies it.
    pub policy: &'static str,
    /// Why, and how to allow it, for the model and its user.
    pub reason: String,
}

impl PolicyDecisionPoint {
    /// The policy that a configuration describes: looking is allowed, writes only by exact name.
    pub fn new(config: &Config) -> Self {
        let allowed_writes = config
            .allowed_writes
            .iter()
            .map(|write| (write.action.clone(), write.scope.clone()))
            .collect();
        Self { allowed_writes }
    }

    /// Decides. What no policy permits is denied.
    pub fn decide(&self, call: ToolCall) -> Result<PermittedCall, Box<Denial>> {
        let permit = |call, scope, policy| Ok(PermittedCall { call, scope, policy });
        match call.action.kind {
            ActionKind::Session => {
                let scope = call.looks_with.clone();
                permit(call, scope, "own-session")
            }
            ActionKind::Read => {
                let scope = call.looks_with.clone();
                permit(call, scope, "reads")
            }
            ActionKind::Write => match self.allowed_writes.get(&call.action.name) {
                Some(scope) => permit(call, scope.clone(), "allowed-writes"),
                None => Err(deny_write(call)),
            },
            ActionKind::Credential => Err(deny_credential(call)),
            ActionKind::Escape => Err(deny_escape(call)),
            ActionKind::Nameless => Err(deny_nameless(call)),
            ActionKind::Unknown => Err(deny_unknown(call)),
        }
    }
}

fn deny_write(call: ToolCall) -> Box<Denial> {
    let action = &call.action.name;
    let reason = format!(
        "Denied by policy: `{action}` may change something, and this session may only look. \
         Nothing was done. If the user wants it, the operator can allow exactly this action in \
         subrosa.toml:\n\n[[policy.allow]]\naction = \"{action}\"\nscope = \"NAME\"   # a scope \
         whose session policy grants it, see [scopes.NAME]"
    );
    Box::new(Denial { call, policy: "no-writes", reason })
}

fn deny_credential(call: ToolCall) -> Box<Denial> {
    let reason = format!(
        "Denied by policy: `{}` reads out a credential, and none may pass through a conversation. \
         Nothing was done. Look at what uses the secret instead, or ask the user to do this by \
         hand; it cannot be allowed in the configuration.",
        call.action.name
    );
    Box::new(Denial { call, policy: "no-credentials", reason })
}

fn deny_escape(call: ToolCall) -> Box<Denial> {
    let reason = format!(
        "Denied by policy: this call of `{}` leads away from the session's lease: to other \
         credentials, to another host, or to a file of subrosa's machine. Nothing was done. Leave \
         out options such as --profile, --endpoint-url and --debug, give values in the command \
         instead of file:// and URLs, and choose other credentials with \
         set_aws_credentials_context; this cannot be allowed in the configuration.",
        call.action.name
    );
    Box::new(Denial { call, policy: "no-escape", reason })
}

fn deny_nameless(call: ToolCall) -> Box<Denial> {
    let reason = format!(
        "Denied by policy: with --query or --output as in this call, `{}` would show values without \
         the names by which secrets among them are told. Nothing was done. Make the same call \
         with --output json, and without --query or with one that picks no single values.",
        call.action.name
    );
    Box::new(Denial { call, policy: "no-nameless-values", reason })
}

fn deny_unknown(call: ToolCall) -> Box<Denial> {
    let reason = format!(
        "Denied by policy: what this call of {} does cannot be told from its arguments, so it \
         counts as a change, and this session may only look. Nothing was done. Check the arguments \
         against the tool's description: one of them names the operation, exactly and as plain \
         text.",
        call.tool
    );
    Box::new(Denial { call, policy: "no-unknown", reason })
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::{
        call::{Action, Arguments, ToolName},
        principal::Principal,
        session::Session,
    };

    fn decide(config: &str, name: &str, kind: ActionKind) -> Result<PermittedCall, Box<Denial>> {
        let config = Config::parse(config, Path::new("."), None).unwrap();
        let session = Arc::new(Session::open(Principal::new("uid:1", "alice")));
        let action = Action { name: name.into(), kind, resource: None };
        let call = ToolCall::new(session, ToolName::Native("x"), Arguments::default(), action);
        PolicyDecisionPoint::new(&config).decide(call)
    }

    #[test]
    fn looking_is_permitted_with_the_read_only_scope() {
        let permitted = decide("", "aws.ecs.ListClusters", ActionKind::Read).unwrap();
        assert_eq!(permitted.scope(), &ScopeName::read_only());
    }

    #[test]
    fn a_write_is_denied_and_the_reason_says_how_to_allow_it() {
        let denial = decide("", "aws.ecs.UpdateService", ActionKind::Write).unwrap_err();
        assert!(denial.reason.contains("action = \"aws.ecs.UpdateService\""));
    }

    #[test]
    fn only_the_exact_action_is_allowed() {
        let config = "[[policy.allow]]\naction = \"aws.ecs.UpdateService\"\nscope = \"read-only\"";
        assert!(decide(config, "aws.ecs.UpdateService", ActionKind::Write).is_ok());
        for other in ["aws.ecs.UpdateServicePrimaryTaskSet", "aws.ecs.UpdateServic", ""] {
            assert!(decide(config, other, ActionKind::Write).is_err(), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_never_allowed() {
        let config = "[[policy.allow]]\naction = \"x.unknown\"\nscope = \"read-only\"";
        assert!(decide(config, "x.unknown", ActionKind::Unknown).is_err());
    }

    #[test]
    fn some_things_are_never_done_whatever_is_allowed() {
        let name = "aws.secretsmanager.GetSecretValue";
        let config = format!("[[policy.allow]]\naction = \"{name}\"\nscope = \"read-only\"");
        for kind in [ActionKind::Credential, ActionKind::Escape, ActionKind::Nameless] {
            let denial = decide(&config, name, kind).unwrap_err();
            assert!(denial.reason.contains("Nothing was done"), "{}", denial.reason);
        }
    }
}
