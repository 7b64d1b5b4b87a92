//! From the marked tree to the types of [`crate::schema`], collecting every error on the way.
//!
//! Why not serde: a `Deserialize` run ends at its first error. Here a field is [`Field::Absent`], [`Field::Bad`] (already
//! reported) or [`Field::Given`], so a section with a bad field is still a section, its other fields are still read, and
//! later checks can tell "was not written" from "was written wrongly" and never report a mistake twice.
//!
//! [`section!`] declares a mapping once; its fields, its reader and its JSON Schema come from that one declaration, so
//! that no field can be accepted but undocumented, and an unknown field is an error everywhere.

use std::borrow::Cow;

use serde_json::{Map as JsonMap, Value, json};

use crate::diagnostic::{Mark, Report, closest, quoted, suggestion};
use crate::yaml::{Content, Node};

/// A field of a section, after reading.
#[derive(Debug)]
pub(crate) enum Field<T> {
    Absent,
    /// Written, but wrong, and reported.
    Bad,
    Given(Marked<T>),
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Marked<T> {
    pub(crate) mark: Mark,
    pub(crate) value: T,
}

/// What can be read from a node. `None` means: wrong, and reported.
pub(crate) trait Shape: Sized {
    fn read(node: &Node, reader: &mut Reader<'_, '_>) -> Option<Self>;
    fn schema() -> Value;
}

/// What can be read from a single word or text.
pub(crate) trait Scalar: Sized {
    /// What the field takes, as in "expects ...".
    fn expects() -> String;
    fn parse(text: &str) -> Result<Self, Problem>;
    fn schema() -> Value;
}

/// Why a scalar is not what its field takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It is not what the field expects at all.
    Mismatch { help: Option<String> },
    /// It nearly is; the reason continues a sentence that begins with the field.
    Because { reason: String, help: Option<String> },
}

/// One or many, in the order written. Items that are wrong stay as [`Field::Bad`], so that positions hold.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<Field<T>>);

/// A list that may be written without brackets when it has one item.
#[derive(Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<Field<T>>);

/// Names of the user's choice and what they stand for, in the order written.
#[derive(Debug)]
pub(crate) struct Named<K, T>(pub(crate) Vec<(Marked<K>, Field<T>)>);

/// A single word, or a section that says more.
#[derive(Debug)]
pub(crate) enum ShortOr<S, L> {
    Short(S),
    Long(L),
}

/// A section, or `off`.
#[derive(Debug)]
pub(crate) enum Switchable<T> {
    Off,
    On(T),
}

/// What is large and rarely written, kept apart: there may be thousands of the section that may hold it.
#[derive(Debug)]
pub(crate) struct Rare<T>(pub(crate) Box<T>);

/// Any YAML, as JSON.
#[derive(Debug)]
pub(crate) struct AnyValue(pub(crate) Value);

impl<T> Field<T> {
    pub(crate) fn given(self) -> Option<Marked<T>> {
        match self {
            Self::Given(marked) => Some(marked),
            Self::Absent | Self::Bad => None,
        }
    }

    /// The value, or a stand-in for one that is absent or reported as wrong.
    pub(crate) fn or(self, default: T) -> T {
        self.given().map_or(default, |marked| marked.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Marked<T>> {
        match self {
            Self::Given(marked) => Some(marked),
            Self::Absent | Self::Bad => None,
        }
        .into_iter()
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad)
    }
}

impl<T> Field<Rare<T>> {
    pub(crate) fn unboxed(self) -> Field<T> {
        match self {
            Self::Absent => Field::Absent,
            Self::Bad => Field::Bad,
            Self::Given(Marked { mark, value }) => Field::Given(Marked { mark, value: *value.0 }),
        }
    }
}

/// Where reading stands: the report, and the path to the node in hand.
pub(crate) struct Reader<'r, 'text> {
    report: &'r mut Report<'text>,
    path: Vec<Step>,
}

enum Step {
    Key(Cow<'static, str>),
    Index(usize),
}

/// A mapping with known fields, while it is read.
pub(crate) struct SectionReader<'n> {
    entries: &'n [(crate::yaml::Key, std::rc::Rc<Node>)],
    mark: Mark,
    /// Known fields that an unknown one probably stands for: their absence is already explained.
    misspelt: Vec<&'static str>,
}

impl<'r, 'text> Reader<'r, 'text> {
    pub(crate) fn new(report: &'r mut Report<'text>) -> Self {
        Self { report, path: Vec::new() }
    }

    /// Opens a section: its unknown fields are reported here.
    pub(crate) fn section<'n>(
        &mut self,
        node: &'n Node,
        known: &'static [&'static str],
    ) -> Option<SectionReader<'n>> {
        let Content::Mapping(entries) = &node.content else {
            self.mismatch(node, "a mapping", suggestion("", known.iter().copied(), "its fields are"));
            return None;
        };
        let mut misspelt = Vec::new();
        for (key, _) in entries {
            let written = key.text.as_str();
            if known.contains(&written) {
                continue;
            }
            misspelt.extend(closest(written, known.iter().copied()));
            let help = match written {
                "<<" => Some("merge keys do not exist here; an alias for a whole value does".to_owned()),
                _ => suggestion(written, known.iter().copied(), "known fields"),
            };
            let place = self.here().map_or(" at the top level".to_owned(), |path| format!(" in {path}"));
            self.report.error(key.mark, format!("unknown field {}{place}", quoted(written)), help);
        }
        Some(SectionReader { entries, mark: node.mark, misspelt })
    }

    pub(crate) fn optional<T: Shape>(&mut self, section: &SectionReader<'_>, name: &'static str) -> Field<T> {
        match section.entries.iter().find(|(key, _)| key.text == name) {
            Some((key, node)) => self.below(Step::Key(name.into()), key.mark, node),
            None if section.misspelt.contains(&name) => Field::Bad,
            None => Field::Absent,
        }
    }

    pub(crate) fn required<T: Shape>(&mut self, section: &SectionReader<'_>, name: &'static str) -> Field<T> {
        match self.optional(section, name) {
            Field::Absent => {
                let place = self.here().map_or(String::new(), |path| format!(" in {path}"));
                self.report.error(section.mark, format!("missing field `{name}`{place}"), None);
                Field::Bad
            }
            field => field,
        }
    }

    fn below<T: Shape>(&mut self, step: Step, null_mark: Mark, node: &Node) -> Field<T> {
        self.path.push(step);
        let value = if node.is_null() {
            let message = format!("nothing is written for {}", self.subject());
            self.report.error(null_mark, message, Some("give a value, or remove the line".to_owned()));
            None
        } else {
            T::read(node, self)
        };
        self.path.pop();
        value.map_or(Field::Bad, |value| Field::Given(Marked { mark: node.mark, value }))
    }

    fn items<T: Shape>(&mut self, nodes: &[std::rc::Rc<Node>]) -> Vec<Field<T>> {
        nodes
            .iter()
            .enumerate()
            .map(|(index, node)| self.below(Step::Index(index), node.mark, node))
            .collect()
    }

    fn scalar<S: Scalar>(&mut self, text: &str, mark: Mark) -> Option<S> {
        let problem = match S::parse(text) {
            Ok(value) => return Some(value),
            Err(problem) => problem,
        };
        let (reason, help) = match problem {
            Problem::Mismatch { help } => (format!("expects {}, not {}", S::expects(), found(text)), help),
            Problem::Because { reason, help } => (reason, help),
        };
        let message = format!("{} {reason}", self.subject());
        self.report.error(mark, message, help);
        None
    }

    fn mismatch(&mut self, node: &Node, expected: &str, help: Option<String>) {
        let found = match &node.content {
            Content::Scalar { text, .. } => found(text),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        };
        let message = format!("{} expects {expected}, not {found}", self.subject());
        self.report.error(node.mark, message, help);
    }

    fn subject(&self) -> String {
        self.here().map_or("the file".to_owned(), |path| quoted(&path))
    }

    /// Path from the root, as `routes[0].match[1]`.
    fn here(&self) -> Option<String> {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.push_str(&format!(".{key}")),
            }
        }
        (!path.is_empty()).then_some(path)
    }
}

impl<S: Scalar> Shape for S {
    fn read(node: &Node, reader: &mut Reader<'_, '_>) -> Option<Self> {
        match &node.content {
            Content::Scalar { text, .. } => reader.scalar(text, node.mark),
            _ => {
                reader.mismatch(node, &S::expects(), None);
                None
            }
        }
    }

    fn schema() -> Value {
        S::schema()
    }
}

impl<T: Shape> Shape for Rare<T> {
    fn read(node: &Node, reader: &mut Reader<'_, '_>) -> Option<Self> {
        T::read(node, reader).map(|value| Self(Box::new(value)))
    }

    fn schema() -> Value {
        T::schema()
    }
}

impl<T: Shape> Shape for List<T> {
    fn read(node: &Node, reader: &mut Reader<'_, '_>) -> Option<Self> {
        match &node.content {
            Content::Sequence(items) => Some(Self(reader.items(items))),
            _ => {
                let help = "a list is written `[a, b]`, or one item per line after `- `".to_owned();
                reader.mismatch(node, "a list", Some(help));
                None
            }
        }
    }

    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }
}

impl<T: Shape> Shape for OneOrMany<T> {
    fn read(node: &Node, reader: &mut Reader<'_, '_>) -> Option<Self> {
        match &node.content {
            Content::Sequence(items) => Some(Self(reader.items(items))),
            _ => {
                T::read(node, reader).map(|value| Self(vec![Field::Given(Marked { mark: node.mark, value })]))
            }
        }
    }

    fn schema() -> Value {
        json!({"anyOf": [{"type": "array", "minItems": 1, "items": T::schema()}, T::schema()]})
    }
}

impl<K: Scalar, T: Shape> Shape for Named<K, T> {
    fn read(node: &Node, reader: &mut Reader<'_, '_>) -> Option<Self> {
        let Content::Mapping(entries) = &node.content else {
            reader.mismatch(node, "a mapping of names", None);
            return None;
        };
        let mut named = Vec::new();
        for (key, node) in entries {
            let name = reader.scalar(&key.text, key.mark);
            let value = reader.below(Step::Key(key.text.clone().into()), key.mark, node);
            named.extend(name.map(|name| (Marked { mark: key.mark, value: name }, value)));
        }
        Some(Self(named))
    }

    fn schema() -> Value {
        json!({"type": "object", "additionalProperties": T::schema()})
    }
}

impl<S: Scalar, L: Shape> Shape for ShortOr<S, L> {
    fn read(node: &Node, reader: &mut Reader<'_, '_>) -> Option<Self> {
        match &node.content {
            Content::Scalar { text, .. } => reader.scalar(text, node.mark).map(Self::Short),
            Content::Mapping(_) => L::read(node, reader).map(Self::Long),
            Content::Sequence(_) => {
                reader.mismatch(node, &format!("{} or a mapping", S::expects()), None);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({"anyOf": [S::schema(), L::schema()]})
    }
}

impl<T: Shape> Shape for Switchable<T> {
    fn read(node: &Node, reader: &mut Reader<'_, '_>) -> Option<Self> {
        match &node.content {
            Content::Scalar { text, .. } if text == "off" => Some(Self::Off),
            Content::Mapping(_) => T::read(node, reader).map(Self::On),
            _ => {
                reader.mismatch(node, "`off` or a mapping", None);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({"anyOf": [{"const": "off"}, T::schema()]})
    }
}

impl Shape for AnyValue {
    fn read(node: &Node, _: &mut Reader<'_, '_>) -> Option<Self> {
        Some(Self(as_json(node)))
    }

    fn schema() -> Value {
        json!({})
    }
}

fn found(text: &str) -> String {
    if text.is_empty() { "an empty text".to_owned() } else { quoted(text) }
}

/// Plain scalars by the YAML 1.2 core schema; a number that JSON cannot hold stays text.
pub(crate) fn as_json(node: &Node) -> Value {
    match &node.content {
        Content::Sequence(items) => items.iter().map(|item| as_json(item)).collect(),
        Content::Mapping(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), as_json(node))).collect())
        }
        Content::Scalar { .. } if node.is_null() => Value::Null,
        Content::Scalar { text, plain: true } => match text.as_str() {
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            text => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
        },
        Content::Scalar { text, plain: false } => Value::String(text.clone()),
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !digits.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Value::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Value::from);
    }
    let signed = text.parse::<i64>().map(Value::from);
    let unsigned = || text.parse::<u64>().map(Value::from);
    // `from_f64` refuses infinity, which is what too large a number parses to.
    signed
        .or_else(|_| unsigned())
        .ok()
        .or_else(|| text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number))
}

/// One field of a section, for the JSON Schema.
pub(crate) struct FieldSchema {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) docs: &'static [&'static str],
    pub(crate) schema: Value,
}

/// The JSON Schema of a section: nothing but its fields.
pub(crate) fn section_schema(docs: &[&str], fields: Vec<FieldSchema>) -> Value {
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut properties = JsonMap::new();
    for field in fields {
        let mut schema = field.schema;
        // What the field is for says more than what its type is.
        schema["description"] = Value::String(joined(field.docs));
        properties.insert(field.name.to_owned(), schema);
    }
    let mut schema = json!({
        "type": "object",
        "description": joined(docs),
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The JSON Schema of a whole file.
pub(crate) fn root_schema<T: Shape>(title: &str) -> Value {
    let mut schema = T::schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

fn joined(docs: &[&str]) -> String {
    docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Declares a mapping that users write: `required "key" field: Shape` or `optional "key" field: Shape`, documented.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $( $(#[doc = $field_doc:literal])+ $need:ident $key:literal $field:ident: $shape:ty, )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(crate) struct $name {
            $( $(#[doc = $field_doc])+ pub(crate) $field: $crate::read::Field<$shape>, )+
        }

        impl $crate::read::Shape for $name {
            fn read(node: &$crate::yaml::Node, reader: &mut $crate::read::Reader<'_, '_>) -> Option<Self> {
                let section = reader.section(node, &[$($key),+])?;
                Some(Self { $( $field: reader.$need(&section, $key), )+ })
            }

            fn schema() -> serde_json::Value {
                let fields = vec![$(
                    $crate::read::FieldSchema {
                        name: $key,
                        required: stringify!($need) == "required",
                        docs: &[$($field_doc),+],
                        schema: <$shape as $crate::read::Shape>::schema(),
                    },
                )+];
                $crate::read::section_schema(&[$($doc),+], fields)
            }
        }
    };
}
pub(crate) use section;

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
