//! The checks of the fuzz targets on the stable toolchain: all their seeds, and bounded random changes of them.

#[path = "../../../tests/fuzz/checks/mod.rs"]
mod checks;

use std::path::{Path, PathBuf};

use checks::round_trip::Random;

/// Changed inputs for each target.
const CHANGED: usize = 3000;
/// Of which a hundredth passes.
const CHANGED_FOR_OTHERS: usize = 60_000;

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| (path.clone(), std::fs::read(path).expect("a readable file")))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

/// Bytes that mean something to one parser or another.
const TELLING: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"\x0b",
    b"_",
    b"-",
    b",",
    b";",
    b"0",
    b"f",
    b"\xff",
    b"\r\n\r\n",
    b"\r\n ",
    b"chunked",
    b"content-length: 1\r\n",
    b"transfer-encoding: chunked\r\n",
    b"host: b\r\n",
    b"HTTP/1.1",
    b"../",
    b"%2f",
    b"%00",
    b"\\",
    b"@",
    b"\"",
    b"[",
    b"]",
];

/// A seed with some of it replaced, removed, repeated or taken from another one.
fn changed(seeds: &[(PathBuf, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].1.clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(8)).min(bytes.len());
        match random.below(4) {
            0 => drop(bytes.splice(at..to, [])),
            1 => drop(bytes.splice(at..at, TELLING[random.below(TELLING.len())].iter().copied())),
            2 => drop(bytes.splice(at..to, TELLING[random.below(TELLING.len())].iter().copied())),
            _ => {
                let other = &seeds[random.below(seeds.len())].1;
                let from = random.below(other.len() + 1);
                bytes.splice(at..to, other[from..].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn every_check_holds_for_its_seeds() {
    for (target, check) in checks::CHECKS {
        for (path, seed) in seeds(target) {
            println!("{}", path.display());
            check(&seed);
        }
    }
}

#[test]
fn every_check_holds_for_changed_seeds() {
    for (target, check) in checks::CHECKS {
        let (seeds, mut random) = (seeds(target), Random(0x9e37_79b9_7f4a_7c15));
        for _ in 0..CHANGED {
            let bytes = changed(&seeds, &mut random);
            // Shown only if the check fails.
            println!("{target}: {:?}", String::from_utf8_lossy(&bytes));
            check(&bytes);
        }
    }
}

/// One of what passes the gate, and how it is read, as a line of JSON; `None` where nothing whole passes.
fn reading(bytes: &[u8]) -> Option<String> {
    let (passed, readings) = checks::gate::accepted(bytes);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // Other parsers stop at the request that ends its connection: how many there are up to it.
    let ends = readings.iter().position(|reading| {
        let options = reading.all("connection").concat().to_ascii_lowercase();
        reading.minor_version == 0 || options.windows(5).any(|word| word == b"close")
    });
    let whole = readings.iter().filter(|reading| reading.is_whole);
    let requests: Vec<_> =
        whole.map(|one| format!("[{:?}, {:?}, \"{}\"]", one.method, one.target, hex(&one.body))).collect();
    let ends = ends.map_or(0, |at| at + 1);
    let forwarded = checks::reading::forwarded(readings.iter().filter(|reading| reading.is_whole));
    (!requests.is_empty()).then(|| {
        format!(
            "{{\"bytes\": \"{}\", \"forwarded\": \"{}\", \"ends\": {ends}, \"requests\": [{}]}}",
            hex(passed),
            hex(&forwarded),
            requests.join(", ")
        )
    })
}

/// What passes, for other parsers to read: `tests/fuzz/agree` compares.
#[test]
fn readings_are_left_for_other_parsers() {
    let (seeds, mut random) = (seeds("gate"), Random(0x0123_4567_89ab_cdef));
    let of_seeds = seeds.iter().filter_map(|(_, seed)| reading(seed)).collect::<Vec<_>>();
    let of_changed = (0..CHANGED_FOR_OTHERS).filter_map(|_| reading(&changed(&seeds, &mut random)));
    let mut readings: Vec<_> = of_seeds.into_iter().chain(of_changed).collect();
    readings.sort();
    readings.dedup();
    assert!(readings.len() > 300, "{} readings", readings.len());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gate-readings.jsonl");
    std::fs::write(path, readings.join("\n")).expect("a writable folder");
}

#[test]
fn every_folder_of_seeds_has_a_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds");
    for entry in std::fs::read_dir(folder).expect("seeds") {
        let name = entry.expect("a readable folder").file_name();
        assert!(checks::CHECKS.iter().any(|(target, _)| name.to_str() == Some(target)), "{name:?}");
    }
}
