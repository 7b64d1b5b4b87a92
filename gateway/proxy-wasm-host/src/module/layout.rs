//! Where things are in a module's file: bodies of functions, names, custom sections (WebAssembly core specification 2.0,
//! chapters 5.5 and 7.4.1). For tools that explain what happened; loading a module does not need it.

use std::collections::HashMap;

use super::LoadError;
use super::inspect::{Input, SECTION_IMPORT, check_header};

/// Where things are in a module's file.
pub(crate) struct Layout<'w> {
    /// Where the content of the code section begins.
    code: usize,
    /// Where the bodies begin, in the order of functions.
    bodies: Vec<u32>,
    /// Imported functions come first.
    imported: u32,
    names: HashMap<u32, &'w str>,
    custom: HashMap<&'w str, &'w [u8]>,
}

const SECTION_CUSTOM: u8 = 0;
const SECTION_CODE: u8 = 10;
/// Of the name section.
const FUNCTION_NAMES: u8 = 1;

impl<'w> Layout<'w> {
    pub(crate) fn read(wasm: &'w [u8]) -> Result<Self, LoadError> {
        let mut layout =
            Self { code: 0, bodies: Vec::new(), imported: 0, names: HashMap::new(), custom: HashMap::new() };
        let rest = check_header(wasm)?;
        let mut input = Input { bytes: rest, offset: wasm.len() - rest.len() };
        while !input.bytes.is_empty() {
            let id = input.byte("a section")?;
            let mut section = input.section()?;
            match id {
                // Whatever is imported is a function: nothing else passes inspection.
                SECTION_IMPORT => {
                    layout.imported = u32::try_from(section.list(Input::import)?.len()).unwrap_or(0)
                }
                SECTION_CODE => {
                    layout.code = section.offset;
                    layout.bodies = section.list(Input::body)?;
                }
                SECTION_CUSTOM => {
                    // Custom sections are for tools: one that does not parse is passed over.
                    if let Ok(name) = section.name_in_place() {
                        layout.custom.entry(name).or_insert(section.bytes);
                    }
                }
                _ => {}
            }
        }
        if let Some(bytes) = layout.custom("name") {
            layout.names = function_names(bytes);
        }
        Ok(layout)
    }

    /// Where the content of the code section begins, in the file.
    pub(crate) const fn code(&self) -> usize {
        self.code
    }

    /// Where the body of a function begins, in the file; `None` for an imported one.
    pub(crate) fn body(&self, function: u32) -> Option<usize> {
        let index = function.checked_sub(self.imported)?;
        self.bodies.get(index as usize).map(|body| *body as usize)
    }

    pub(crate) fn function_name(&self, function: u32) -> Option<&'w str> {
        self.names.get(&function).copied()
    }

    pub(crate) fn custom(&self, name: &str) -> Option<&'w [u8]> {
        self.custom.get(name).copied()
    }

    pub(crate) fn has_debug_information(&self) -> bool {
        self.custom.contains_key(".debug_info")
    }
}

impl<'a> Input<'a> {
    /// Skips a function's body; where it begins.
    fn body(&mut self) -> Result<u32, LoadError> {
        let size = self.number("the size of a function")?;
        let begin = u32::try_from(self.offset).unwrap_or(u32::MAX);
        self.take(size, "a function").map(|_| begin)
    }

    fn name_in_place(&mut self) -> Result<&'a str, LoadError> {
        let len = self.number("the length of a name")?;
        let bytes = self.take(len, "a name")?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a name that is not UTF-8"))
    }
}

/// As far as it parses.
fn function_names(bytes: &[u8]) -> HashMap<u32, &str> {
    let mut names = HashMap::new();
    let mut input = Input { bytes, offset: 0 };
    while let (Ok(id), Ok(mut part)) = (input.byte("a subsection"), input.section()) {
        if id != FUNCTION_NAMES {
            continue;
        }
        let count = part.number("the length of a list").unwrap_or(0);
        for _ in 0..count {
            let (Ok(index), Ok(name)) = (part.number("an index"), part.name_in_place()) else { break };
            names.insert(u32::try_from(index).unwrap_or(u32::MAX), name);
        }
    }
    names
}
