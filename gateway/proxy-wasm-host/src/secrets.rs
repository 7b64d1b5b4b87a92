//! Keeps the values of secrets out of what a guest says: log lines, panic messages, standard output.
//!
//! A guest that means to give a secret away can write it in some other form; one that prints its configuration, or an error
//! that repeats a value, cannot.

use std::borrow::Cow;

/// What stands in the place of a secret.
const HIDDEN: &[u8] = b"[secret]";
/// Shorter values are not looked for: they would be found everywhere, and hide what a line says.
const LEAST_BYTES: usize = 4;

/// The forms in which these values can be met: as they are, as JSON writes them, and each line by itself.
pub fn forms_of_secrets<'v>(values: impl IntoIterator<Item = &'v str>) -> Vec<Vec<u8>> {
    let of = |value: &'v str| {
        let lines = value.lines().map(|line| line.trim().to_owned());
        [value.to_owned(), escaped(value)].into_iter().chain(lines)
    };
    let mut forms: Vec<Vec<u8>> = values.into_iter().flat_map(of).map(String::into_bytes).collect();
    forms.retain(|form| form.len() >= LEAST_BYTES);
    // A longer one may contain a shorter one.
    forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    forms.dedup();
    forms
}

/// As `escape_debug` and JSON write quotes, backslashes and line breaks.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\t', "\\t")
}

/// The text without any of these.
pub(crate) fn without<'t>(forms: &[Vec<u8>], text: &'t [u8]) -> Cow<'t, [u8]> {
    let mut clean = Cow::Borrowed(text);
    for form in forms {
        if let Cow::Owned(replaced) = replaced(&clean, form) {
            clean = Cow::Owned(replaced);
        }
    }
    clean
}

fn replaced<'t>(text: &'t [u8], form: &[u8]) -> Cow<'t, [u8]> {
    let place = |text: &[u8]| text.windows(form.len()).position(|part| part == form);
    let Some(mut at) = place(text) else { return Cow::Borrowed(text) };
    let (mut clean, mut rest) = (Vec::with_capacity(text.len()), text);
    loop {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(HIDDEN);
        rest = &rest[at + form.len()..];
        match place(rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    clean.extend_from_slice(rest);
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(values: &[&str], text: &str) -> String {
        let forms = forms_of_secrets(values.iter().copied());
        String::from_utf8(without(&forms, text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn values_are_hidden_in_every_form() {
        assert_eq!(clean(&["hunter2"], "hunter2, hunter22hunter2"), "[secret], [secret]2[secret]");
        assert_eq!(clean(&[r#"a"b\c"#], r#"{"key":"a\"b\\c"} a"b\c"#), r#"{"key":"[secret]"} [secret]"#);
        let pem = "-----BEGIN-----\nMIIEvQ\n-----END-----";
        assert_eq!(clean(&[pem], &format!("x {pem} y")), "x [secret] y");
        assert_eq!(clean(&[pem], "just MIIEvQ"), "just [secret]");
        assert_eq!(clean(&[pem], r"-----BEGIN-----\nMIIEvQ\n-----END-----"), "[secret]");
    }

    #[test]
    fn one_within_another_leaves_nothing_of_it() {
        assert_eq!(clean(&["hunter2", "hunter2-and-more"], "hunter2-and-more"), "[secret]");
    }

    #[test]
    fn other_text_is_not_even_copied() {
        let forms = forms_of_secrets(["hunter2", "abc"]);
        assert!(
            matches!(without(&forms, b"abc hunter"), Cow::Borrowed(b"abc hunter")),
            "too short to be looked for"
        );
        assert!(matches!(without(&[], b"hunter2"), Cow::Borrowed(_)));
        assert_eq!(without(&forms, b""), Cow::Borrowed(b"".as_slice()));
    }
}
