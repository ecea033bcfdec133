//! How this process reaches AWS: one SDK configuration for the broker and the native tools, and
//! one reading of what went wrong.

use std::{fmt, time::Duration};

use aws_config::{
    BehaviorVersion, Region as SdkRegion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_credential_types::Credentials;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::OnceCell;

use crate::lease::{AwsKeys, Lease, Region};

/// The SDK configuration, read when it is first needed: `AWS_ENDPOINT_URL`,
/// `AWS_ENDPOINT_URL_<SERVICE>`, proxies and retries as for any AWS SDK, but no credentials.
#[derive(Debug, Default)]
pub struct Aws {
    shared: OnceCell<SdkConfig>,
}

impl Aws {
    /// The configuration for a region, with the given credentials and no others.
    pub async fn config(&self, region: &Region, credentials: Credentials) -> SdkConfig {
        let shared = self.shared.get_or_init(load).await;
        shared
            .to_builder()
            .region(SdkRegion::new(region.as_str().to_owned()))
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
                credentials,
            ))
            .build()
    }

    /// The configuration to work with a lease.
    pub async fn config_of(&self, lease: &Lease) -> SdkConfig {
        self.config(&lease.request().region, sdk_credentials(lease.keys())).await
    }
}

async fn load() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(15))
        .operation_timeout(Duration::from_secs(30))
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        // A fixed one, or the SDK would ask the metadata service, which takes seconds off EC2.
        .region(SdkRegion::new(Region::default().as_str().to_owned()))
        .no_credentials()
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .load()
        .await
}

/// Keys as the SDK takes them. The SDK wipes its copy.
pub fn sdk_credentials(keys: &AwsKeys) -> Credentials {
    #[expect(clippy::disallowed_methods, reason = "the SDK signs with it")]
    Credentials::new(
        keys.access_key_id.clone(),
        keys.secret_access_key.expose_secret(),
        keys.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
        None,
        "subrosa",
    )
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection, or no answer in time.
    Unreachable,
    /// The credentials have expired.
    Expired,
    /// AWS does not know the credentials, or the signature is wrong.
    Refused,
    /// The credentials may not do this.
    Denied,
    /// Too many requests.
    Throttled,
    /// The clocks differ too much.
    ClockSkew,
    /// AWS answered with some other error.
    Other,
}

/// A call to AWS that failed. Neither `Display` nor `Debug` has AWS's own words, which could hold
/// anything; [`Failure::words`] has them, for a reply that the redactor will see.
pub struct Failure {
    operation: &'static str,
    kind: FailureKind,
    code: Option<String>,
    words: Option<String>,
}

impl Failure {
    /// Reads an SDK error.
    pub fn new<E: ProvideErrorMetadata, R>(
        operation: &'static str,
        error: &SdkError<E, R>,
    ) -> Self {
        let (code, words) = (error.code(), error.message());
        let kind = match error {
            SdkError::DispatchFailure(_)
            | SdkError::TimeoutError(_)
            | SdkError::ResponseError(_)
            | SdkError::ConstructionFailure(_) => FailureKind::Unreachable,
            _ => kind_of(code.unwrap_or_default(), words.unwrap_or_default()),
        };
        Self {
            operation,
            kind,
            code: code.filter(|code| is_code(code)).map(str::to_owned),
            words: words.map(str::to_owned),
        }
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// AWS's error code, as in `ClusterNotFoundException`.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What to tell a model: our sentence, and AWS's own words. For redaction, never for a log.
    pub fn words(&self) -> String {
        match &self.words {
            Some(words) => format!("{self}. AWS says: {words}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation;
        let code = self.code.as_deref().unwrap_or("no error code");
        match self.kind {
            FailureKind::Unreachable => write!(
                f,
                "AWS could not be reached for {operation}: check the network and proxy, and \
                 AWS_ENDPOINT_URL if it is set"
            ),
            FailureKind::Expired => write!(
                f,
                "the credentials have expired ({code} at {operation}): set new ones, or log in \
                 again where the server's own credentials come from"
            ),
            FailureKind::Refused => write!(
                f,
                "AWS does not accept the credentials ({code} at {operation}): check that the key \
                 exists and is active, and that key and secret belong together"
            ),
            FailureKind::Denied => write!(
                f,
                "AWS denied {operation} ({code}): neither more than the role allows nor more than \
                 the lease's scope allows is possible"
            ),
            FailureKind::Throttled => {
                write!(f, "AWS throttled {operation} ({code}): wait a moment and try again")
            }
            FailureKind::ClockSkew => write!(
                f,
                "AWS rejected {operation} ({code}) because this machine's clock is off: set it right"
            ),
            FailureKind::Other => write!(f, "{operation} failed at AWS ({code})"),
        }
    }
}

impl std::error::Error for Failure {}

/// The codes are those of "Common Errors" in the AWS API references.
fn kind_of(code: &str, words: &str) -> FailureKind {
    match code {
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => FailureKind::Expired,
        "RequestExpired" | "RequestTimeTooSkewed" => FailureKind::ClockSkew,
        "SignatureDoesNotMatch" | "InvalidSignatureException"
            if words.contains("expired") || words.contains("not yet current") =>
        {
            FailureKind::ClockSkew
        }
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "AuthFailure" => FailureKind::Refused,
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "NotAuthorized" => {
            FailureKind::Denied
        }
        "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "SlowDown" => FailureKind::Throttled,
        _ => FailureKind::Other,
    }
}

/// A code is a word; what is not is somebody's text in the wrong place.
fn is_code(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        assert_eq!(kind_of("ExpiredTokenException", ""), FailureKind::Expired);
        assert_eq!(kind_of("InvalidClientTokenId", ""), FailureKind::Refused);
        assert_eq!(
            kind_of("SignatureDoesNotMatch", "Signature expired: 2026 is now earlier"),
            FailureKind::ClockSkew
        );
        assert_eq!(kind_of("ClusterNotFoundException", ""), FailureKind::Other);
    }
}
