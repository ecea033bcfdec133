//! What a parser says about bad input, without the input: a value that does not fit may be a
//! secret that was put in the wrong place.

use std::fmt::Display;

/// The message of a serde error with every quoted value taken out. Field names stay.
pub fn without_values(error: &impl Display) -> String {
    let message = error.to_string();
    let mut plain = String::with_capacity(message.len());
    let mut rest = message.as_str();
    // serde words a value as: string "…", integer `…`, character `…`, floating point `…`
    while let Some((before, value)) = rest.split_once(['"']) {
        plain.push_str(before.trim_end());
        rest = closing_quote(value);
    }
    plain.push_str(rest);
    for kind in ["integer", "floating point", "boolean", "character", "unknown variant"] {
        plain = drop_backticked(&plain, kind);
    }
    plain
}

/// What follows the string that starts at `text`, which the `Debug` form ends with a bare quote.
fn closing_quote(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

fn drop_backticked(text: &str, kind: &str) -> String {
    let opening = format!("{kind} `");
    match text.split_once(&opening) {
        Some((before, rest)) => match rest.split_once('`') {
            Some((_, after)) => format!("{before}{kind}{after}"),
            None => format!("{before}{kind}"),
        },
        None => text.to_owned(),
    }
}

/// The name nearest to `wrong`, if one is near enough to have been meant.
pub fn meant<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(wrong, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// Words to add to a message about a name that is not known; none if nothing is near.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    meant(wrong, names).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// The same for the name in a message of serde's.
pub fn did_you_mean_field(message: &str) -> String {
    unknown_field(message).map(|(wrong, known)| did_you_mean(wrong, known)).unwrap_or_default()
}

/// The unknown name in serde's "unknown field `a`, expected one of `b`, `c`", and the known ones.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.split_once("unknown field `")?.1;
    let (wrong, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((wrong, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its errors are looked at")]
    struct Arguments {
        cluster: String,
        lines: u8,
        list: Vec<String>,
    }

    fn complaint(text: &str) -> String {
        without_values(&serde_json::from_str::<Arguments>(text).unwrap_err())
    }

    #[test]
    fn values_are_left_out_and_names_stay() {
        let said = complaint(r#"{"cluster":"c","lines":"hunter2 \" and more","list":[]}"#);
        assert!(!said.contains("hunter2") && !said.contains("more"), "{said}");
        assert!(said.starts_with("invalid type: string, expected u8"), "{said}");
        let said = complaint(r#"{"cluster":123456789,"lines":1,"list":[]}"#);
        assert!(!said.contains("1234"), "{said}");
        let said = complaint(r#"{"cluster":"c","lines":1,"list":"hunter2"}"#);
        assert!(!said.contains("hunter2"), "{said}");
        let said = complaint(r#"{"clutser":"c"}"#);
        assert!(said.contains("`clutser`") && said.contains("`cluster`"), "{said}");
    }

    #[test]
    fn a_near_miss_is_recognised() {
        let said = complaint(r#"{"clutser":"c"}"#);
        let (wrong, known) = unknown_field(&said).unwrap();
        assert_eq!(known, ["cluster", "lines", "list"]);
        assert_eq!(did_you_mean_field(&said), "; did you mean `cluster`?");
        assert_eq!(meant(wrong, known), Some("cluster"));
        assert_eq!(did_you_mean("zzz", ["cluster"]), "");
    }
}
