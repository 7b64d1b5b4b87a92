//! What a module's bytes go into: sections, and functions by the crate they come from (WebAssembly core specification 2.0,
//! chapters 5.5 and 7.4). For people who want a module smaller; nothing else depends on it.

use std::collections::BTreeMap;

use super::LoadError;
use super::inspect::Input;

/// Names of the sections that are not custom ones, by their number.
const SECTIONS: [&str; 13] = [
    "custom",
    "type",
    "import",
    "function",
    "table",
    "memory",
    "global",
    "export",
    "start",
    "element",
    "code",
    "data",
    "data count",
];
const CUSTOM: u8 = 0;
const IMPORT: u8 = 2;
const CODE: u8 = 10;
/// The part of the section `name` that names functions.
const FUNCTION_NAMES: u8 = 1;
/// What functions without a Rust path are counted as: those of C libraries, and those that the compiler makes.
const OTHERS: &str = "(other)";

/// Where the bytes of a module are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composition {
    /// Name and size in bytes of each section, in the order of the file; custom sections by their own names.
    pub sections: Vec<(String, usize)>,
    /// Bytes of code by the crate that it comes from, largest first; empty if the module has no names.
    pub crates: Vec<(String, usize)>,
}

impl Composition {
    /// Reads it off a module.
    ///
    /// # Errors
    /// The bytes are no module.
    pub fn of(wasm: &[u8]) -> Result<Self, LoadError> {
        let mut input = Input::after_header(wasm)?;
        let mut sections = Vec::new();
        let (mut sizes, mut names, mut imported) = (Vec::new(), BTreeMap::new(), 0);
        while !input.is_empty() {
            let id = input.byte("a section")?;
            let mut section = input.section()?;
            let size = section.len();
            let name = match id {
                CUSTOM => section.name()?,
                id => SECTIONS.get(usize::from(id)).copied().unwrap_or("unknown").to_owned(),
            };
            match (id, &*name) {
                (IMPORT, _) => imported = section.list(Input::import)?.len(),
                (CODE, _) => sizes = section.list(|code| code.section().map(|body| body.len()))?,
                // Names are for people: what cannot be read of them is not there.
                (CUSTOM, "name") => names = function_names(section).unwrap_or_default(),
                _ => {}
            }
            sections.push((name, size));
        }
        Ok(Self { sections, crates: by_crate(&sizes, &names, imported) })
    }
}

fn function_names(mut section: Input<'_>) -> Result<BTreeMap<usize, String>, LoadError> {
    while !section.is_empty() {
        let id = section.byte("a kind of names")?;
        let mut part = section.section()?;
        if id == FUNCTION_NAMES {
            let named = part.list(|part| Ok((part.number("the index of a function")?, part.name()?)))?;
            return Ok(named.into_iter().collect());
        }
    }
    Ok(BTreeMap::new())
}

fn by_crate(sizes: &[usize], names: &BTreeMap<usize, String>, imported: usize) -> Vec<(String, usize)> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut crates = BTreeMap::new();
    for (index, size) in sizes.iter().enumerate() {
        let of = names.get(&(imported + index)).map_or(OTHERS, |name| crate_of(name));
        *crates.entry(of.to_owned()).or_insert(0) += size;
    }
    let mut crates: Vec<(String, usize)> = crates.into_iter().collect();
    crates.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    crates
}

/// The crate in a symbol's name, in any of the forms that Rust's compilers and linkers write.
fn crate_of(name: &str) -> &str {
    let of = if let Some(path) = name.strip_prefix("_ZN") {
        counted(path).map(|(word, _)| first_word(word))
    } else if let Some(path) = name.strip_prefix("_R") {
        crate_root(path)
    } else {
        let word = first_word(name);
        // In plain text a crate is followed by its path, or by its hash.
        let rest = name.split_once(word).map_or("", |(_, rest)| rest);
        (rest.starts_with("::") || rest.starts_with('[')).then_some(word)
    };
    of.filter(|word| !word.is_empty()).unwrap_or(OTHERS)
}

/// Of `<alloc::vec::Vec<T> as core::ops::Drop>` and `_$LT$alloc..vec..Vec$LT$T$GT$` it is `alloc`.
fn first_word(path: &str) -> &str {
    let mut path = path;
    for lead in
        ["_$LT$", "$LT$", "$RF$", "<", "&", "*", "(", "[", "mut$u20$", "dyn$u20$", "mut ", "dyn ", "const "]
    {
        path = path.strip_prefix(lead).unwrap_or(path);
    }
    let end = path.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(path.len());
    &path[..end]
}

/// A name behind its length, and the rest.
fn counted(text: &str) -> Option<(&str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let length = text[..digits].parse().ok()?;
    text[digits..].split_at_checked(length)
}

/// The first crate root (`C`, mostly with a disambiguator `s..._`) of a path in the newer form (RFC 2603).
fn crate_root(path: &str) -> Option<&str> {
    path.match_indices('C').find_map(|(place, _)| {
        let after = &path[place + 1..];
        let name = match after.strip_prefix('s') {
            Some(marked) => marked.split_once('_').map_or("", |(_, name)| name),
            None => after,
        };
        let (word, _) = counted(name)?;
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_belongs_to_the_crate_that_its_name_begins_with() {
        for (name, expected) in [
            ("core::fmt::write::h0123456789abcdef", "core"),
            ("<alloc::vec::Vec<T> as core::ops::Drop>::drop", "alloc"),
            ("<&mut serde_json::de::Deserializer<R> as serde::Deserializer>::x", "serde_json"),
            ("<dyn std::error::Error>::y", "std"),
            ("my_filter[4d2c]::Plan::on_request", "my_filter"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core"),
            ("_ZN68_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..Drop$GT$4drop17h0E", "alloc"),
            ("_RNvNtCs8Xhq1m3b8_4core3fmt5write", "core"),
            ("_RNvXs_NtCsbmNqQUJIY6D_9my_filterNtB4_4PlanNtCs1_4core3fmt7Display3fmt", "my_filter"),
            ("dlmalloc", OTHERS),
            ("_ZN", OTHERS),
            ("_RC", OTHERS),
            ("", OTHERS),
        ] {
            assert_eq!(crate_of(name), expected, "{name}");
        }
    }

    #[test]
    fn sections_and_functions_are_measured() {
        let wasm = wat::parse_str(
            r#"(module (import "env" "x" (func $x)) (memory 1)
              (func $core::fmt::write (i32.const 1) (drop) (i32.const 2) (drop))
              (func $plain)
              (data (i32.const 0) "0123456789"))"#,
        )
        .unwrap();
        let composition = Composition::of(&wasm).unwrap();
        assert_eq!(composition.crates, [("core".to_owned(), 8), (OTHERS.to_owned(), 2)]);
        let size = |name: &str| composition.sections.iter().find(|(known, _)| known == name).unwrap().1;
        assert!(size("data") > 10 && size("code") > 10 && size("name") > 10);
        // Two bytes at least before each section, and eight before all.
        let all: usize = composition.sections.iter().map(|(_, size)| size + 2).sum();
        assert_eq!(all + 8, wasm.len());
    }

    #[test]
    fn without_names_there_are_no_crates() {
        let named = wat::parse_str("(module (func $core::x))").unwrap();
        let start = named.windows(5).position(|window| window == b"\x04name").unwrap();
        let stripped = &named[..start - 2];
        assert!(Composition::of(stripped).unwrap().crates.is_empty());
        assert!(Composition::of(b"nothing").is_err());
    }
}
