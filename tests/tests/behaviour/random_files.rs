//! Whatever is done to the files of a directory, in whatever order: what serves was wholly there, and what is there in the end
//! serves soon.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateway_tests::{Gateway, LIMIT, Origin, pause, wasm};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Never touched, so that the directory is never without any filter.
const ANCHOR: &str = "anchor";

/// What should be, told by who does it.
struct Model {
    directory: PathBuf,
    random: Random,
    /// What each filter's file holds now; None if there is none.
    now: BTreeMap<&'static str, Option<Vec<u8>>>,
    /// Modules that each filter's file wholly held at some time, by their versions.
    whole: BTreeMap<&'static str, BTreeSet<String>>,
    steps: u64,
}

/// Numbers that only seem to be without order.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A filter that does nothing, at the given length; each number another one.
fn module(number: u64, bytes: usize) -> Vec<u8> {
    let headers =
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#;
    let text = format!(r#"{headers} (@custom "padding" "{number}{}")"#, "-".repeat(bytes));
    wasm::small("", &text)
}

fn version(module: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(module)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Model {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.wasm"))
    }

    fn moment(&mut self) {
        let time = self.random.below(120);
        pause(Duration::from_millis(time));
    }

    /// One thing that happens to the directory.
    fn step(&mut self) {
        self.steps += 1;
        let name = NAMES[self.random.below(3) as usize];
        // A part of it never ends where a whole module would.
        let size = 1_000 + self.random.below(100_000) as usize;
        let fresh = module(self.steps, size);
        match self.random.below(9) {
            0 | 1 => self.rename_over(name, fresh),
            2 => self.copy_slowly(name, fresh),
            3 => self.overwrite(name, fresh),
            4 => self.swap_link(name, fresh),
            5 => self.delete(name),
            6 => self.replace_directory(),
            7 => self.lose_directory(),
            _ => self.clutter(),
        }
    }

    fn holds(&mut self, name: &'static str, content: Option<Vec<u8>>) {
        if let Some(content) = &content {
            self.whole.entry(name).or_default().insert(version(content));
        }
        self.now.insert(name, content);
    }

    fn rename_over(&mut self, name: &'static str, content: Vec<u8>) {
        let beside = self.directory.join(".new");
        fs::write(&beside, &content).expect("a writable folder");
        // Before it happens: it may be seen at once.
        self.holds(name, Some(content));
        fs::rename(beside, self.path(name)).expect("a writable folder");
    }

    /// In three parts, with time between.
    fn copy_slowly(&mut self, name: &'static str, content: Vec<u8>) {
        // Not through a link to what others have.
        let _ = fs::remove_file(self.path(name));
        let mut file = fs::File::create(self.path(name)).expect("a writable folder");
        let parts = content.chunks(content.len() / 3 + 1);
        for part in parts.clone().take(parts.len() - 1) {
            file.write_all(part).expect("room");
            self.moment();
        }
        self.holds(name, Some(content.clone()));
        file.write_all(parts.last().unwrap_or_default()).expect("room");
    }

    fn overwrite(&mut self, name: &'static str, content: Vec<u8>) {
        self.holds(name, Some(content.clone()));
        fs::write(self.path(name), content).expect("room");
    }

    /// As Kubernetes does it: files are links into a folder that is itself behind a link.
    fn swap_link(&mut self, name: &'static str, content: Vec<u8>) {
        let folder = self.directory.join(format!("..data-{}", self.steps));
        fs::create_dir(&folder).expect("a writable folder");
        fs::write(folder.join("module"), &content).expect("room");
        let beside = self.directory.join("..link");
        symlink(folder.join("module"), &beside).expect("a writable folder");
        self.holds(name, Some(content));
        fs::rename(beside, self.path(name)).expect("a writable folder");
    }

    fn delete(&mut self, name: &'static str) {
        self.holds(name, None);
        // It may not be there.
        let _ = fs::remove_file(self.path(name));
    }

    /// Another directory with the same in it, in its place.
    fn replace_directory(&mut self) {
        let other = self.directory.with_extension(format!("other-{}", self.steps));
        assert!(
            Command::new("cp").arg("-a").arg(&self.directory).arg(&other).status().expect("cp").success()
        );
        fs::rename(&self.directory, self.directory.with_extension(format!("old-{}", self.steps)))
            .expect("ours");
        self.moment();
        fs::rename(other, &self.directory).expect("ours");
    }

    /// As when a mount fails, for a moment.
    fn lose_directory(&mut self) {
        let elsewhere = self.directory.with_extension("elsewhere");
        fs::rename(&self.directory, &elsewhere).expect("ours");
        self.moment();
        fs::rename(elsewhere, &self.directory).expect("ours");
    }

    /// What is no filter, and must not be waited for.
    fn clutter(&mut self) {
        let path = self.directory.join(format!("clutter-{}.wasm", self.steps));
        match self.random.below(4) {
            0 => assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success()),
            1 => fs::create_dir(&path).expect("a writable folder"),
            2 => symlink("/nowhere", &path).expect("a writable folder"),
            _ => symlink("/dev/zero", &path).expect("a writable folder"),
        }
    }
}

fn live(gateway: &Gateway, name: &str) -> Option<String> {
    gateway.filter(name).map(|filter| filter.version).filter(|version| !version.is_empty())
}

/// Panics if something serves that never was; whether what serves is what is there.
fn look(gateway: &Gateway, model: &Model) -> bool {
    let mut is_settled = true;
    for name in NAMES {
        let live = live(gateway, name);
        let expected = model.now.get(name).cloned().flatten().map(|content| version(&content));
        if let Some(live) = &live {
            let was_there = model.whole.get(name).is_some_and(|versions| versions.contains(live));
            assert!(
                was_there,
                "after step {}: {name} serves {live}, which never was wholly there",
                model.steps
            );
        }
        is_settled &= live == expected;
    }
    is_settled
}

fn run(seed: u64, rounds: u32, limit: Duration) -> Duration {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter(ANCHOR, &module(0, 10), "").start();
    let mut model = Model {
        directory: gateway.filters_directory(),
        random: Random(seed),
        now: BTreeMap::new(),
        whole: BTreeMap::new(),
        steps: 0,
    };
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        for _ in 0..=model.random.below(8) {
            model.step();
            look(&gateway, &model);
            if model.random.below(2) == 0 {
                model.moment();
            }
        }
        let since = Instant::now();
        while !look(&gateway, &model) {
            let told = gateway.admin_get("/filters").text();
            assert!(since.elapsed() < limit, "seed {seed}, round {round}: not within {limit:?}\n{told}");
            pause(Duration::from_millis(10));
        }
        slowest = slowest.max(since.elapsed());
        assert!(live(&gateway, ANCHOR).is_some(), "seed {seed}, round {round}: the untouched one is gone");
        assert_eq!(gateway.get("/").status, 200);
    }
    slowest
}

#[test]
fn what_serves_was_wholly_there_and_what_is_there_in_the_end_serves() {
    run(0x9E37_79B9_7F4A_7C15, 8, LIMIT);
}

/// By hand, with nothing else running: `-- --ignored --nocapture long_schedules`.
#[test]
#[ignore = "takes minutes, and measures"]
fn long_schedules_of_file_operations_lose_nothing_for_more_than_two_seconds() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is right");
    let seed = now.as_nanos() as u64;
    for number in 1..=10 {
        let seed = seed.wrapping_mul(number) | 1;
        println!("seed {seed}: {:?} at most after the last change", run(seed, 30, Duration::from_secs(2)));
    }
}

#[test]
fn a_hundred_filters_at_once_are_all_taken_up() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    put_many(&gateway.filters_directory(), 100);
    gateway_tests::eventually("all are live", || live_count(&gateway) == 100);
}

/// By hand: how long a thousand take.
#[test]
#[ignore = "takes a minute, and measures"]
fn a_thousand_filters_at_once() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    put_many(&gateway.filters_directory(), 1_000);
    let begun = Instant::now();
    while live_count(&gateway) < 1_000 {
        assert!(begun.elapsed() < Duration::from_secs(300), "{} are live", live_count(&gateway));
        assert_eq!(gateway.get("/").status, 200);
        pause(Duration::from_millis(100));
    }
    println!("1,000 filters at once: all live after {:?}", begun.elapsed());
}

fn put_many(directory: &Path, count: u64) {
    for number in 0..count {
        fs::write(directory.join(format!("filter-{number}.wasm")), module(number, 10)).expect("room");
    }
}

fn live_count(gateway: &Gateway) -> usize {
    gateway.admin_get("/filters").text().matches("\"state\": \"live\"").count()
}
