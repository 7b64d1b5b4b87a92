use super::*;
use crate::yaml;

fn json_of(text: &str) -> Value {
    as_json(&yaml::parse(text).ok().and_then(|tree| tree.root).unwrap())
}

#[test]
fn any_yaml_becomes_json_by_the_core_schema() {
    for (text, expected) in [
        ("true", json!(true)),
        ("'true'", json!("true")),
        ("yes", json!("yes")),
        ("12", json!(12)),
        ("-3", json!(-3)),
        ("18446744073709551615", json!(u64::MAX)),
        ("0x1F", json!(31)),
        ("1.50", json!(1.5)),
        ("1e400", json!("1e400")),
        ("1.2.3", json!("1.2.3")),
        (".inf", json!(".inf")),
        ("infinity", json!("infinity")),
        ("-", json!([null])),
        ("{a: [1, b], c: ~}", json!({"a": [1, "b"], "c": null})),
    ] {
        assert_eq!(json_of(text), expected, "{text}");
    }
}

section! {
    /// A section for tests.
    Sample {
        /// Needed.
        required "name" name: crate::values::Name,
        /// Several.
        optional "items" items: List<crate::values::Whole<0, 9>>,
    }
}

fn read(text: &str) -> (Option<Sample>, Vec<String>) {
    let mut report = Report::new("f", text);
    let tree = yaml::parse(text).ok().and_then(|tree| tree.root).unwrap();
    let sample = Sample::read(&tree, &mut Reader::new(&mut report));
    let errors = report.finish::<()>(None).unwrap_err();
    (sample, errors.iter().map(|error| error.message.clone()).collect())
}

#[test]
fn a_bad_field_leaves_the_others_readable() {
    let (sample, errors) = read("{items: [1, x, 3, 10], name: ok}");
    let sample = sample.unwrap();
    assert_eq!(errors.len(), 2);
    let Field::Given(Marked { value: List(items), .. }) = sample.items else { panic!("the list is given") };
    assert_eq!(items.iter().map(Field::is_bad).collect::<Vec<_>>(), [false, true, false, true]);
    assert_eq!(sample.name.given().unwrap().value.0, "ok");
}

#[test]
fn a_misspelt_required_field_is_one_mistake() {
    let (_, errors) = read("{nmae: x}");
    assert_eq!(errors, ["unknown field `nmae` at the top level"]);
    let (_, errors) = read("{zzz: x}");
    assert_eq!(errors, ["missing field `name`", "unknown field `zzz` at the top level"]);
}
