//! Leases from AWS STS.
//!
//! | base credential | lease |
//! |---|---|
//! | any, with a role | `AssumeRole` with the scope's session policy |
//! | long-lived key | `GetFederationToken` with the scope's session policy |
//! | temporary key | the key itself, within its life; AWS offers no way to limit it |

use std::time::{Duration, SystemTime};

use aws_config::{
    default_provider::credentials::DefaultCredentialsChain,
    meta::region::ProvideRegion as _,
    profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider},
    provider_config::ProviderConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError},
};
use aws_sdk_sts::Client;

use super::BrokerError;
use crate::{
    audit::AuditLog,
    aws::{Aws, Failure, FailureKind, sdk_credentials},
    call::ToolCall,
    clock,
    config::{Base, Config, ExternalId, Integration, environment},
    ids,
    lease::{AwsKeys, Identity, Lease, LeaseRequest, LeaseSource, Region, Scope},
    redact::Redactor,
    secret::Secret,
    session::Origin,
};

/// The region of the server's own environment: its variables, then its AWS profile. The metadata
/// service is not asked.
pub(super) async fn ambient_region() -> Region {
    let named = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| environment::text(name)?.parse().ok());
    match named {
        Some(region) => region,
        None => ProfileFileRegionProvider::builder()
            .build()
            .region()
            .await
            .and_then(|region| region.as_ref().parse().ok())
            .unwrap_or_default(),
    }
}

pub(super) struct Issuance<'a> {
    pub(super) config: &'a Config,
    pub(super) aws: &'a Aws,
    pub(super) audit: &'a AuditLog,
    pub(super) call: &'a ToolCall,
    pub(super) redactor: &'a Redactor,
}

/// Keys that STS gave, or that are used as they are.
struct Grant {
    keys: AwsKeys,
    expires_at: SystemTime,
    /// The ARN that STS gave with them; none for keys that it did not give.
    arn: Option<String>,
    scoped: bool,
}

impl Issuance<'_> {
    pub(super) async fn issue(&self, request: LeaseRequest) -> Result<Lease, BrokerError> {
        let Grant { keys, expires_at, arn, scoped } = self.grant(&request).await?;
        self.learn(&keys, Some(expires_at));
        // Keys that AWS has just made are told of before anything else can fail.
        let made = arn.and_then(Identity::from_arn);
        let identity = match &made {
            Some(identity) => identity.clone(),
            None => self.identity(&request.region, &keys).await?,
        };
        let id = ids::random("lease_");
        tracing::info!(
            lease = id, scope = %request.scope, source = %request.source, scoped, "lease issued"
        );
        let lease = Lease::new(id, request, keys, expires_at, identity, scoped);
        self.audit.issued(self.call, &lease)?;
        if made.is_some() {
            let identity = self.identity(&lease.request().region, lease.keys()).await?;
            return Ok(lease.identified(identity));
        }
        Ok(lease)
    }

    async fn grant(&self, request: &LeaseRequest) -> Result<Grant, BrokerError> {
        let scope = self.config.scopes.get(&request.scope);
        let region = &request.region;
        match &request.source {
            LeaseSource::Integration(name) => {
                let integration = self
                    .config
                    .integrations
                    .get(name)
                    .ok_or_else(|| BrokerError::UnknownIntegration(name.clone()))?;
                let scope = scope.filter(|_| integration.scopes.contains(&request.scope));
                let scope = scope.ok_or_else(|| BrokerError::ScopeExceedsLimits {
                    scope: request.scope.clone(),
                    integration: name.clone(),
                })?;
                let base = base(&integration.base, region).await?;
                let base = base.ok_or_else(|| base_unavailable(&request.source))?;
                self.learn(&keys_of(&base), base.expiry());
                match &integration.role_arn {
                    Some(role) => self.assume(integration, role, scope, region, base).await,
                    None => self.limit(base, None, scope, region).await,
                }
            }
            LeaseSource::Literal(generation) => {
                let scope = scope.ok_or(BrokerError::NotSet)?;
                // The set may have changed since the request was made.
                let set =
                    self.call.session.credentials().filter(|set| set.generation == *generation);
                let Some(Origin::Literal(literal)) = set.map(|set| set.origin) else {
                    return Err(BrokerError::NotSet);
                };
                let base = sdk_credentials(&literal.keys);
                self.limit(base, literal.expires_at, scope, region).await
            }
            LeaseSource::Environment => {
                let scope = scope.ok_or(BrokerError::NotSet)?;
                let base = base(&Base::Environment, region).await?.ok_or(BrokerError::NoneFound)?;
                self.learn(&keys_of(&base), base.expiry());
                self.limit(base, None, scope, region).await
            }
        }
    }

    /// Lets the redactor know what must not come back.
    fn learn(&self, keys: &AwsKeys, until: Option<SystemTime>) {
        self.redactor.learn_until("aws secret access key", &keys.secret_access_key, until);
        if let Some(token) = &keys.session_token {
            self.redactor.learn_until("aws session token", token, until);
        }
    }

    async fn sts(&self, region: &Region, credentials: Credentials) -> Client {
        Client::new(&self.aws.config(region, credentials).await)
    }

    async fn assume(
        &self,
        integration: &Integration,
        role: &str,
        scope: &Scope,
        region: &Region,
        base: Credentials,
    ) -> Result<Grant, BrokerError> {
        let external_id = match &integration.external_id {
            None => None,
            Some(ExternalId::Literal(id)) => Some(id.clone()),
            Some(ExternalId::Reference(reference)) =>
            {
                #[expect(clippy::disallowed_methods, reason = "STS compares it")]
                Some(environment::secret(reference)?.expose_secret().to_owned())
            }
        };
        let answer = self
            .sts(region, base)
            .await
            .assume_role()
            .role_arn(role)
            .role_session_name(self.session_name(64))
            .set_external_id(external_id)
            .policy(scope.session_policy())
            .duration_seconds(seconds(self.config.lease_duration))
            .send()
            .await
            .map_err(|error| BrokerError::Aws(Failure::new("sts:AssumeRole", &error)))?;
        let arn = answer.assumed_role_user.map(|user| user.arn);
        granted(answer.credentials, arn, "sts:AssumeRole")
    }

    /// Limits credentials without a role.
    async fn limit(
        &self,
        base: Credentials,
        expires_at: Option<SystemTime>,
        scope: &Scope,
        region: &Region,
    ) -> Result<Grant, BrokerError> {
        if base.session_token().is_some() {
            let longest = clock::now() + self.config.lease_duration;
            let expires_at = expires_at.or(base.expiry()).unwrap_or(longest).min(longest);
            return Ok(Grant { keys: keys_of(&base), expires_at, arn: None, scoped: false });
        }
        let answer = self
            .sts(region, base)
            .await
            .get_federation_token()
            .name(self.session_name(32))
            .policy(scope.session_policy())
            .duration_seconds(seconds(self.config.lease_duration))
            .send()
            .await
            .map_err(|error| match Failure::new("sts:GetFederationToken", &error) {
                failure if failure.kind() == FailureKind::Denied => BrokerError::FederationDenied,
                failure => BrokerError::Aws(failure),
            })?;
        let arn = answer.federated_user.map(|user| user.arn);
        granted(answer.credentials, arn, "sts:GetFederationToken")
    }

    /// Asks AWS once who a new lease is; this also shows that the lease works.
    async fn identity(&self, region: &Region, keys: &AwsKeys) -> Result<Identity, BrokerError> {
        let answer = self
            .sts(region, sdk_credentials(keys))
            .await
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| BrokerError::Aws(Failure::new("sts:GetCallerIdentity", &error)))?;
        match (answer.account, answer.arn) {
            (Some(account), Some(arn)) => Ok(Identity { account, arn }),
            _ => Err(BrokerError::Incomplete("sts:GetCallerIdentity")),
        }
    }

    /// `agent-<principal>-<session>`, of the characters `[\w+=,.@-]` (STS API reference).
    fn session_name(&self, longest: usize) -> String {
        let session = self.call.session.id().to_string();
        let session: String = session.trim_start_matches("ses_").chars().take(8).collect();
        let principal: String = self
            .call
            .session
            .principal()
            .name()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "+=,.@_-".contains(c) { c } else { '-' })
            .take(longest - "agent--".len() - session.len())
            .collect();
        format!("agent-{principal}-{session}")
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// Reads a base credential; `None` where there is none.
async fn base(base: &Base, region: &Region) -> Result<Option<Credentials>, BrokerError> {
    let sdk_region = aws_config::Region::new(region.as_str().to_owned());
    let found = match base {
        Base::Environment => {
            let chain = DefaultCredentialsChain::builder().region(sdk_region).build().await;
            chain.provide_credentials().await
        }
        Base::Profile(name) => {
            let configured = ProviderConfig::default().with_region(Some(sdk_region));
            ProfileFileCredentialsProvider::builder()
                .configure(&configured)
                .profile_name(name)
                .build()
                .provide_credentials()
                .await
        }
        Base::Keys { access_key_id, secret_access_key, session_token } => {
            let keys = AwsKeys {
                #[expect(clippy::disallowed_methods, reason = "a key id is no secret")]
                access_key_id: environment::secret(access_key_id)?.expose_secret().to_owned(),
                secret_access_key: environment::secret(secret_access_key)?,
                session_token: session_token.as_ref().map(environment::secret).transpose()?,
            };
            return Ok(Some(sdk_credentials(&keys)));
        }
    };
    let profile = match base {
        Base::Profile(name) => Some(name.clone()),
        _ => environment::text("AWS_PROFILE"),
    };
    match found {
        Ok(credentials) => Ok(Some(credentials)),
        Err(CredentialsError::CredentialsNotLoaded(_)) if profile.is_none() => Ok(None),
        // The last of the chain: reached only where nothing before it was configured.
        Err(error) if *base == Base::Environment && is_of_metadata_service(&error) => Ok(None),
        Err(error) => Err(BrokerError::BaseUnavailable {
            source_name: match base {
                Base::Profile(name) => format!("profile `{name}`"),
                _ => String::from("the server's environment"),
            },
            // The SDK's own words stay out: they may quote a configuration file.
            hint: match (error, profile) {
                (CredentialsError::ProviderTimedOut(_), _) => {
                    "the provider did not answer in time; log in again, or check the network".into()
                }
                (
                    CredentialsError::InvalidConfiguration(_)
                    | CredentialsError::CredentialsNotLoaded(_),
                    Some(profile),
                ) => format!(
                    "profile `{profile}` is not in the AWS configuration files, or they are not \
                     valid; check with `aws configure list --profile {profile}`"
                ),
                (CredentialsError::InvalidConfiguration(_), None) => {
                    "the AWS configuration files are not valid; check them with `aws configure list`"
                        .into()
                }
                _ => "the provider failed; log in again (`aws sso login`, `aws login`)".into(),
            },
        }),
    }
}

/// Whether the EC2 metadata service (IMDS) gave nothing; the SDK tells that in words only.
fn is_of_metadata_service(error: &CredentialsError) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if error.to_string().contains("IMDS") {
            return true;
        }
        next = error.source();
    }
    false
}

fn base_unavailable(source: &LeaseSource) -> BrokerError {
    BrokerError::BaseUnavailable {
        source_name: source.to_string(),
        hint: "nothing is configured there; log in on the server's machine (`aws configure`, \
               `aws sso login`), or set `base` in subrosa.toml"
            .into(),
    }
}

fn keys_of(credentials: &Credentials) -> AwsKeys {
    AwsKeys {
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: Secret::new(credentials.secret_access_key().to_owned()),
        session_token: credentials.session_token().map(|token| Secret::new(token.to_owned())),
    }
}

fn granted(
    credentials: Option<aws_sdk_sts::types::Credentials>,
    arn: Option<String>,
    operation: &'static str,
) -> Result<Grant, BrokerError> {
    let given = credentials.ok_or(BrokerError::Incomplete(operation))?;
    let expires_at =
        SystemTime::try_from(given.expiration).map_err(|_| BrokerError::Incomplete(operation))?;
    Ok(Grant {
        keys: AwsKeys {
            access_key_id: given.access_key_id,
            secret_access_key: Secret::new(given.secret_access_key),
            session_token: Some(Secret::new(given.session_token)),
        },
        expires_at,
        arn,
        scoped: true,
    })
}
