//! Every line pushed is either in the file or counted as lost.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

fn line(path: &str) -> AccessLine<'_> {
    AccessLine {
        start_unix_ns: 0,
        method: "GET",
        path,
        status: 200,
        reason: "via_upstream",
        downstream_remote: "192.0.2.1:5000",
        downstream_peer: Some("spiffe://example/ns/web"),
        ..AccessLine::UNKNOWN
    }
}

fn start(path: &Path) -> io::Result<AccessLogSink> {
    AccessLogSink::start(Target::File(path.to_owned()), Format::Text, Registry::new())
}

fn file_in(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("access.log")
}

fn lines_of(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("log file").lines().map(str::to_owned).collect()
}

/// A FIFO, and its reading end, which does not wait for a writer.
fn fifo(directory: &tempfile::TempDir) -> (PathBuf, File) {
    let path = file_in(directory);
    mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0).expect("FIFO");
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let reader = OpenOptions::new().read(true).custom_flags(flags).open(&path).expect("reader");
    rustix::fs::fcntl_setfl(&reader, OFlags::empty()).expect("blocking reader");
    (path, reader)
}

#[test]
fn all_lines_of_all_workers_arrive_whole_and_in_order() {
    const WORKERS: usize = 4;
    const LINES: usize = 2_000;
    let directory = tempfile::tempdir().expect("directory");
    let sink = start(&file_in(&directory)).expect("started");
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let log = sink.worker();
            scope.spawn(move || (0..LINES).for_each(|n| log.push(&line(&format!("/{worker}/{n}")))));
        }
    });
    let registry = Arc::clone(&sink.registry);
    assert_eq!(sink.dropped_lines(), 0);
    sink.shutdown().expect("all written");
    let lines = lines_of(&file_in(&directory));
    assert_eq!(lines.len(), WORKERS * LINES);
    for worker in 0..WORKERS {
        let own = format!("\"GET /{worker}/");
        let expected = (0..LINES).map(|n| format!("{own}{n} HTTP/1.1\""));
        let found = lines.iter().filter(|line| line.contains(&own)).cloned();
        assert!(found.zip(expected).all(|(line, expected)| line.contains(&expected)));
    }
    assert_eq!(registry.counter_total(&ACCESS_LOG_DROPPED, &[]), 0);
}

#[test]
fn a_flush_brings_a_single_line_to_the_file() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, reader) = fifo(&directory);
    let sink = start(&path).expect("started");
    let log = sink.worker();
    log.push(&line("/one"));
    log.flush();
    let mut first = String::new();
    io::BufReader::new(reader).read_line(&mut first).expect("a line, while everything still runs");
    assert!(first.contains("\"GET /one HTTP/1.1\""));
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_every_one_is_counted() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, reader) = fifo(&directory);
    let sink = start(&path).expect("started");
    let log = sink.worker();
    let long = "x".repeat(4_000);
    let mut pushed = 0_u64;
    while sink.dropped_lines() == 0 {
        assert!(pushed < 10_000, "the channel must be bounded");
        log.push(&line(&long));
        pushed += 1;
    }
    let rest =
        std::thread::spawn(move || io::BufReader::new(reader).lines().map_while(Result::ok).count() as u64);
    drop(log);
    let registry = Arc::clone(&sink.registry);
    sink.shutdown().expect("written once somebody reads");
    let dropped = registry.counter_total(&ACCESS_LOG_DROPPED, &[]);
    assert!(dropped > 0);
    assert_eq!(rest.join().expect("reader") + dropped, pushed);
}

#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, _reader) = fifo(&directory);
    let sink = start(&path).expect("started");
    let log = sink.worker();
    let long = "x".repeat(MAX_SPARE_BUFFER_BYTES);
    (0..20).for_each(|_| log.push(&line(&long)));
    let error = sink.shutdown_within(Duration::from_millis(20)).expect_err("nobody reads");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_pipe_without_a_reader_is_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, reader) = fifo(&directory);
    drop(reader);
    assert!(start(&path).is_err());
    assert!(start(&directory.path().join("no/such/directory.log")).is_err());
}

#[test]
fn a_reader_that_goes_away_costs_lines_only() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, reader) = fifo(&directory);
    let sink = start(&path).expect("started");
    drop(reader);
    let log = sink.worker();
    for _ in 0..3 {
        log.push(&line("/"));
        log.flush();
    }
    drop(log);
    let registry = Arc::clone(&sink.registry);
    sink.shutdown().expect("nothing to wait for");
    assert_eq!(registry.counter_total(&ACCESS_LOG_DROPPED, &[]), 3);
}

#[test]
fn a_full_disk_costs_lines_and_every_one_is_counted() {
    let sink = start(Path::new("/dev/full")).expect("started");
    let log = sink.worker();
    (0..500).for_each(|_| log.push(&line("/")));
    drop(log);
    let registry = Arc::clone(&sink.registry);
    sink.shutdown().expect("nothing to wait for");
    assert_eq!(registry.counter_total(&ACCESS_LOG_DROPPED, &[]), 500);
}

#[test]
fn rotation_loses_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, old) = (file_in(&directory), directory.path().join("access.log.1"));
    let sink = start(&path).expect("started");
    let log = sink.worker();
    log.push(&line("/before"));
    log.flush();
    fs::rename(&path, &old).expect("rotated");
    sink.reopen();
    (0..1_000).for_each(|_| log.push(&line("/after")));
    drop(log);
    sink.shutdown().expect("all written");
    let (old, new) = (lines_of(&old), lines_of(&path));
    assert_eq!(old.len() + new.len(), 1_001);
    let after = |lines: &[String]| lines.iter().filter(|line| line.contains("/after")).count();
    assert_eq!(after(&old) + after(&new), 1_000);
    assert!(after(&old) == 0, "what is pushed after the reopening goes to the new file");
}

#[test]
fn the_sink_can_be_shared_and_stopped_more_than_once() {
    fn shareable<T: Send + Sync>(value: T) -> T {
        value
    }
    let directory = tempfile::tempdir().expect("directory");
    let sink = shareable(start(&file_in(&directory)).expect("started"));
    sink.shutdown().expect("nothing to write");
    sink.shutdown().expect("has ended");
    sink.worker().push(&line("/late"));
    assert_eq!(sink.dropped_lines(), 1, "a line after the end is counted as lost");
}

#[test]
fn an_existing_file_is_appended_to() {
    let directory = tempfile::tempdir().expect("directory");
    fs::write(file_in(&directory), "old\n").expect("written");
    let sink = start(&file_in(&directory)).expect("started");
    sink.worker().push(&line("/new"));
    sink.shutdown().expect("all written");
    let lines = lines_of(&file_in(&directory));
    assert_eq!((lines.len(), lines[0].as_str()), (2, "old"));
}

#[test]
fn buffers_are_used_again() {
    let directory = tempfile::tempdir().expect("directory");
    let sink = start(&file_in(&directory)).expect("started");
    let log = sink.worker();
    log.push(&line("/"));
    let address = log.pending.borrow().bytes.as_ptr();
    log.flush();
    // Written at once, it is in use again already; else it comes back.
    let reused = log.pending.borrow().bytes.as_ptr() == address;
    if !reused {
        let spare = log.spares.recv().expect("comes back once written");
        assert_eq!((spare.as_ptr(), spare.len()), (address, 0));
    }
}
