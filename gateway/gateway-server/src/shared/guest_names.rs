//! Reads the names that filters give to metrics. Pure.
//!
//! The ABI has no labels. Telemetry filters put them into the name, as Istio's extensions for Envoy do:
//! `label=.=value;.;label=.=value;.;name`.

/// Behind each label.
const FIELD_END: &str = ";.;";
/// Between a label's name and its value.
const VALUE_START: &str = "=.=";

/// A metric's name as Prometheus has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GuestName {
    /// The name, legal.
    pub(crate) name: String,
    /// Names, legal and no two alike, and values.
    pub(crate) labels: Vec<(String, String)>,
}

impl GuestName {
    /// A name that is not of the form above is a name without labels, whatever is in it.
    pub(crate) fn parse(given: &[u8]) -> Self {
        let text = String::from_utf8_lossy(given);
        let mut fields: Vec<&str> = text.split(FIELD_END).collect();
        let name = fields.pop().unwrap_or_default();
        let pairs: Option<Vec<(&str, &str)>> =
            fields.iter().map(|field| field.split_once(VALUE_START)).collect();
        let Some(pairs) = pairs.filter(|pairs| !pairs.is_empty() && !name.is_empty()) else {
            return Self { name: legal_name(given), labels: Vec::new() };
        };
        let mut labels: Vec<(String, String)> = Vec::with_capacity(pairs.len());
        for (label, value) in pairs {
            let label = legal_label(label);
            if labels.iter().all(|(known, _)| *known != label) {
                labels.push((label, value.to_owned()));
            }
        }
        Self { name: legal_name(name.as_bytes()), labels }
    }
}

/// Prometheus allows `[a-zA-Z_:][a-zA-Z0-9_:]*`.
fn legal_name(name: &[u8]) -> String {
    let legal = |byte: u8| if byte.is_ascii_alphanumeric() || byte == b':' { char::from(byte) } else { '_' };
    let mut out = String::with_capacity(name.len() + 1);
    if name.first().is_some_and(u8::is_ascii_digit) {
        out.push('_');
    }
    out.extend(name.iter().map(|byte| legal(*byte)));
    out
}

/// Without colons, and not the one that a histogram's buckets have.
fn legal_label(label: &str) -> String {
    let legal = legal_name(label.as_bytes()).replace(':', "_");
    if legal == "le" || legal.is_empty() { format!("{legal}_") } else { legal }
}

#[cfg(test)]
mod tests {
    use super::GuestName;

    #[test]
    fn labels_are_taken_out_of_names_of_that_form_alone() {
        type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
        let cases: [Case; 9] = [
            ("plain", "plain", &[]),
            ("a=.=b;.;requests", "requests", &[("a", "b")]),
            ("a=.=b;.;c=.=;.;requests_total", "requests_total", &[("a", "b"), ("c", "")]),
            ("a=.=b=.=c;.;requests", "requests", &[("a", "b=.=c")]),
            ("a=.=1;.;a=.=2;.;requests", "requests", &[("a", "1")]),
            ("le=.=1;.;9=.=2;.;a:b-c=.=3;.;r", "r", &[("le_", "1"), ("_9", "2"), ("a_b_c", "3")]),
            ("a;.;requests", "a___requests", &[]),
            ("a=.=b;.;", "a___b___", &[]),
            ("a=.=b", "a___b", &[]),
        ];
        for (given, name, labels) in cases {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let expected = GuestName { name: name.to_owned(), labels: labels.collect() };
            assert_eq!(GuestName::parse(given.as_bytes()), expected, "{given}");
        }
        let not_text = GuestName::parse(b"a=.=\xff;.;requests");
        assert_eq!(not_text.labels, [("a".to_owned(), "\u{fffd}".to_owned())]);
    }
}
