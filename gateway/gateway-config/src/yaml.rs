//! YAML text to a tree in which every node knows its place. The only user of the YAML parser.
//!
//! Scalars stay text: what `off` or `8080` means is decided by the field that reads it. Anchors and aliases work; tags,
//! merge keys and several documents do not exist in configuration and are errors. Must never know a field name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag,
};

use crate::MAX_FILE_BYTES;
use crate::diagnostic::{Mark, quoted};
use crate::values::show_size;

/// Lists and mappings inside each other.
const MAX_DEPTH: usize = 32;
/// Keys of a mapping that are compared one by one; more are looked up.
const MAX_KEYS_COMPARED: usize = 16;
/// Nodes of one tree, counted as often as aliases repeat them: text of a few lines can otherwise mean billions.
const MAX_NODES: usize = 500_000;

/// A document, and what is wrong with it short of being unreadable.
#[derive(Debug)]
pub(crate) struct Tree {
    /// `None` for an empty document.
    pub(crate) root: Option<Rc<Node>>,
    pub(crate) faults: Vec<Fault>,
}

/// An error in the form of the text.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) mark: Option<Mark>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) content: Content,
    /// This node and all below it.
    nodes: usize,
    /// Levels of collections, this one included.
    height: usize,
}

#[derive(Debug)]
pub(crate) enum Content {
    Scalar {
        text: String,
        /// Written without quotes, so that it may mean a number, a boolean or nothing.
        plain: bool,
    },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Key, Rc<Node>)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) mark: Mark,
    pub(crate) text: String,
}

impl Node {
    /// Nothing is written, or an explicit null (YAML 1.2 core schema).
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Reads one document.
pub(crate) fn parse(text: &str) -> Result<Tree, Fault> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!(
            "the text is larger than {}, the most that a file may have",
            show_size(MAX_FILE_BYTES as u64)
        );
        return Err(Fault { mark: None, message, help: None });
    }
    check_characters(text)?;
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax_fault(&error))?;
        builder.take(event, span)?;
    }
    Ok(Tree { root: builder.root, faults: builder.faults })
}

/// A collection that is still open.
struct Frame {
    mark: Mark,
    flow: bool,
    anchor: usize,
    nodes: usize,
    height: usize,
    items: Items,
}

enum Items {
    Sequence(Vec<Rc<Node>>),
    Mapping {
        entries: Vec<(Key, Rc<Node>)>,
        /// The line in which each key was first seen, once there are many.
        seen: HashMap<String, usize>,
        /// Read, and waiting for its value; `Err` for a key that cannot be one.
        key: Option<Result<Key, Mark>>,
    },
}

#[derive(Default)]
struct Builder {
    open: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: usize,
    faults: Vec<Fault>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let mark = mark_of(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(fault(
                        mark,
                        "a second YAML document starts here",
                        "one file holds one document: remove `---`",
                    ));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_deref(), mark)?;
                let content = Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.place(Rc::new(Node { mark, content, nodes: 1, height: 0 }), 1, anchor)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                refuse_tag(tag.as_deref(), mark)?;
                self.open(mark, style, anchor, Items::Sequence(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                refuse_tag(tag.as_deref(), mark)?;
                let items = Items::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.open(mark, style, anchor, items)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(mark)?,
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
                    return Err(fault(
                        mark,
                        "this alias stands inside the value that it repeats",
                        "write the value out",
                    ));
                };
                if self.open.len() + node.height > MAX_DEPTH {
                    return Err(too_deep(mark));
                }
                let copies = node.nodes;
                self.place(node, copies, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, mark: Mark, style: StructureStyle, anchor: usize, items: Items) -> Result<(), Fault> {
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep(mark));
        }
        let flow = style == StructureStyle::Flow;
        self.open.push(Frame { mark: Mark { width: 1, ..mark }, flow, anchor, nodes: 1, height: 1, items });
        Ok(())
    }

    fn close(&mut self, end: Mark) -> Result<(), Fault> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let mut mark = frame.mark;
        if frame.flow {
            let closing = if end.line == mark.line { end.column + end.width } else { usize::MAX };
            mark.width = closing.saturating_sub(mark.column);
        }
        let content = match frame.items {
            Items::Sequence(items) => Content::Sequence(items),
            Items::Mapping { entries, .. } => {
                if let (false, Some((key, _))) = (frame.flow, entries.first()) {
                    mark = key.mark;
                }
                Content::Mapping(entries)
            }
        };
        let node = Node { mark, content, nodes: frame.nodes, height: frame.height };
        // Its children were counted when they were placed.
        self.place(Rc::new(node), 1, frame.anchor)
    }

    /// Puts a finished node where it belongs: under the open collection, or at the root.
    fn place(&mut self, node: Rc<Node>, added: usize, anchor: usize) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(added);
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, counted as often as aliases repeat them");
            return Err(Fault { mark: Some(node.mark), message, help: None });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.nodes = frame.nodes.saturating_add(node.nodes);
        frame.height = frame.height.max(node.height + 1);
        match &mut frame.items {
            Items::Sequence(items) => items.push(node),
            Items::Mapping { entries, seen, key } => match key.take() {
                None => *key = Some(as_key(&node)),
                Some(Err(mark)) => {
                    self.faults.push(fault(mark, "a key must be a single word, not a list or a mapping", ""))
                }
                Some(Ok(written)) => match first_line(entries, seen, &written) {
                    Some(line) => self.faults.push(duplicate_key(&written, line)),
                    None => entries.push((written, node)),
                },
            },
        }
        Ok(())
    }
}

/// Where a key already stands. Most mappings have a few keys, which are compared one by one.
fn first_line(
    entries: &[(Key, Rc<Node>)],
    seen: &mut HashMap<String, usize>,
    written: &Key,
) -> Option<usize> {
    if entries.len() < MAX_KEYS_COMPARED {
        return entries.iter().find(|(key, _)| key.text == written.text).map(|(key, _)| key.mark.line);
    }
    if seen.is_empty() {
        seen.extend(entries.iter().map(|(key, _)| (key.text.clone(), key.mark.line)));
    }
    match seen.entry(written.text.clone()) {
        Entry::Occupied(known) => Some(*known.get()),
        Entry::Vacant(free) => {
            free.insert(written.mark.line);
            None
        }
    }
}

fn as_key(node: &Node) -> Result<Key, Mark> {
    match &node.content {
        Content::Scalar { text, .. } => Ok(Key { mark: node.mark, text: text.clone() }),
        _ => Err(node.mark),
    }
}

fn duplicate_key(key: &Key, first_line: usize) -> Fault {
    let message = format!("duplicate key {}: it already stands in line {first_line}", quoted(&key.text));
    fault(key.mark, message, "only one of them could count: remove the other")
}

fn too_deep(mark: Mark) -> Fault {
    fault(mark, format!("lists and mappings stand inside each other more than {MAX_DEPTH} deep"), "")
}

fn refuse_tag(tag: Option<&Tag>, mark: Mark) -> Result<(), Fault> {
    match tag {
        None => Ok(()),
        Some(tag) => {
            let message = format!("the YAML tag {} has no meaning here", quoted(&tag.original()));
            Err(fault(mark, message, "remove the tag; put text that starts with `!` in quotes"))
        }
    }
}

/// Control characters cannot be seen in an editor, and some end the text for the parser.
fn check_characters(text: &str) -> Result<(), Fault> {
    let is_bad = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let Some(offset) = text.find(is_bad) else { return Ok(()) };
    let (before, rest) = text.split_at(offset);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let mark = Mark {
        line: 1 + before.matches('\n').count(),
        column: 1 + before.get(line_start..).unwrap_or_default().chars().count(),
        width: 1,
    };
    let character = u32::from(rest.chars().next().unwrap_or_default());
    let message = format!("this is not text: it holds the control character U+{character:04X}");
    Err(fault(
        mark,
        message,
        "is this the right file? inside double quotes such a character is written as an escape",
    ))
}

fn syntax_fault(error: &ScanError) -> Fault {
    let help = match error.kind() {
        ErrorKind::TabNotAllowed | ErrorKind::TabInIndentation | ErrorKind::TabInBlockIndentation => {
            "indent with spaces: YAML does not allow tabs here"
        }
        ErrorKind::UnclosedQuotedScalar => "a quote that was opened before this place is never closed",
        ErrorKind::UnknownAnchor => {
            "an alias `*name` needs an anchor `&name` before it; text that starts with `*` needs quotes"
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::InvalidColonPlacement => {
            "items are separated by commas; every `[` needs its `]` and every `{` its `}`"
        }
        _ => {
            "keys of one mapping start in the same column; text that holds `: ` or ` #`, or starts with a sign, needs quotes"
        }
    };
    let marker = error.marker();
    let mark = Mark { line: marker.line(), column: marker.col() + 1, width: 1 };
    fault(mark, format!("this is not valid YAML: {}", error.info()), help)
}

fn mark_of(span: Span) -> Mark {
    let (start, end) = (span.start, span.end);
    let width = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { usize::MAX };
    Mark { line: start.line(), column: start.col() + 1, width }
}

fn fault(mark: Mark, message: impl Into<String>, help: &str) -> Fault {
    Fault { mark: Some(mark), message: message.into(), help: (!help.is_empty()).then(|| help.to_owned()) }
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
