//! The matrix of `docs/proxy-wasm.md`: every case, whether it holds here and elsewhere, and why where it does not.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::case::{Case, Mode, cases};
use crate::in_process;
use crate::outcome::Verdict;

const ENVOY: &str = include_str!("../recorded/envoy-1.40.0.txt");
const HEAD: &str = include_str!("matrix.md");

/// Where the matrix stands.
#[must_use]
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proxy-wasm.md")
}

/// The recorded form of a run: a word, the case, and what was otherwise.
#[must_use]
pub fn recording(results: &[(Case, Verdict)]) -> String {
    let mut text = String::new();
    for (case, verdict) in results {
        let _ = match verdict {
            Verdict::Holds => writeln!(text, "holds\t{}", case.id()),
            Verdict::Skipped => writeln!(text, "skipped\t{}", case.id()),
            Verdict::Fails(how) => {
                writeln!(text, "differs\t{}\t{}", case.id(), how.replace(['\n', '\t'], " "))
            }
        };
    }
    text
}

/// Words recorded of Envoy, by case.
fn recorded() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let entry = |line: &'static str| {
        let mut parts = line.split('\t');
        let word = parts.next()?;
        Some((parts.next()?, (word, parts.next().unwrap_or_default())))
    };
    ENVOY.lines().filter_map(entry).collect()
}

/// The whole matrix. Cases that this host crate alone cannot show are shown by the gateway's tests, which must pass.
#[must_use]
pub fn text() -> String {
    let envoy = recorded();
    let mut text = HEAD.to_owned();
    let (mut ours, mut ours_of, mut theirs, mut theirs_of) = (0, 0, 0, 0);
    let mut rows = String::new();
    let mut subject = String::new();
    for case in cases() {
        if case.subject != subject {
            subject.clone_from(&case.subject);
            let _ = write!(
                rows,
                "\n### [`{subject}`](../tests/abi/cases/{subject}.wat)\n\n| what must be | here | Envoy 1.40 |\n|---|---|---|\n"
            );
        }
        let host = if case.runs_in(Mode::Host) {
            Verdict::of(&case, &in_process::run(&case, None)) == Verdict::Holds
        } else {
            case.runs_in(Mode::Gateway)
        };
        ours_of += 1;
        ours += u32::from(host);
        let there = match envoy.get(&case.id()[..]) {
            Some(("holds", _)) => {
                theirs += 1;
                theirs_of += 1;
                "yes".to_owned()
            }
            Some(("differs", _)) => {
                theirs_of += 1;
                format!("no: {}", case.differs)
            }
            _ => {
                let reason = case.not.iter().find(|(mode, _)| *mode == Mode::Other);
                format!("not run: {}", reason.map_or("", |(_, reason)| reason))
            }
        };
        let here = if host { "yes" } else { "no" };
        let _ = writeln!(rows, "| {} ({}) | {here} | {there} |", cell(&case.name), cell(&case.cites));
    }
    text = text
        .replace("{{ours}}", &format!("{ours} of {ours_of}"))
        .replace("{{theirs}}", &format!("{theirs} of {theirs_of}"));
    text.push_str(&rows);
    text
}

/// Cases that Envoy was seen to do otherwise, and of which nothing says why.
#[must_use]
pub fn unexplained() -> Vec<String> {
    let envoy = recorded();
    let differs = |case: &Case| matches!(envoy.get(&case.id()[..]), Some(("differs", _)));
    cases().iter().filter(|case| differs(case) && case.differs.is_empty()).map(Case::id).collect()
}

/// Cases that could be run through Envoy and of which nothing is recorded, and recordings of no case.
#[must_use]
pub fn unrecorded() -> Vec<String> {
    let mut envoy = recorded();
    let mut missing = Vec::new();
    for case in cases() {
        if envoy.remove(&case.id()[..]).is_none() {
            missing.push(case.id());
        }
    }
    missing.extend(envoy.keys().map(|case| (*case).to_owned()));
    missing
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
