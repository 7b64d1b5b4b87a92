//! Reads imports and exports out of a module's bytes (WebAssembly core specification 2.0, chapter 5.5), so that the cheap
//! refusals come before an expensive compilation. Knows names only; types and code are the compiler's to validate.

use super::LoadError;
use crate::abi::AbiVersion;
use crate::limits::{ABOUT_BYTES, LISTED_NAMES, MODULE_BYTES};

pub(super) struct Parts {
    pub(super) imports: Vec<(String, String)>,
    pub(super) exports: Vec<String>,
    pub(super) about: Option<Vec<u8>>,
}

pub(super) fn read(wasm: &[u8]) -> Result<Parts, LoadError> {
    if wasm.len() > MODULE_BYTES {
        return Err(LoadError::TooLarge { size_bytes: wasm.len(), limit_bytes: MODULE_BYTES });
    }
    let mut input = Input::after_header(wasm)?;
    let mut parts = Parts { imports: Vec::new(), exports: Vec::new(), about: None };
    while !input.is_empty() {
        let id = input.byte("a section")?;
        let mut section = input.section()?;
        match id {
            SECTION_IMPORT => parts.imports = section.names("imports", Input::import)?,
            SECTION_EXPORT => parts.exports = section.names("exports", Input::export)?,
            SECTION_CUSTOM if parts.about.is_none() => parts.about = section.about(),
            _ => {}
        }
    }
    Ok(parts)
}

/// The newest known marker; a module may carry several.
pub(super) fn abi_version(exports: &[String]) -> Result<AbiVersion, LoadError> {
    let mut unknown = None;
    let mut newest = None;
    for export in exports.iter().filter(|export| export.starts_with("proxy_abi_")) {
        match export.as_str() {
            "proxy_abi_version_0_1_0" => newest = newest.max(Some(AbiVersion::V0_1_0)),
            "proxy_abi_version_0_2_0" => newest = newest.max(Some(AbiVersion::V0_2_0)),
            "proxy_abi_version_0_2_1" => newest = newest.max(Some(AbiVersion::V0_2_1)),
            _ => unknown = Some(export),
        }
    }
    match (newest, unknown) {
        (Some(version), _) => Ok(version),
        (None, Some(marker)) => Err(LoadError::UnknownMarker { marker: marker.clone() }),
        (None, None) => Err(LoadError::NoMarker),
    }
}

/// The custom section in which modules of this project's SDK say what their filter is, as JSON.
const ABOUT_SECTION: &str = "gateway.filter";
const HEADER_BYTES: usize = 8;
const SECTION_CUSTOM: u8 = 0;
pub(super) const SECTION_IMPORT: u8 = 2;
const SECTION_EXPORT: u8 = 7;
/// Bytes of a foreign file shown in its refusal.
const SHOWN_BYTES: usize = 16;

/// Answers what follows magic and version.
pub(super) fn check_header(wasm: &[u8]) -> Result<&[u8], LoadError> {
    if wasm.is_empty() {
        return Err(LoadError::Empty);
    }
    let Some(after_magic) = wasm.strip_prefix(b"\0asm") else {
        let start = String::from_utf8_lossy(&wasm[..wasm.len().min(SHOWN_BYTES)]).into_owned();
        return Err(LoadError::NotWasm { start, hint: guess(wasm) });
    };
    match after_magic.split_first_chunk::<4>() {
        Some(([1, 0, 0, 0], rest)) => Ok(rest),
        Some(([_, _, 1, 0], _)) => Err(LoadError::Component),
        Some((version, _)) => Err(LoadError::Malformed { reason: format!("unknown version {version:?}") }),
        None => Err(LoadError::Malformed { reason: "it ends inside its header".to_owned() }),
    }
}

fn guess(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"(module") || text.starts_with(b"(component") || text.starts_with(b";;") {
        "it looks like the text format; convert it with wat2wasm"
    } else if text.starts_with(b"<") {
        "it looks like a web page; did a download need a login?"
    } else if bytes.starts_with(&[0x1F, 0x8B]) {
        "it looks gzip-compressed; unpack it first"
    } else if bytes.starts_with(b"\x7FELF") {
        "it looks like a native program; build for wasm32-wasip1"
    } else if bytes.starts_with(b"version https://git-lfs") {
        "it is a Git LFS pointer; run git lfs pull"
    } else if std::str::from_utf8(&bytes[..bytes.len().min(SHOWN_BYTES)]).is_ok() {
        "it looks like text"
    } else {
        "the magic bytes \\0asm are missing"
    }
}

/// A cursor that remembers where in the file it is.
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) offset: usize,
}

impl<'a> Input<'a> {
    pub(super) fn after_header(wasm: &'a [u8]) -> Result<Self, LoadError> {
        Ok(Self { bytes: check_header(wasm)?, offset: HEADER_BYTES })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn section(&mut self) -> Result<Self, LoadError> {
        let size = self.number("the size of a section")?;
        let offset = self.offset;
        Ok(Input { bytes: self.take(size, "a section")?, offset })
    }

    /// What stands in a custom section, if it is the one that filters describe themselves in. Custom sections are for
    /// tools: one that does not parse is none of ours.
    fn about(&mut self) -> Option<Vec<u8>> {
        let is_ours = self.name().is_ok_and(|name| name == ABOUT_SECTION);
        (is_ours && self.bytes.len() <= ABOUT_BYTES).then(|| self.bytes.to_vec())
    }

    /// A list of what is kept by its name: a bounded one.
    fn names<T>(
        &mut self,
        what: &'static str,
        item: impl FnMut(&mut Self) -> Result<T, LoadError>,
    ) -> Result<Vec<T>, LoadError> {
        let mut ahead = Input { bytes: self.bytes, offset: self.offset };
        let count = ahead.number("the length of a list")?;
        if count > LISTED_NAMES {
            return Err(LoadError::TooMany { what, count, limit: LISTED_NAMES });
        }
        self.list(item)
    }

    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, LoadError>,
    ) -> Result<Vec<T>, LoadError> {
        let count = self.number("the length of a list")?;
        // The count is the file's word; memory grows only with entries that are really there.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(super) fn import(&mut self) -> Result<(String, String), LoadError> {
        let (module, name) = (self.name()?, self.name()?);
        let kind = match self.byte("the kind of an import")? {
            0 => {
                self.number("the type of an import")?;
                return Ok((module, name));
            }
            1 => "table",
            2 => "memory",
            3 => "global",
            _ => "tag",
        };
        Err(LoadError::ImportKind { kind, module, name })
    }

    fn export(&mut self) -> Result<String, LoadError> {
        let name = self.name()?;
        self.byte("the kind of an export")?;
        self.number("the index of an export")?;
        Ok(name)
    }

    pub(super) fn name(&mut self) -> Result<String, LoadError> {
        let len = self.number("the length of a name")?;
        let bytes = self.take(len, "a name")?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.malformed("a name that is not UTF-8"))
    }

    /// An unsigned LEB128 number of 32 bits.
    pub(super) fn number(&mut self, what: &str) -> Result<usize, LoadError> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte(what)?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let value = u32::try_from(value).map_err(|_| self.malformed(what))?;
                return Ok(value as usize);
            }
        }
        Err(self.malformed(what))
    }

    pub(super) fn byte(&mut self, what: &str) -> Result<u8, LoadError> {
        Ok(self.take(1, what)?[0])
    }

    pub(super) fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8], LoadError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(|| LoadError::Malformed {
            reason: format!("it ends inside {what} at byte {}", self.offset + self.bytes.len()),
        })?;
        self.bytes = rest;
        self.offset += len;
        Ok(taken)
    }

    pub(super) fn malformed(&self, what: &str) -> LoadError {
        LoadError::Malformed { reason: format!("{what} before byte {} does not parse", self.offset) }
    }
}
