//! What is wrong with a file, and the only renderer of it.
//!
//! Owns the look of a report (as `rustc` prints: message, place, excerpt, caret, help) and the bounds on it. Must never
//! know what the text means: whoever finds an error brings message, mark and help.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::resolved::Place;

/// Errors shown per file; a file that is wrong in more places says so in its last line.
pub const MAX_ERRORS: usize = 50;
/// Characters of one source line in an excerpt; a longer line is cut around the mark.
const MAX_EXCERPT_COLUMNS: usize = 120;
/// Characters kept before the mark when a line is cut.
const CUT_LEAD_COLUMNS: usize = 40;
/// Characters of a value that a message repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// A stretch of one source line. Line and column start at 1, in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// In characters; whatever reaches past the end of the line is not underlined.
    pub(crate) width: usize,
}

/// Everything that is wrong with one file; never empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnostics {
    file: String,
    errors: Vec<Diagnostic>,
    /// More was found than [`MAX_ERRORS`].
    truncated: bool,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing can be run.
    Error,
    /// It runs, and something in it is hardly meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line, without the place.
    pub message: String,
    /// Where; absent when the file as a whole is meant.
    #[serde(serialize_with = "serialize_place")]
    pub place: Option<Place>,
    /// The line meant and what leads to it; control characters replaced, long lines cut.
    pub excerpt: Vec<ExcerptLine>,
    /// What to underline in the last line of the excerpt.
    pub underline: Option<Underline>,
    /// What to do about it.
    pub help: Option<String>,
}

/// One source line of an excerpt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct ExcerptLine {
    /// From 1.
    pub number: usize,
    /// As shown, without line end.
    pub text: String,
}

/// A stretch of an excerpt line, in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Underline {
    /// Characters before it.
    pub offset: usize,
    /// At least 1.
    pub width: usize,
}

impl Diagnostics {
    /// One error about the file as a whole.
    pub(crate) fn of_file(file: &str, message: String, help: Option<String>) -> Self {
        let severity = Severity::Error;
        let error = Diagnostic { severity, message, place: None, excerpt: Vec::new(), underline: None, help };
        Self { file: file.to_owned(), errors: vec![error], truncated: false }
    }

    /// The file as the operator named it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How many errors there are, and in which file.
    pub fn summary(&self) -> String {
        let file = quiet(&self.file);
        match self.errors.len() {
            shown if self.truncated => format!("more than {shown} errors in {file}; the first are shown"),
            1 => format!("1 error in {file}"),
            count => format!("{count} errors in {file}"),
        }
    }

    /// Each error on one line, for logs: `FILE:LINE:COLUMN MESSAGE; HELP`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.errors.iter().map(|error| match &error.place {
            Some(_) => error.line(),
            None => quiet(&format!("{}: {}", self.file, error.line())),
        })
    }

    /// The errors in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.errors.iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(out, "{error}")?;
        }
        out.write_str(&self.summary())
    }
}

impl Diagnostic {
    /// All of it on one line, for logs: `FILE:LINE:COLUMN MESSAGE; HELP`.
    pub fn line(&self) -> String {
        let place = self.place.as_ref();
        let place =
            place.map_or(String::new(), |place| format!("{}:{}:{} ", place.file, place.line, place.column));
        let help = self.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
        quiet(&format!("{place}{}{help}", self.message))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(out, "{severity}: {}", self.message)?;
        let gutter = self.excerpt.last().map_or(1, |line| line.number.to_string().len());
        if let Some(place) = &self.place {
            writeln!(out, "{:gutter$}--> {}:{}:{}", "", quiet(&place.file), place.line, place.column)?;
        }
        if !self.excerpt.is_empty() {
            writeln!(out, "{:gutter$} |", "")?;
        }
        for line in &self.excerpt {
            writeln!(out, "{}", format!("{:>gutter$} | {}", line.number, line.text).trim_end())?;
        }
        if let Some(Underline { offset, width }) = self.underline {
            writeln!(out, "{:gutter$} | {:offset$}{}", "", "", "^".repeat(width))?;
        }
        if let Some(help) = &self.help {
            if !self.excerpt.is_empty() {
                writeln!(out, "{:gutter$} |", "")?;
            }
            writeln!(out, "{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }
}

/// Collects what is wrong with one file while it is read and resolved.
pub(crate) struct Report<'text> {
    file: Arc<str>,
    lines: Vec<&'text str>,
    errors: Vec<Diagnostic>,
    truncated: bool,
    warnings: Vec<Diagnostic>,
}

impl<'text> Report<'text> {
    pub(crate) fn new(file: &str, text: &'text str) -> Self {
        Self {
            file: file.into(),
            lines: text.lines().collect(),
            errors: Vec::new(),
            truncated: false,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn error(
        &mut self,
        mark: impl Into<Option<Mark>>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        if self.errors.len() == MAX_ERRORS {
            self.truncated = true;
            return;
        }
        let error = self.diagnostic(Severity::Error, mark.into(), message.into(), help);
        self.errors.push(error);
    }

    /// Notes something that is legal; at most [`MAX_ERRORS`] of these are kept.
    pub(crate) fn warn(&mut self, mark: Mark, message: String, help: Option<String>) {
        if self.warnings.len() < MAX_ERRORS {
            let warning = self.diagnostic(Severity::Warning, Some(mark), message, help);
            self.warnings.push(warning);
        }
    }

    /// The warnings so far, in the order of the file.
    pub(crate) fn take_warnings(&mut self) -> Vec<Diagnostic> {
        self.warnings.sort_by_key(|warning| warning.place.as_ref().map(|place| (place.line, place.column)));
        std::mem::take(&mut self.warnings)
    }

    fn diagnostic(
        &self,
        severity: Severity,
        mark: Option<Mark>,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        let (excerpt, underline) = mark.map_or((Vec::new(), None), |mark| self.excerpt(mark));
        let place = mark.map(|mark| self.place(mark));
        Diagnostic { severity, message, place, excerpt, underline, help }
    }

    pub(crate) fn place(&self, mark: Mark) -> Place {
        Place { file: Arc::clone(&self.file), line: mark.line, column: mark.column }
    }

    /// The value if nothing was wrong. `None` without an error is a fault of the caller and reported as one.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Diagnostics> {
        match value {
            Some(value) if self.errors.is_empty() => return Ok(value),
            None if self.errors.is_empty() => self.error(None, "the file could not be resolved", None),
            _ => {}
        }
        self.errors.sort_by_key(|error| error.place.as_ref().map(|place| (place.line, place.column)));
        Err(Diagnostics { file: self.file.to_string(), errors: self.errors, truncated: self.truncated })
    }

    /// The marked line and the one before it, unless that one is blank.
    fn excerpt(&self, mark: Mark) -> (Vec<ExcerptLine>, Option<Underline>) {
        let line_at = |number: usize| number.checked_sub(1).and_then(|index| self.lines.get(index).copied());
        let Some(marked) = line_at(mark.line) else { return (Vec::new(), None) };
        let mut excerpt = Vec::new();
        if let Some(before) = line_at(mark.line.saturating_sub(1)).filter(|line| !line.trim().is_empty()) {
            excerpt.push(ExcerptLine { number: mark.line - 1, text: cut(before, 0) });
        }
        let column_offset = mark.column.saturating_sub(1);
        let skipped = skipped_columns(marked, column_offset);
        let text = cut(marked, skipped);
        let length = text.chars().count();
        // A cut line starts with an ellipsis, which takes the place of one character.
        let offset = (column_offset - skipped + usize::from(skipped > 0)).min(length);
        let width = mark.width.min(length.saturating_sub(offset)).max(1);
        excerpt.push(ExcerptLine { number: mark.line, text });
        (excerpt, Some(Underline { offset, width }))
    }
}

/// A value as messages show it: in backticks, on one line, without control characters, not too long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_QUOTED_CHARS).flat_map(escaped).collect();
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The known name that was probably meant.
pub(crate) fn closest<'k>(written: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    let plain =
        |text: &str| text.chars().take(MAX_QUOTED_CHARS).filter(|c| !"-_".contains(*c)).collect::<String>();
    let written = plain(written).to_lowercase();
    let by_distance =
        known.clone().map(|name| (strsim::damerau_levenshtein(&written, &plain(name).to_lowercase()), name));
    let length = written.chars().count();
    // Changing every letter is no slip.
    let is_near = |distance: usize| distance <= (length / 3).max(1) && distance < length;
    let near = by_distance.filter(|(distance, _)| is_near(*distance)).min_by_key(|(distance, _)| *distance);
    // `pathprefix` is far from `path` by distance, yet one starts or ends with the other.
    let part_of = |name: &&str| {
        let name = plain(name).to_lowercase();
        name.len() >= 3 && (written.starts_with(&name) || written.ends_with(&name))
    };
    near.map(|(_, name)| name).or_else(|| known.clone().find(part_of))
}

/// "did you mean", or else what there is to choose from, introduced by `kind`; `None` if there is nothing.
pub fn suggestion<'k>(
    written: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    kind: &str,
) -> Option<String> {
    /// Names listed when none is close.
    const MAX_LISTED: usize = 12;
    if let Some(name) = closest(written, known.clone()) {
        return Some(format!("did you mean {}?", quoted(name)));
    }
    let listed: Vec<String> = known.clone().take(MAX_LISTED).map(quoted).collect();
    let more = if known.count() > MAX_LISTED { ", …" } else { "" };
    (!listed.is_empty()).then(|| format!("{kind}: {}{more}", listed.join(", ")))
}

fn escaped(character: char) -> impl Iterator<Item = char> {
    let plain = (!is_unsafe_to_print(character)).then_some(character);
    let escape = plain.is_none().then(|| character.escape_default()).into_iter().flatten();
    plain.into_iter().chain(escape)
}

/// Control characters and the marks that reorder text: a file must not steer the operator's terminal.
fn is_unsafe_to_print(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn quiet(text: &str) -> String {
    text.chars().map(|c| if is_unsafe_to_print(c) { '\u{fffd}' } else { c }).collect()
}

/// How much of a long line goes so that its mark is in sight.
fn skipped_columns(line: &str, column_offset: usize) -> usize {
    let too_long = line.chars().nth(MAX_EXCERPT_COLUMNS).is_some();
    if too_long && column_offset > MAX_EXCERPT_COLUMNS - CUT_LEAD_COLUMNS {
        column_offset - CUT_LEAD_COLUMNS
    } else {
        0
    }
}

fn cut(line: &str, skipped: usize) -> String {
    let shown = line.chars().skip(skipped).take(MAX_EXCERPT_COLUMNS);
    // One for one, so that the caret stays under its character.
    let shown = shown.map(|c| match c {
        '\t' => ' ',
        c if is_unsafe_to_print(c) => '\u{fffd}',
        c => c,
    });
    let lead = if skipped > 0 { "…" } else { "" };
    let rest = if line.chars().nth(skipped + MAX_EXCERPT_COLUMNS).is_some() { "…" } else { "" };
    format!("{lead}{}{rest}", shown.collect::<String>())
}

fn serialize_place<S: Serializer>(place: &Option<Place>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Written<'a> {
        file: &'a str,
        line: usize,
        column: usize,
    }
    place.as_ref().map(|p| Written { file: &p.file, line: p.line, column: p.column }).serialize(serializer)
}

#[cfg(test)]
#[path = "diagnostic_tests.rs"]
mod tests;
