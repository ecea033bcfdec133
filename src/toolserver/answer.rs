//! A child's answer to a call, read in one pass: what of it concerns us is looked at in passing, and
//! the result stays the bytes that came.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    call::RawReply,
    frame::{Envelope, slice_of},
};

/// What comes of a call.
pub(super) type Answer = Result<RawReply, CallError>;

/// Why a call has no reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// The child has ended, or closed its stdout.
    Ended,
    /// The reply had this many bytes.
    TooLong(usize),
    /// The reply is no result of a tool call.
    Malformed,
}

/// What a line of a child is.
#[derive(Debug)]
pub(super) enum Line {
    /// The answer to the call with this id.
    Answer(u64, Answer),
    /// Another message.
    Other,
    /// No message.
    Garbage,
}

impl Line {
    /// Reads a line. Calls have ids from `first_id`.
    pub(super) fn read(line: &Bytes, first_id: u64) -> Self {
        let ours = |id: Option<&RawValue>| {
            id.and_then(|id| id.get().parse().ok()).filter(|id| *id >= first_id)
        };
        if let Ok(message) = serde_json::from_slice::<Message<'_>>(line) {
            return match ours(message.id).filter(|_| message.method.is_none()) {
                Some(id) => Self::Answer(id, message.reply(line).ok_or(CallError::Malformed)),
                None => Self::Other,
            };
        }
        match Envelope::read(line) {
            Ok(message) => match ours(message.id).filter(|_| message.method.is_none()) {
                Some(id) => Self::Answer(id, Err(CallError::Malformed)),
                None => Self::Other,
            },
            Err(_) => Self::Garbage,
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<IgnoredAny>,
    #[serde(borrow)]
    result: Option<CallResult<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is only looked at whether they are there")]
struct RpcError<'a> {
    code: i64,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl Message<'_> {
    fn reply(self, line: &Bytes) -> Option<RawReply> {
        if let Some(error) = self.error {
            // JSON-RPC 2.0, section 5.1. What is none would break the client's own parser.
            serde_json::from_str::<RpcError<'_>>(error.get()).ok()?;
            return Some(RawReply::from_server_error(slice_of(line, error)));
        }
        let result = self.result?;
        // `input_required` cannot come: no capability was declared. `content` may be missing only
        // where there is structured content, and both of today's SDKs always send it.
        if !result.content || result.result_type.is_some_and(|kind| kind != "complete") {
            return None;
        }
        let bytes = line.slice(result.range(line)?);
        Some(RawReply::from_server(bytes, result.is_error, result.result_type.is_some()))
    }
}

/// The members of a `CallToolResult` that concern us, and where it begins and ends.
#[derive(Default)]
struct CallResult<'a> {
    content: bool,
    is_error: bool,
    result_type: Option<&'a str>,
    first_key: &'a str,
    last_value: &'a str,
}

impl CallResult<'_> {
    /// Where it stands in `line`, with its braces.
    fn range(&self, line: &[u8]) -> Option<std::ops::RangeInclusive<usize>> {
        let key = self.first_key.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
        let value = self.last_value.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
        let end = value + self.last_value.len();
        // Only white space, and the key's quote, stands in between (RFC 8259, section 4).
        let open = line.get(..key)?.iter().rposition(|b| *b == b'{')?;
        let close = end + line.get(end..)?.iter().position(|b| *b == b'}')?;
        Some(open..=close)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for CallResult<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = CallResult<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the result of a call")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut result = CallResult::default();
                let (mut seen_error, mut first) = (false, true);
                while let Some(key) = map.next_key::<&'de str>()? {
                    let value = map.next_value::<&'de RawValue>()?.get();
                    if std::mem::take(&mut first) {
                        result.first_key = key;
                    }
                    result.last_value = value;
                    let twice = match key {
                        "content" => std::mem::replace(&mut result.content, true),
                        "isError" => {
                            result.is_error =
                                serde_json::from_str(value).map_err(A::Error::custom)?;
                            std::mem::replace(&mut seen_error, true)
                        }
                        "resultType" => {
                            let kind = serde_json::from_str(value).map_err(A::Error::custom)?;
                            result.result_type.replace(kind).is_some()
                        }
                        _ => false,
                    };
                    if twice {
                        return Err(A::Error::custom("a member stands there twice"));
                    }
                }
                Ok(result)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::call::Reply;

    fn read(text: &str) -> Line {
        Line::read(&Bytes::copy_from_slice(text.as_bytes()), 100)
    }

    fn reply(text: &str) -> Option<Reply> {
        match read(text) {
            Line::Answer(_, reply) => reply.ok().map(RawReply::into_untrusted),
            _ => None,
        }
    }

    #[test]
    fn a_result_is_the_bytes_that_came() {
        let result = "{ \"content\" : [ ] ,\"_meta\":{\"}\":\"{\"}, \"isError\":true }";
        for text in [
            format!("{{\"id\":100,\"result\":{result}}}"),
            format!(" {{ \"result\" : {result} , \"jsonrpc\":\"2.0\", \"id\" : 100 }} "),
        ] {
            match reply(&text) {
                Some(Reply::Result { json, is_error: true, typed: false }) => {
                    assert_eq!(json, result);
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        let typed = r#"{"id":100,"result":{"resultType":"complete","content":[]}}"#;
        assert!(matches!(reply(typed), Some(Reply::Result { is_error: false, typed: true, .. })));
        let error = reply(r#"{"id":100,"error":{"code":1,"message":"m"}}"#);
        assert!(matches!(error, Some(Reply::Error(json)) if json == r#"{"code":1,"message":"m"}"#));
    }

    #[test]
    fn what_is_no_result_of_a_call_is_told_to_its_caller() {
        for text in [
            r#"{"id":100}"#,
            r#"{"id":100,"result":null}"#,
            r#"{"id":100,"result":"text"}"#,
            r#"{"id":100,"result":[]}"#,
            r#"{"id":100,"result":{}}"#,
            r#"{"id":100,"result":{"content":[],"content":[]}}"#,
            r#"{"id":100,"result":{"content":[],"isError":false,"isError":true}}"#,
            r#"{"id":100,"result":{"content":[],"resultType":"input_required"}}"#,
            r#"{"id":100,"result":{"content":[],"resultType":7}}"#,
            r#"{"id":100,"result":{"content":[],"isError":"false"}}"#,
            r#"{"id":100,"error":"boom"}"#,
            r#"{"id":100,"error":{"message":"no code"}}"#,
        ] {
            assert!(matches!(read(text), Line::Answer(100, Err(CallError::Malformed))), "{text}");
        }
        for text in [
            r#"{"id":99,"result":{}}"#,
            r#"{"id":"100","result":{}}"#,
            r#"{"id":100,"method":"ping"}"#,
            r#"{"method":"notifications/message","params":{}}"#,
        ] {
            assert!(matches!(read(text), Line::Other), "{text}");
        }
        for text in ["", "hello", "{\"id\":100", "[]", "{\"id\":100,\"id\":101}", "null"] {
            assert!(matches!(read(text), Line::Garbage), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_result_it_is_cut_out_whole(
            texts in prop::collection::vec("[\\PC{}\"\\\\]{0,12}", 1..5), pretty in any::<bool>(),
        ) {
            let mut result = json!({"content": texts});
            for text in &texts {
                result[format!("x{text}")] = json!({text: [text]});
            }
            let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let written = write(&result).unwrap();
            let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":100,\"result\":{written}}}");
            match reply(&line) {
                Some(Reply::Result { json, .. }) => prop_assert_eq!(json, written),
                // A key with an escape in it, which no SDK writes there.
                _ => {
                    let escaped = |key: &String| Value::from(&**key).to_string().contains('\\');
                    prop_assert!(result.as_object().unwrap().keys().any(escaped));
                }
            }
        }
    }
}
