//! Reading a tool's arguments.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::parse_error;

/// Arguments that a tool cannot take. The message names what is wrong, and repeats no value.
#[derive(Debug)]
pub struct InvalidArguments(String);

impl fmt::Display for InvalidArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidArguments {}

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

pub(super) fn read<T: DeserializeOwned>(
    arguments: &Map<String, Value>,
) -> Result<T, InvalidArguments> {
    // From where they lie, so that no copy of a secret among them is left behind.
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let message = parse_error::without_values(error.inner());
        let hint = parse_error::did_you_mean_field(&message);
        let message = message
            .replace("unknown field", "unknown argument")
            .replace("missing field", "missing argument");
        match error.path().to_string().as_str() {
            "." | "" => InvalidArguments(format!("{message}{hint}")),
            _ if !hint.is_empty() || message.starts_with("unknown argument") => {
                InvalidArguments(format!("{message}{hint}"))
            }
            path => InvalidArguments(format!("argument `{path}`: {message}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its errors are looked at")]
    struct Arguments {
        cluster: String,
        lines: Option<u16>,
    }

    fn complaint(arguments: &Value) -> String {
        read::<Arguments>(arguments.as_object().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_told_by_the_argument_and_without_its_value() {
        assert_eq!(complaint(&json!({})), "missing argument `cluster`");
        assert_eq!(
            complaint(&json!({"cluster": "c", "lines": "hunter2"})),
            "argument `lines`: invalid type: string, expected u16"
        );
        assert_eq!(
            complaint(&json!({"clutser": "c"})),
            "unknown argument `clutser`, expected `cluster` or `lines`; did you mean `cluster`?"
        );
    }
}
