//! Whole replies through the redactor.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn redactor(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    for secret in secrets {
        assert!(redactor.learn("aws secret access key", &Secret::new((*secret).to_owned())));
    }
    redactor
}

fn reply(redactor: &Redactor, value: &Value) -> String {
    let raw = RawReply::from_server(value.to_string().into(), false, false);
    let clean = redactor.reply(raw).into_inner();
    let text = String::from_utf8(clean.json().to_vec()).unwrap();
    serde_json::from_str::<Value>(&text).unwrap();
    text
}

#[test]
fn a_clean_reply_goes_on_as_the_bytes_that_came() {
    let bytes = Bytes::from(r#"{"content":[{"type":"text","text":"3 clusters"}]}"#);
    let clean = redactor(&[KEY]).reply(RawReply::from_server(bytes.clone(), false, false));
    assert_eq!(clean.redactions(), 0);
    assert_eq!(clean.get().json().as_ptr(), bytes.as_ptr());
}

#[test]
fn json_in_json_in_json_is_seen_through() {
    let inner = json!({"SecretString": "{\"password\":\"hunter2\"}", "Name": "db"}).to_string();
    let middle = json!({"as_json": inner, "key": format!("x{KEY}y")}).to_string();
    let text = reply(&redactor(&[KEY]), &json!({"content": [{"text": middle}]}));
    assert!(!text.contains("hunter2") && !text.contains("wJalrXUtnFEMI"), "{text}");
    assert!(text.contains("db"), "{text}");
}

#[test]
fn a_secret_in_a_number_or_across_strings_withholds_the_reply() {
    let redactor = redactor(&["12345678901234567890"]);
    let raw = RawReply::from_server(r#"{"n":12345678901234567890}"#.into(), false, false);
    let clean = redactor.reply(raw).into_inner();
    assert!(clean.failed());
    assert!(String::from_utf8_lossy(clean.json()).contains("withheld"));
}

#[test]
fn a_secret_that_was_found_by_its_name_is_found_without_it() {
    let redactor = Redactor::default();
    let definition = json!({"environment": [{"name": "DB_PASSWORD", "value": "Xk29fLmQ71vB"}]});
    let again = json!({"content": [{"text": "login with Xk29fLmQ71vB failed"}]});
    assert!(reply(&redactor, &again).contains("Xk29"));
    reply(&redactor, &json!({"content": [{"text": definition.to_string()}]}));
    assert!(!reply(&redactor, &again).contains("Xk29"));

    let redactor = Redactor::default();
    redactor.learn_named("CLUSTER", "Xk29fLmQ71vB");
    assert!(reply(&redactor, &again).contains("Xk29"));
    redactor.learn_named("API_TOKEN", "Xk29fLmQ71vB");
    assert!(!reply(&redactor, &again).contains("Xk29"));
}

#[test]
fn forms_and_names_are_found_in_replies() {
    let redactor = Redactor::default();
    let token = format!("ghp_{}", "a1".repeat(18));
    let text = reply(&redactor, &json!({"content": [{"text": token}], "password": "hunter2"}));
    assert!(!text.contains(&token) && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_secret_that_has_ended_is_looked_for_a_while() {
    let until = |hours: u64| crate::clock::now() - std::time::Duration::from_hours(hours);
    for (hours, found) in [(0, true), (2, false)] {
        let redactor = Redactor::default();
        let secret = Secret::new("correct horse battery".into());
        redactor.learn_until("key", &secret, Some(until(hours)));
        // What has ended goes with the next one that comes.
        redactor.learn("key", &Secret::new(KEY.into()));
        let shown = redactor.text("a correct horse battery b").into_inner();
        assert_eq!(!shown.contains("horse"), found, "{hours}");
    }
}

#[test]
fn only_so_many_are_learned_by_their_names() {
    let redactor = Redactor::default();
    for number in 0..1000 {
        redactor.learn_named("password", &format!("Xk29fLmQ71vB-{number}"));
    }
    assert_eq!(redactor.exact.read().unwrap().count(keys::LABEL), NAMED);
}

#[test]
fn a_string_that_ends_in_the_middle_of_a_value_ends_it() {
    for text in [
        "token=",
        "x token=token=",
        "password='abc",
        "it's password='abc",
        "'token':",
        "{'token':",
        "'password': 'abc",
        "--password",
        "--password '",
        "{'name': 'password', 'value': 'abc",
        "password: ",
        "<password>",
        "password:'\n\"",
        "-----BEGIN PRIVATE KEY----- (!)\n\tResourceInitializationError: x",
        "-----BEGIN PRIVATE KEY----- (!)\n0123456789abcdef0123456789abcdef\n",
        "java: \"-----BEGIN PRIVATE KEY-----\\n\" +\n\"0123456789abcdef0123456789abcdef\\n\" +",
    ] {
        for value in [
            json!({"content": [{"text": text}, {"text": "it's 'fine'"}], "isError": false}),
            json!({"text": json!({"text": text, "more": "it's \"fine\""}).to_string()}),
        ] {
            let text = reply(&Redactor::default(), &value);
            assert!(!text.contains("withheld") && text.contains("fine"), "{text}");
            assert!(!text.contains("abc"), "{text}");
        }
    }
}

#[test]
fn a_number_that_is_a_secret_becomes_a_string() {
    let text = reply(&Redactor::default(), &json!({"content": [], "password": 20_240_817}));
    assert!(text.contains(r#""password":"[redacted: secret value]""#), "{text}");
}

#[test]
fn a_secret_that_json_escapes_is_found() {
    let secret = "pass\"word\\with\nlines é and more";
    let text = reply(&redactor(&[secret]), &json!({"content": [{"text": secret}]}));
    assert!(!text.contains("lines"), "{text}");
}

/// Each of these took a time that grew with the square of its length, or would with the next
/// careless loop: then this test takes minutes.
#[test]
fn hostile_text_takes_no_longer_than_other_text() {
    let redactor = redactor(&[KEY, &"wJal".repeat(500)]);
    for piece in [
        "token=",
        "token=arn:aws",
        "token=\"",
        "token='",
        "\"token\":",
        "\"name\":\"token\",",
        "{\"value\":\"x\",\"name\":\"token\"",
        "<token>",
        "--token ",
        "token ",
        "token: ",
        "token.",
        "[redacted token=[redacted",
        "-----BEGIN PRIVATE KEY-----",
        "a://b:",
        "eyJaaaaaaaaaa.",
        "\\\"",
        "\\",
        "\\\\\"token\\\\\":",
        "wJalrXUt",
        "X-Amz-Signature=",
        "\"name\":\"token\",\"a\":{",
        "\"value\":\"x\",\"name\":\"token\",",
        "\"token\":[\"a\",",
        "Name: token\n Value: ",
        "-----BEGIN PRIVATE KEY-----\",\"",
        "wJalwJalwJalwJal",
        &format!("{} ", "token=".repeat(682)),
        &format!("password={} ", "Aa1!".repeat(1024)),
        &format!("password={} ", "Aa1!bCd".repeat(30)),
    ] {
        let text = piece.repeat((512 << 10) / piece.len());
        redactor.text(&text);
        redactor.text(&json!({ "text": text }).to_string());
    }
}

fn nested(text: &str, depth: usize) -> Value {
    (0..depth).fold(json!(text), |inner, _| json!(json!({"x": inner}).to_string()))
}

fn by_number(text: &str) -> String {
    text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect()
}

proptest! {
    #[test]
    fn no_form_of_a_secret_survives(
        secret in "[A-Za-z0-9/+=\"\\\\é \n]{16,60}",
        before in "[a-z \"\\\\\n]{0,20}", after in "[a-z \"\\\\\n]{0,20}",
        depth in 0_usize..4,
    ) {
        prop_assume!(secret.trim().len() >= 16 && !"[redacted: aws secret access key]".contains(&secret));
        let text = format!("{before}{secret}{after}");
        let clean = reply(&redactor(&[&secret]), &json!({"a": nested(&text, depth), "b": 1}));
        prop_assert!(!undone(&clean).contains(&secret), "{clean}");
    }

    #[test]
    fn characters_by_number_hide_nothing(start in 0_usize..24) {
        let piece = &KEY[start..start + 16];
        let frame = format!("{{\"content\":[{{\"text\":\"a {} b\"}}]}}", by_number(piece));
        let raw = RawReply::from_server(frame.into(), false, false);
        let clean = redactor(&[KEY]).reply(raw).into_inner();
        let clean: Value = serde_json::from_slice(clean.json()).unwrap();
        prop_assert_eq!(&clean["content"][0]["text"], "a [redacted: aws secret access key] b");
    }

    #[test]
    fn whatever_comes_stays_json(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40),
        text in "\\PC{0,20}", deep in 0_usize..3,
    ) {
        let text = pieces.concat() + &text;
        let mut value = json!({"password": text, "name": "token", "x": [text], "token": [text], "value": text});
        for _ in 0..deep {
            value = json!({"text": value.to_string(), "name": text});
        }
        let clean = reply(&redactor(&[KEY]), &json!({"content": [{"text": text}, value], "isError": false}));
        prop_assert!(!clean.contains("withheld"), "{}", clean);
        let clean: Value = serde_json::from_str(&clean).unwrap();
        prop_assert_eq!(&clean["isError"], &json!(false));
        prop_assert_eq!(clean["content"].as_array().unwrap().len(), 2);
    }
}

/// What could lead a careless reader of a JSON text astray.
const PIECES: [&str; 40] = [
    "password",
    "token",
    "name",
    "value",
    "\"",
    "'",
    "\\n",
    "\\u0041",
    "\\u0022",
    "Bearer ",
    "\\\\",
    "': '",
    "\": \"",
    "\", \"",
    "--password",
    ":",
    "=",
    ",",
    " ",
    "\n",
    "{",
    "}",
    "[",
    "]",
    "\\",
    "\\\"",
    "<password>",
    "<",
    ">",
    "- ",
    "abc",
    "12345678",
    "é",
    "://a:b@",
    "\u{0}",
    ";",
    "&",
    "-----BEGIN PRIVATE KEY-----",
    "0123456789abcdef0123456789abcdef",
    KEY,
];

/// Every string of a reply with all its escapes undone.
fn undone(json: &str) -> String {
    fn walk(value: &Value, out: &mut String) {
        match value {
            Value::String(text) => {
                out.push_str(text);
                if let Ok(inner) = serde_json::from_str::<Value>(text) {
                    walk(&inner, out);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, out)),
            Value::Object(members) => members.values().for_each(|member| walk(member, out)),
            _ => {}
        }
        out.push('\u{0}');
    }
    let mut out = String::new();
    walk(&serde_json::from_str(json).unwrap(), &mut out);
    out
}
