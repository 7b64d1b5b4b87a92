//! `#[derive(FilterConfig)]`: reads the declaration of a type and serde's attributes on it, and writes down its shape.
//!
//! Owns what of serde's attributes it understands; what it does not, and would change the shape, is an error.

use proc_macro::{Delimiter, Spacing, TokenStream, TokenTree};

/// serde's attributes that say nothing about the shape, or are read here.
const KNOWN: [&str; 9] = [
    "rename",
    "rename_all",
    "default",
    "deny_unknown_fields",
    "transparent",
    "skip",
    "skip_deserializing",
    "bound",
    "crate",
];
/// Numbers among the bounds of a field, and their names in `Bounds`.
const NUMBERS: [&str; 4] = ["minimum", "maximum", "min_items", "max_items"];

pub(crate) fn expand(item: TokenStream) -> Result<String, String> {
    let mut tokens = Tokens::new(item);
    let attributes = tokens.attributes()?;
    tokens.skip_visibility();
    let kind = tokens.word().unwrap_or_default();
    let name = tokens.word().ok_or("FilterConfig is for structs and enums")?;
    if tokens.is_punct('<') {
        return Err("FilterConfig is for types without parameters".to_owned());
    }
    let Some(TokenTree::Group(body)) = tokens.next() else {
        return Err("FilterConfig is for structs with fields and for enums".to_owned());
    };
    let shape = match (kind.as_str(), body.delimiter()) {
        ("struct", Delimiter::Brace) => object(&attributes, body.stream(), attributes.rename_all())?,
        ("struct", Delimiter::Parenthesis) => match type_list(body.stream()).as_slice() {
            [only] => format!("*{}", shape_of(only)),
            _ => return Err("a configuration has names: use a struct with named fields".to_owned()),
        },
        ("enum", Delimiter::Brace) => one_of(&attributes, body.stream())?,
        _ => return Err("FilterConfig is for structs and enums".to_owned()),
    };
    Ok(format!(
        "#[automatically_derived] impl ::gateway_sdk::schema::FilterConfig for {name} {{ \
         const SHAPE: &'static ::gateway_sdk::schema::Shape = &{shape}; }}"
    ))
}

fn object(attributes: &Attributes, body: TokenStream, rename_all: Option<String>) -> Result<String, String> {
    let mut fields = String::new();
    let mut tokens = Tokens::new(body);
    while !tokens.is_empty() {
        let of_field = tokens.attributes()?;
        tokens.skip_visibility();
        let name = tokens.word().ok_or("FilterConfig does not understand this field")?;
        if !tokens.take_punct(':') {
            return Err(format!("FilterConfig does not understand the field `{name}`"));
        }
        let of_type = tokens.until_comma();
        if of_field.has_serde("skip") || of_field.has_serde("skip_deserializing") {
            continue;
        }
        fields += &field(&name, &of_field, &of_type, rename_all.as_deref())?;
    }
    let open = !attributes.has_serde("deny_unknown_fields");
    let description = &attributes.description;
    Ok(format!(
        "::gateway_sdk::schema::Shape::Object {{ description: {description:?}, open: {open}, fields: &[{fields}] }}"
    ))
}

fn field(
    name: &str,
    attributes: &Attributes,
    of_type: &str,
    rename_all: Option<&str>,
) -> Result<String, String> {
    let plain = name.strip_prefix("r#").unwrap_or(name);
    let written = match attributes.serde("rename") {
        Some(renamed) => text_of(renamed)?,
        None => field_case(plain, rename_all)?,
    };
    let of_type = attributes.config("shape").unwrap_or(of_type);
    let has_default = attributes.has_serde("default");
    let default = match (attributes.config("default"), attributes.config("default_json")) {
        (Some(_), Some(_)) => return Err(format!("`{name}` has two defaults")),
        (Some(literal), None) => Some(json_of(literal)?),
        (None, Some(literal)) => Some(text_of(literal)?),
        (None, None) => None,
    };
    if default.is_some() && !has_default {
        return Err(format!(
            "`{name}` tells a default that serde does not have; add `#[serde(default = \"...\")]`"
        ));
    }
    let mut bounds = String::new();
    for number in NUMBERS {
        if let Some(value) = attributes.config(number) {
            bounds += &format!("{number}: ::core::option::Option::Some({value}), ");
        }
    }
    if let Some(format) = attributes.config("format") {
        bounds += &format!("format: ::core::option::Option::Some({format}), ");
    }
    Ok(format!(
        "::gateway_sdk::schema::Field {{ name: {written:?}, description: {:?}, \
         required: !({has_default} || <{of_type} as ::gateway_sdk::schema::FilterConfig>::OPTIONAL), \
         default: {}, bounds: ::gateway_sdk::schema::Bounds {{ {bounds} ..::gateway_sdk::schema::Bounds::NONE }}, \
         shape: {} }}, ",
        attributes.description,
        option(default.as_deref()),
        shape_of(of_type),
    ))
}

fn one_of(attributes: &Attributes, body: TokenStream) -> Result<String, String> {
    let rename_all = attributes.rename_all();
    let mut variants = String::new();
    let mut tokens = Tokens::new(body);
    while !tokens.is_empty() {
        let of_variant = tokens.attributes()?;
        let name = tokens.word().ok_or("FilterConfig does not understand this variant")?;
        let content = match tokens.group() {
            None => None,
            Some((Delimiter::Parenthesis, content)) => match type_list(content).as_slice() {
                [only] => Some(shape_of(of_variant.config("shape").unwrap_or(only))),
                _ => return Err(format!("`{name}` must hold one value")),
            },
            Some((_, content)) => Some(format!("&{}", object(attributes, content, of_variant.rename_all())?)),
        };
        tokens.until_comma();
        if of_variant.has_serde("skip") || of_variant.has_serde("skip_deserializing") {
            continue;
        }
        let written = match of_variant.serde("rename") {
            Some(renamed) => text_of(renamed)?,
            None => variant_case(&name, rename_all.as_deref())?,
        };
        let content = content.map_or("::core::option::Option::None".to_owned(), |shape| {
            format!("::core::option::Option::Some({shape})")
        });
        variants += &format!(
            "::gateway_sdk::schema::Variant {{ name: {written:?}, description: {:?}, content: {content} }}, ",
            of_variant.description
        );
    }
    Ok(format!("::gateway_sdk::schema::Shape::OneOf(&[{variants}])"))
}

fn shape_of(of_type: &str) -> String {
    format!("<{of_type} as ::gateway_sdk::schema::FilterConfig>::SHAPE")
}

fn option(text: Option<&str>) -> String {
    text.map_or("::core::option::Option::None".to_owned(), |text| {
        format!("::core::option::Option::Some({text:?})")
    })
}

fn type_list(stream: TokenStream) -> Vec<String> {
    let mut tokens = Tokens::new(stream);
    let mut types = Vec::new();
    while !tokens.is_empty() {
        // A type that cannot be read is reported by the compiler where it stands.
        let _ = tokens.attributes();
        tokens.skip_visibility();
        types.push(tokens.until_comma());
    }
    types
}

/// As serde renames fields, which are in snake case.
fn field_case(name: &str, rule: Option<&str>) -> Result<String, String> {
    let words = || name.split('_').filter(|word| !word.is_empty());
    Ok(match rule {
        None | Some("snake_case" | "lowercase") => name.to_owned(),
        Some("camelCase") => lower_first(&words().map(upper_first).collect::<String>()),
        Some("PascalCase") => words().map(upper_first).collect(),
        Some("kebab-case") => name.replace('_', "-"),
        Some("SCREAMING_SNAKE_CASE" | "UPPERCASE") => name.to_uppercase(),
        Some("SCREAMING-KEBAB-CASE") => name.to_uppercase().replace('_', "-"),
        Some(rule) => return Err(format!("unknown rule `{rule}`")),
    })
}

/// As serde renames variants, which are in Pascal case.
fn variant_case(name: &str, rule: Option<&str>) -> Result<String, String> {
    let separated = |separator: char| {
        let mut text = String::new();
        for (at, letter) in name.char_indices() {
            if at > 0 && letter.is_uppercase() {
                text.push(separator);
            }
            text.extend(letter.to_lowercase());
        }
        text
    };
    Ok(match rule {
        None | Some("PascalCase") => name.to_owned(),
        Some("lowercase") => name.to_lowercase(),
        Some("UPPERCASE") => name.to_uppercase(),
        Some("camelCase") => lower_first(name),
        Some("snake_case") => separated('_'),
        Some("kebab-case") => separated('-'),
        Some("SCREAMING_SNAKE_CASE") => separated('_').to_uppercase(),
        Some("SCREAMING-KEBAB-CASE") => separated('-').to_uppercase(),
        Some(rule) => return Err(format!("unknown rule `{rule}`")),
    })
}

fn upper_first(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

fn lower_first(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

/// What stands above an item, a field or a variant.
struct Attributes {
    description: String,
    serde: Vec<(String, Option<String>)>,
    config: Vec<(String, Option<String>)>,
}

impl Attributes {
    fn serde(&self, name: &str) -> Option<&str> {
        self.serde.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref())
    }

    fn has_serde(&self, name: &str) -> bool {
        self.serde.iter().any(|(known, _)| known == name)
    }

    fn config(&self, name: &str) -> Option<&str> {
        self.config.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref())
    }

    fn rename_all(&self) -> Option<String> {
        self.serde("rename_all").and_then(|rule| text_of(rule).ok())
    }
}

/// A cursor over tokens.
struct Tokens {
    tokens: Vec<TokenTree>,
    at: usize,
}

impl Tokens {
    fn new(stream: TokenStream) -> Self {
        Self { tokens: flattened(stream), at: 0 }
    }

    fn is_empty(&self) -> bool {
        self.at >= self.tokens.len()
    }

    fn next(&mut self) -> Option<TokenTree> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn is_punct(&self, character: char) -> bool {
        matches!(self.tokens.get(self.at), Some(TokenTree::Punct(punct)) if punct.as_char() == character)
    }

    fn take_punct(&mut self, character: char) -> bool {
        let is_there = self.is_punct(character);
        self.at += usize::from(is_there);
        is_there
    }

    fn word(&mut self) -> Option<String> {
        match self.tokens.get(self.at) {
            Some(TokenTree::Ident(word)) => {
                self.at += 1;
                Some(word.to_string())
            }
            _ => None,
        }
    }

    fn group(&mut self) -> Option<(Delimiter, TokenStream)> {
        match self.tokens.get(self.at) {
            Some(TokenTree::Group(group)) => {
                self.at += 1;
                Some((group.delimiter(), group.stream()))
            }
            _ => None,
        }
    }

    fn skip_visibility(&mut self) {
        if matches!(self.tokens.get(self.at), Some(TokenTree::Ident(word)) if word.to_string() == "pub") {
            self.at += 1;
            if matches!(self.tokens.get(self.at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
            {
                self.at += 1;
            }
        }
    }

    /// The text up to a comma that is not inside of angle brackets, which are no groups; the comma goes, too.
    fn until_comma(&mut self) -> String {
        let mut depth = 0_usize;
        let mut taken = Vec::new();
        while let Some(token) = self.next() {
            if let TokenTree::Punct(punct) = &token {
                let follows_dash = matches!(taken.last(), Some(TokenTree::Punct(before)) if before.as_char() == '-' && before.spacing() == Spacing::Joint);
                match punct.as_char() {
                    ',' if depth == 0 => break,
                    '<' => depth += 1,
                    '>' if !follows_dash => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            taken.push(token);
        }
        taken.into_iter().collect::<TokenStream>().to_string()
    }

    fn attributes(&mut self) -> Result<Attributes, String> {
        let mut attributes = Attributes { description: String::new(), serde: Vec::new(), config: Vec::new() };
        let mut lines = Vec::new();
        while self.take_punct('#') {
            let Some((_, stream)) = self.group() else { break };
            let mut inside = Self::new(stream);
            match (inside.word().as_deref(), inside.take_punct('=')) {
                (Some("doc"), true) => {
                    let line = inside.next().map_or(Ok(String::new()), |text| text_of(&text.to_string()))?;
                    lines.push(line.trim().to_owned());
                }
                (Some("serde"), _) => attributes.serde.extend(inside.options()),
                (Some("config"), _) => attributes.config.extend(inside.options()),
                _ => {}
            }
        }
        if let Some((unknown, _)) = attributes.serde.iter().find(|(name, _)| !KNOWN.contains(&name.as_str()))
        {
            return Err(format!(
                "FilterConfig does not know the shape that serde's `{unknown}` makes; give the field `#[config(shape = TYPE)]` and a type of its own, or leave FilterConfig out"
            ));
        }
        let of_config = ["default", "default_json", "format", "shape"];
        let is_known = |name: &str| NUMBERS.contains(&name) || of_config.contains(&name);
        if let Some((unknown, _)) = attributes.config.iter().find(|(name, _)| !is_known(name)) {
            return Err(format!(
                "unknown `{unknown}` in #[config(...)]; there are {}, {}",
                NUMBERS.join(", "),
                of_config.join(", ")
            ));
        }
        let paragraph = lines.iter().skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
        attributes.description = paragraph.cloned().collect::<Vec<_>>().join(" ");
        Ok(attributes)
    }

    /// What stands in the parentheses of an attribute.
    fn options(&mut self) -> Vec<(String, Option<String>)> {
        let Some((_, stream)) = self.group() else { return Vec::new() };
        let mut inside = Self::new(stream);
        let mut options = Vec::new();
        while !inside.is_empty() {
            let option = inside.until_comma();
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.trim().to_owned())),
                None => (option.as_str(), None),
            };
            options.push((name.trim().to_owned(), value));
        }
        options
    }
}

/// Macros wrap what they pass on in groups without delimiters.
fn flattened(stream: TokenStream) -> Vec<TokenTree> {
    let mut tokens = Vec::new();
    for token in stream {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                tokens.extend(flattened(group.stream()));
            }
            token => tokens.push(token),
        }
    }
    tokens
}

/// A number, `true` or `false` is the same in JSON.
fn json_of(literal: &str) -> Result<String, String> {
    if !literal.contains('"') {
        return Ok(literal.replace('_', ""));
    }
    let text = text_of(literal)?;
    if text.contains(['"', '\\']) || text.contains(char::is_control) {
        return Err("write a default with quotes or backslashes as `default_json`".to_owned());
    }
    Ok(format!("\"{text}\""))
}

/// What a string literal means.
fn text_of(literal: &str) -> Result<String, String> {
    let strange = || format!("FilterConfig expects text in quotes, not `{literal}`");
    if let Some(raw) = literal.strip_prefix('r') {
        let inside = raw.trim_matches('#');
        return inside
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .map(str::to_owned)
            .ok_or_else(strange);
    }
    let inside = literal.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(strange)?;
    let mut text = String::new();
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(same @ ('"' | '\\' | '\'')) => text.push(same),
                _ => return Err(strange()),
            },
            letter => text.push(letter),
        }
    }
    Ok(text)
}
