//! The time of day: the one place that asks for it, and how it is written.

use std::time::{Duration, SystemTime};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "this is the lawful place")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// RFC 3339 in UTC, with as many fractions of a second as the time has.
pub fn rfc3339(at: SystemTime) -> String {
    OffsetDateTime::from(at)
        .format(&Rfc3339)
        .unwrap_or_else(|_| String::from("0000-01-01T00:00:00Z"))
}

/// RFC 3339 in UTC, in whole seconds: the form in which AWS SDKs read an `Expiration`.
pub fn rfc3339_seconds(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    rfc3339(at.replace_nanosecond(0).unwrap_or(at).into())
}

/// Reads RFC 3339; `None` when the text is something else.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

/// How long until `at`; zero when it has passed.
pub fn until(at: SystemTime) -> Duration {
    at.duration_since(now()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_250);
        assert_eq!(parse_rfc3339(&rfc3339(at)), Some(at));
        assert_eq!(rfc3339_seconds(at), "2026-11-18T11:06:40Z");
        assert_eq!(parse_rfc3339("tomorrow"), None);
    }
}
