//! The matrix of `docs/proxy-wasm.md`: every case, whether it holds here and elsewhere, and why where it does not. What it
//! says of this project was seen a moment ago, what it says of others was recorded.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::case::{Case, Mode, cases};
use crate::outcome::Verdict;
use crate::{gateway, in_process};

const ENVOY: &str = include_str!("../recorded/envoy-1.40.0.txt");
const HEAD: &str = include_str!("matrix.md");
/// Cases that are run at the same time, most of them with a gateway of their own.
const AT_ONCE: usize = 4;

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
        let how =
            if let Verdict::Fails(how) = verdict { how.replace(['\n', '\t'], " ") } else { String::new() };
        let line = format!("{}\t{}\t{how}", verdict.word(), case.id());
        let _ = writeln!(text, "{}", line.trim_end());
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

/// One case, as it went here.
pub struct Row {
    /// The case.
    pub case: Case,
    /// In this process, against the host crate.
    pub host: Verdict,
    /// Through the gateway, over sockets.
    pub gateway: Verdict,
}

/// Runs every case, in each way that it can be run here.
///
/// # Panics
/// If a thread that runs cases does.
#[must_use]
pub fn run() -> Vec<Row> {
    let cases = cases();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(at) else { break };
                    let row = row(case.clone());
                    rows.lock().expect("no thread panics while it holds this").push((at, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no thread panics while it holds this");
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn row(case: Case) -> Row {
    let host = match case.runs_in(Mode::Host) {
        true => Verdict::of(&case, &in_process::run(&case, None)),
        false => Verdict::Skipped,
    };
    let gateway = if case.runs_in(Mode::Gateway) { gateway::run(&case) } else { Verdict::Skipped };
    Row { case, host, gateway }
}

/// The whole matrix.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let envoy = recorded();
    let (mut host, mut gateway, mut other) = (Score::default(), Score::default(), Score::default());
    let (mut table, mut subject) = (String::new(), "");
    for Row { case, host: in_process, gateway: through } in rows {
        if case.subject != subject {
            subject = &case.subject;
            let _ = write!(
                table,
                "\n### [`{subject}`](../tests/abi/cases/{subject}.wat)\n\n\
                 | what must be | host crate | gateway | Envoy 1.40 |\n|---|---|---|---|\n"
            );
        }
        let word = match envoy.get(&case.id()[..]) {
            Some((word, _)) => word,
            None => "skipped",
        };
        let cells = [
            host.count(case, Mode::Host, in_process.word()),
            gateway.count(case, Mode::Gateway, through.word()),
            other.count(case, Mode::Other, word),
        ];
        let _ = writeln!(table, "| {} ({}) | {} |", cell(&case.name), cell(&case.cites), cells.join(" | "));
    }
    let head = HEAD
        .replace("{{host}}", &host.to_string())
        .replace("{{gateway}}", &gateway.to_string())
        .replace("{{other}}", &other.to_string());
    head + &table
}

/// How many hold of those that were run.
#[derive(Default)]
struct Score {
    holds: u32,
    of: u32,
}

impl Score {
    /// Counts what came of a case; answers what is written of it.
    fn count(&mut self, case: &Case, mode: Mode, word: &str) -> String {
        self.of += u32::from(word != "skipped");
        self.holds += u32::from(word == "holds");
        match (word, mode) {
            ("holds", _) => "yes".to_owned(),
            ("differs", Mode::Other) => format!("no: {}", case.differs),
            ("differs", _) => "no".to_owned(),
            _ => {
                let reason = case.not.iter().find(|(excluded, _)| *excluded == mode);
                format!("not run: {}", reason.map_or("", |(_, reason)| reason))
            }
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.holds, self.of)
    }
}

/// Cases that Envoy was seen to do otherwise, and of which nothing says why.
#[must_use]
pub fn unexplained() -> Vec<String> {
    let envoy = recorded();
    let differs = |case: &Case| matches!(envoy.get(&case.id()[..]), Some(("differs", _)));
    cases().iter().filter(|case| differs(case) && case.differs.is_empty()).map(Case::id).collect()
}

/// Cases that have a reason for a difference that was not seen.
#[must_use]
pub fn unseen() -> Vec<String> {
    let envoy = recorded();
    let differs = |case: &Case| matches!(envoy.get(&case.id()[..]), Some(("differs", _)));
    cases().iter().filter(|case| !differs(case) && !case.differs.is_empty()).map(Case::id).collect()
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
