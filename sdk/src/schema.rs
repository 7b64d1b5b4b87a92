//! What a module says about its filter: name, version, phases, and the JSON Schema of its configuration.
//!
//! Owns the shape of configurations ([`FilterConfig`], mostly derived) and its JSON form. That is written while the
//! filter is compiled, into the custom section [`SECTION`] of the module: it costs nothing when the filter runs, hosts
//! read it without running anything, and those that do not know it pass over it. Must never know a filter.

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;

/// The name of the custom section.
pub const SECTION: &str = "gateway.filter";
/// The version of its form.
const FORM: &str = "1";
/// The longest JSON form that is written when a filter runs natively.
#[cfg(not(target_arch = "wasm32"))]
const MAX_NATIVE_BYTES: usize = 64 << 10;

/// A configuration whose shape is known. Derive it beside `serde::Deserialize`; it reads serde's attributes.
///
/// Doc comments become descriptions. `#[config(...)]` on a field adds what types do not say, separated by commas:
/// `default = "x-user"` (what serde's default function answers), `default_json = "[1]"`, `minimum = 1`, `maximum = 9`,
/// `min_items = 1`, `max_items = 9`, `format = "..."` and `shape = TYPE`, the type whose shape it has in place of its own.
/// Formats that the gateway checks: `upstream` (one that is configured, and that the manifest lets the filter call),
/// `header-name`, `network` (an address, or one with a prefix length), `duration`.
pub trait FilterConfig {
    /// What it looks like.
    const SHAPE: &'static Shape;
    /// Whether it may be left out wherever it is a field.
    const OPTIONAL: bool = false;
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// True or false.
    Boolean,
    /// A whole number.
    Integer {
        /// The smallest.
        minimum: Option<i64>,
        /// The largest; `None` where it does not matter to people.
        maximum: Option<i64>,
    },
    /// A number.
    Number,
    /// Text, and what kind of.
    Text(Option<&'static str>),
    /// Any number of values.
    List(&'static Self),
    /// Values by names of the user's choice.
    Map(&'static Self),
    /// Values by known names.
    Object {
        /// What it is.
        description: &'static str,
        /// What there may be.
        fields: &'static [Field],
        /// Whether others do no harm.
        open: bool,
    },
    /// One of several.
    OneOf(&'static [Variant]),
}

/// One field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As users write it.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it is when it is not there, as JSON.
    pub default: Option<&'static str>,
    /// What the type does not say.
    pub bounds: Bounds,
    /// Its values.
    pub shape: &'static Shape,
}

/// What the type of a field does not say.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The smallest number.
    pub minimum: Option<i64>,
    /// The largest number.
    pub maximum: Option<i64>,
    /// The shortest list.
    pub min_items: Option<i64>,
    /// The longest list.
    pub max_items: Option<i64>,
    /// The kind of text, or of the texts in a list.
    pub format: Option<&'static str>,
}

impl Bounds {
    /// None.
    pub const NONE: Self =
        Self { minimum: None, maximum: None, min_items: None, max_items: None, format: None };
}

/// One of several: a word, or an object with that word as its only field.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// As users write it.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// What belongs to it; `None` for a word alone.
    pub content: Option<&'static Shape>,
}

/// All that a module says about its filter.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The package.
    pub name: &'static str,
    /// The package's.
    pub version: &'static str,
    /// The package's.
    pub description: &'static str,
    /// The callbacks it has, as `#[filter]` calls them.
    pub phases: &'static [&'static str],
    /// `None` for a configuration whose shape is not known.
    pub config: Option<&'static Shape>,
}

/// How many bytes the JSON form has.
pub const fn length(about: &About) -> usize {
    let mut out = Out::<0>::new();
    out.about(about);
    out.length
}

/// The JSON form, in a place of just that [`length`].
pub const fn render<const N: usize>(about: &About) -> [u8; N] {
    let mut out = Out::<N>::new();
    out.about(about);
    out.bytes
}

/// The JSON Schema of a configuration.
///
/// # Panics
/// It is larger than a configuration for people can be; or not JSON, because of a `default_json` that is none.
#[cfg(not(target_arch = "wasm32"))]
pub fn json_schema<T: FilterConfig>() -> serde_json::Value {
    let mut out = Box::new(Out::<MAX_NATIVE_BYTES>::new());
    out.schema(T::SHAPE, "", None, &Bounds::NONE);
    assert!(out.length <= MAX_NATIVE_BYTES, "the schema has {} bytes", out.length);
    match serde_json::from_slice(&out.bytes[..out.length]) {
        Ok(schema) => schema,
        Err(error) => panic!("a `default_json` is not JSON: {error}"),
    }
}

/// Tells whether a type is a [`FilterConfig`], in an expression of a macro: see [`UnknownShape`].
#[doc(hidden)]
pub struct Probe<T>(PhantomData<T>);

#[doc(hidden)]
impl<T: FilterConfig> Probe<T> {
    /// Found before that of the trait.
    pub const SHAPE: Option<&'static Shape> = Some(T::SHAPE);
}

/// What [`Probe`] answers for all other types.
#[doc(hidden)]
pub trait UnknownShape {
    /// None.
    const SHAPE: Option<&'static Shape> = None;
}

impl<T> UnknownShape for Probe<T> {}

/// JSON, as far as it has room; counts all of it.
struct Out<const N: usize> {
    bytes: [u8; N],
    length: usize,
    last: u8,
}

/// Everything here runs in the compiler, where there are no iterators yet.
impl<const N: usize> Out<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], length: 0, last: 0 }
    }

    const fn byte(&mut self, byte: u8) {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
        self.last = byte;
    }

    const fn raw(&mut self, text: &str) {
        let (bytes, mut at) = (text.as_bytes(), 0);
        while at < bytes.len() {
            self.byte(bytes[at]);
            at += 1;
        }
    }

    const fn string(&mut self, text: &str) {
        let (bytes, mut at) = (text.as_bytes(), 0);
        self.byte(b'"');
        while at < bytes.len() {
            match bytes[at] {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                b'\n' => self.raw("\\n"),
                0..b' ' => self.byte(b' '),
                byte => self.byte(byte),
            }
            at += 1;
        }
        self.byte(b'"');
    }

    /// What separates this from what stands before it, if anything does.
    const fn next(&mut self) {
        if !matches!(self.last, b'{' | b'[' | 0) {
            self.byte(b',');
        }
    }

    const fn key(&mut self, key: &str) {
        self.next();
        self.string(key);
        self.byte(b':');
    }

    const fn member(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    const fn number(&mut self, key: &str, number: Option<i64>) {
        let Some(number) = number else { return };
        self.key(key);
        if number < 0 {
            self.byte(b'-');
        }
        let magnitude = number.unsigned_abs();
        let mut unit = 1;
        while magnitude / unit >= 10 {
            unit *= 10;
        }
        while unit > 0 {
            self.byte(b'0' + (magnitude / unit % 10) as u8);
            unit /= 10;
        }
    }

    const fn about(&mut self, about: &About) {
        self.byte(b'{');
        self.member("form", FORM);
        self.member("name", about.name);
        self.member("version", about.version);
        self.member("description", about.description);
        self.member("sdk", env!("CARGO_PKG_VERSION"));
        self.key("phases");
        self.byte(b'[');
        let mut at = 0;
        while at < about.phases.len() {
            self.next();
            self.string(about.phases[at]);
            at += 1;
        }
        self.byte(b']');
        if let Some(shape) = about.config {
            self.key("config");
            self.schema(shape, "", None, &Bounds::NONE);
        }
        self.byte(b'}');
    }

    const fn schema(&mut self, shape: &Shape, description: &str, default: Option<&str>, bounds: &Bounds) {
        self.byte(b'{');
        if !description.is_empty() {
            self.member("description", description);
        }
        match shape {
            Shape::Any => {}
            Shape::Boolean => self.member("type", "boolean"),
            Shape::Integer { minimum, maximum } => {
                self.member("type", "integer");
                self.number("minimum", if bounds.minimum.is_some() { bounds.minimum } else { *minimum });
                self.number("maximum", if bounds.maximum.is_some() { bounds.maximum } else { *maximum });
            }
            Shape::Number => self.member("type", "number"),
            Shape::Text(format) => {
                self.member("type", "string");
                if let Some(format) = if bounds.format.is_some() { bounds.format } else { *format } {
                    self.member("format", format);
                }
            }
            Shape::List(item) => {
                self.member("type", "array");
                self.number("minItems", bounds.min_items);
                self.number("maxItems", bounds.max_items);
                self.key("items");
                self.schema(item, "", None, &Bounds { format: bounds.format, ..Bounds::NONE });
            }
            Shape::Map(value) => {
                self.member("type", "object");
                self.key("additionalProperties");
                self.schema(value, "", None, &Bounds::NONE);
            }
            Shape::Object { description: own, fields, open } => {
                if description.is_empty() && !own.is_empty() {
                    self.member("description", own);
                }
                self.object(fields, *open);
            }
            Shape::OneOf(variants) => self.one_of(variants),
        }
        if let Some(default) = default {
            self.key("default");
            self.raw(default);
        }
        self.byte(b'}');
    }

    const fn object(&mut self, fields: &[Field], open: bool) {
        self.member("type", "object");
        self.key("properties");
        self.byte(b'{');
        let mut at = 0;
        while at < fields.len() {
            let field = &fields[at];
            self.key(field.name);
            self.schema(field.shape, field.description, field.default, &field.bounds);
            at += 1;
        }
        self.byte(b'}');
        self.key("required");
        self.byte(b'[');
        at = 0;
        while at < fields.len() {
            if fields[at].required {
                self.next();
                self.string(fields[at].name);
            }
            at += 1;
        }
        self.byte(b']');
        self.key("additionalProperties");
        self.raw(if open { "true" } else { "false" });
    }

    const fn one_of(&mut self, variants: &[Variant]) {
        self.key("oneOf");
        self.byte(b'[');
        let mut at = 0;
        while at < variants.len() {
            let variant = &variants[at];
            self.next();
            match variant.content {
                None => {
                    self.byte(b'{');
                    self.member("const", variant.name);
                    if !variant.description.is_empty() {
                        self.member("description", variant.description);
                    }
                    self.byte(b'}');
                }
                Some(shape) => {
                    let field = Field {
                        name: variant.name,
                        description: variant.description,
                        required: true,
                        default: None,
                        bounds: Bounds::NONE,
                        shape,
                    };
                    self.byte(b'{');
                    self.object(&[field], false);
                    self.byte(b'}');
                }
            }
            at += 1;
        }
        self.byte(b']');
    }
}

macro_rules! shapes {
    ($($type:ty: $shape:expr;)*) => {
        $(impl FilterConfig for $type {
            const SHAPE: &'static Shape = &$shape;
        })*
    };
}

shapes! {
    bool: Shape::Boolean;
    String: Shape::Text(None);
    f32: Shape::Number;
    f64: Shape::Number;
    u8: Shape::Integer { minimum: Some(0), maximum: Some(u8::MAX as i64) };
    u16: Shape::Integer { minimum: Some(0), maximum: Some(u16::MAX as i64) };
    u32: Shape::Integer { minimum: Some(0), maximum: Some(u32::MAX as i64) };
    u64: Shape::Integer { minimum: Some(0), maximum: None };
    usize: Shape::Integer { minimum: Some(0), maximum: None };
    i8: Shape::Integer { minimum: Some(i8::MIN as i64), maximum: Some(i8::MAX as i64) };
    i16: Shape::Integer { minimum: Some(i16::MIN as i64), maximum: Some(i16::MAX as i64) };
    i32: Shape::Integer { minimum: Some(i32::MIN as i64), maximum: Some(i32::MAX as i64) };
    i64: Shape::Integer { minimum: None, maximum: None };
    std::net::IpAddr: Shape::Text(Some("network"));
    serde_json::Value: Shape::Any;
    crate::config::TimeSpan: Shape::Text(Some("duration"));
    crate::config::Secret: Shape::Text(Some("secret"));
    crate::config::NoConfig: Shape::Object { description: "", fields: &[], open: false };
}

impl<T: FilterConfig> FilterConfig for Option<T> {
    const SHAPE: &'static Shape = T::SHAPE;
    const OPTIONAL: bool = true;
}

impl<T: FilterConfig> FilterConfig for Box<T> {
    const SHAPE: &'static Shape = T::SHAPE;
    const OPTIONAL: bool = T::OPTIONAL;
}

impl<T: FilterConfig> FilterConfig for Vec<T> {
    const SHAPE: &'static Shape = &Shape::List(T::SHAPE);
}

impl<T: FilterConfig> FilterConfig for BTreeMap<String, T> {
    const SHAPE: &'static Shape = &Shape::Map(T::SHAPE);
}

impl<T: FilterConfig, S> FilterConfig for HashMap<String, T, S> {
    const SHAPE: &'static Shape = &Shape::Map(T::SHAPE);
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
