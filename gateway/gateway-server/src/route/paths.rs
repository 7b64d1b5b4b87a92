//! Candidates of one host by path: what a request's path leads to is looked up, never searched for one by one.
//!
//! Exact paths and prefixes are sorted, so that a lookup costs one binary search per kind and per distinct prefix length
//! written in the configuration, however long a client's path is. Only regular expressions are tried in turn. With many
//! hosts, memory is what a lookup waits for: everything about one host lies in a few short arrays.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use gateway_config::{HostPattern, PathMatch, Pattern};

use super::condition::{Conditions, Mismatch, Specificity};
use super::{Decision, RouteInput};

/// A match of a route, below its host and path.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) decision: Decision,
    /// `None` when the match asks for nothing else.
    pub(crate) conditions: Option<Arc<Conditions>>,
}

impl Candidate {
    /// What does not hold; `None` when everything does.
    pub(crate) fn mismatch(&self, input: &RouteInput<'_>) -> Option<Mismatch<'_>> {
        self.conditions.as_ref().and_then(|conditions| conditions.mismatch(input))
    }

    pub(crate) fn specificity(&self) -> Specificity {
        self.conditions.as_ref().map(|conditions| conditions.specificity()).unwrap_or_default()
    }
}

/// The candidates of one host.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// `None` for every host.
    pub(crate) host: Option<HostPattern>,
    regex: Box<[(Pattern, Candidate)]>,
    /// Exact paths, then prefixes by length as in `lengths`; those of one kind in order of their hash and their text.
    keys: Box<[Key]>,
    /// How many of the keys are exact paths.
    exact: u32,
    /// The longest first.
    lengths: Box<[Length]>,
    /// All paths, one after the other.
    text: Box<[u8]>,
    /// Those of one path together, best first.
    candidates: Box<[Candidate]>,
}

/// One path: stretches of `text` and of `candidates`.
#[derive(Clone, Copy, Debug)]
struct Key {
    /// Told apart by this, so that a search reads the text of one path and not of several.
    hash: u32,
    start: u32,
    length: u32,
    first: u32,
    count: u32,
}

/// The prefixes of one length: the keys before `end` and after the end of the length before.
#[derive(Clone, Copy, Debug)]
struct Length {
    length: u32,
    end: u32,
}

impl Paths {
    /// The candidates in the order of the configuration.
    pub(crate) fn new(host: Option<HostPattern>, candidates: Vec<(PathMatch, Candidate)>) -> Self {
        let (mut exact, mut prefixes, mut regex) = (Vec::new(), Vec::new(), Vec::new());
        for (path, candidate) in candidates {
            match path {
                PathMatch::Exact(path) => exact.push((path, candidate)),
                PathMatch::Prefix(path) => prefixes.push((path, candidate)),
                PathMatch::Regex(pattern) => regex.push((pattern, candidate)),
            }
        }
        // All sorts are stable, so that the order written decides the rest.
        regex.sort_by_key(|(pattern, candidate)| {
            (Reverse(pattern.as_str().len()), Reverse(candidate.specificity()))
        });
        let by_path = |(path, candidate): &(Arc<str>, Candidate)| {
            (Reverse(path.len()), path.clone(), Reverse(candidate.specificity()))
        };
        exact.sort_by_cached_key(|item| (item.0.clone(), Reverse(item.1.specificity())));
        prefixes.sort_by_cached_key(by_path);
        let mut arrays = Arrays::default();
        let mut keys = arrays.add(exact);
        let exact = keys.len() as u32;
        let mut prefixes = arrays.add(prefixes);
        let order = |a: &Key, b: &Key| (a.hash, arrays.text_of(a)).cmp(&(b.hash, arrays.text_of(b)));
        keys.sort_by(order);
        prefixes.sort_by(|a, b| b.length.cmp(&a.length).then_with(|| order(a, b)));
        let mut lengths: Vec<Length> = Vec::new();
        for (end, key) in (exact + 1..).zip(&prefixes) {
            match lengths.last_mut().filter(|last| last.length == key.length) {
                Some(last) => last.end = end,
                None => lengths.push(Length { length: key.length, end }),
            }
        }
        keys.extend(prefixes);
        Self {
            host,
            regex: regex.into(),
            keys: keys.into(),
            exact,
            lengths: lengths.into(),
            text: arrays.text.into(),
            candidates: arrays.candidates.into(),
        }
    }

    /// Shows every candidate whose path fits, best first, until `visit` breaks.
    pub(crate) fn visit<'t, T>(
        &'t self,
        input: &RouteInput<'_>,
        visit: &mut impl FnMut(&'t Self, &'t Candidate) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        let path = input.path.as_bytes();
        for candidate in self.at(&self.keys[..self.exact as usize], path) {
            visit(self, candidate)?;
        }
        for (pattern, candidate) in &self.regex {
            if pattern.is_match(path) {
                visit(self, candidate)?;
            }
        }
        let mut begin = self.exact as usize;
        for Length { length, end } in &self.lengths {
            if let Some(prefix) = segments(path, *length as usize) {
                for candidate in self.at(&self.keys[begin..*end as usize], prefix) {
                    visit(self, candidate)?;
                }
            }
            begin = *end as usize;
        }
        ControlFlow::Continue(())
    }

    fn at(&self, keys: &[Key], path: &[u8]) -> &[Candidate] {
        if keys.is_empty() {
            return &[];
        }
        let hash = hash(path);
        let text = |key: &Key| &self.text[key.start as usize..][..key.length as usize];
        match keys.binary_search_by(|key| key.hash.cmp(&hash).then_with(|| text(key).cmp(path))) {
            Ok(index) => &self.candidates[keys[index].first as usize..][..keys[index].count as usize],
            Err(_) => &[],
        }
    }
}

/// The arrays of a host while they grow. A configuration file is far smaller than what 32 bits count.
#[derive(Default)]
struct Arrays {
    text: Vec<u8>,
    candidates: Vec<Candidate>,
}

impl Arrays {
    /// One key per path; equal paths stand next to each other.
    fn add(&mut self, sorted: Vec<(Arc<str>, Candidate)>) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        let mut last: Option<Arc<str>> = None;
        for (path, candidate) in sorted {
            let first = self.candidates.len() as u32;
            self.candidates.push(candidate);
            match keys.last_mut().filter(|_| last.as_ref() == Some(&path)) {
                Some(key) => key.count += 1,
                None => {
                    let start = self.text.len() as u32;
                    self.text.extend_from_slice(path.as_bytes());
                    let hash = hash(path.as_bytes());
                    keys.push(Key { hash, start, length: path.len() as u32, first, count: 1 });
                }
            }
            last = Some(path);
        }
        keys
    }

    fn text_of(&self, key: &Key) -> &[u8] {
        &self.text[key.start as usize..][..key.length as usize]
    }
}

/// Spreads paths, eight bytes at a time. Clients gain nothing by collisions: equal hashes only cost a look at a text more.
fn hash(path: &[u8]) -> u32 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(SPREAD);
    let (words, rest) = path.as_chunks::<8>();
    let hash = words.iter().fold(path.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    // The upper half has been reached by every byte.
    (mix(hash, last) >> 32) as u32
}

/// Whether a path fits, without an index.
pub(crate) fn path_matches(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(exact) => path == &**exact,
        PathMatch::Regex(pattern) => pattern.is_match(path.as_bytes()),
        PathMatch::Prefix(prefix) => segments(path.as_bytes(), prefix.len()) == Some(prefix.as_bytes()),
    }
}

/// The first `length` bytes of a path if whole segments end there: `/a` of `/a` and `/a/b`, not of `/ab`. The root is
/// the one prefix that ends with its slash.
fn segments(path: &[u8], length: usize) -> Option<&[u8]> {
    let (prefix, rest) = path.split_at_checked(length)?;
    (rest.is_empty() || rest[0] == b'/' || length == 1).then_some(prefix)
}
