//! Fixtures in, reports and resolved models out; and inputs that must only ever produce a report.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// What a fixture turns into: the resolved model, or the report.
fn outcome(path: &Path) -> (bool, String) {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let shown = if name.starts_with("filter-") {
        parse_manifest(&text, name).map(|mut manifest| {
            let config = String::from_utf8(std::mem::take(&mut manifest.config)).unwrap();
            format!(
                "{manifest:#?}
with the config {config:?}"
            )
        })
    } else {
        parse_text(&text, name, Path::new("/etc/gateway")).map(|config| format!("{config:#?}"))
    };
    match shown {
        Ok(model) => (true, model + "\n"),
        Err(report) => (false, report.to_string() + "\n"),
    }
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// `BLESS=1` writes what is instead of comparing.
fn check(folder: &str, good: bool) {
    for path in fixtures(folder) {
        let (is_good, shown) = outcome(&path);
        assert_eq!(is_good, good, "{}:\n{shown}", path.display());
        let expected = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, shown).unwrap();
        } else {
            assert_eq!(shown, fs::read_to_string(&expected).unwrap_or_default(), "{}", path.display());
        }
    }
}

#[test]
fn good_fixtures_resolve_as_recorded() {
    check("good", true);
}

#[test]
fn bad_fixtures_report_as_recorded() {
    check("bad", false);
}

#[test]
fn every_error_of_a_file_is_reported_at_its_place() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bad/unknown-fields.yaml");
    let report = load(&path).unwrap_err();
    let found: Vec<_> =
        report.iter().map(|error| (error.place.clone().unwrap().line, error.message.as_str())).collect();
    assert_eq!(
        found,
        [
            (1, "unknown field `worker` at the top level"),
            (5, "unknown field `head_read` in listeners[0].limits"),
            (5, "unknown field `maxBody` in listeners[0].limits"),
            (9, "unknown field `pathprefix` in routes[0].match[0]"),
            (10, "unknown field `timout` in routes[0]"),
            (12, "unknown field `retries` in routes[0]"),
            (15, "unknown field `endpoint` in upstreams.reviews"),
            (16, "unknown field `connect-timeout` in upstreams.reviews"),
            (17, "unknown field `tls` at the top level"),
        ]
    );
}

#[test]
fn load_joins_relative_paths_to_the_folder_of_the_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/good/complete.yaml");
    let config = load(&path).unwrap();
    assert_eq!(config.filters.directory.unwrap(), path.parent().unwrap().join("filters"));
    assert_eq!(config.access_log.to, AccessLogTarget::File(path.parent().unwrap().join("logs/access.log")));
}

#[test]
fn default_manifest_equals_an_empty_one() {
    assert_eq!(Manifest::default_for("jwt-auth"), parse_manifest("", "jwt-auth.yaml").unwrap());
}

/// xorshift with a fixed seed: the same bytes in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[test]
fn damaged_files_give_a_model_or_a_report_and_never_panic() {
    let mut reports = 0;
    let mut try_text = |text: &str| {
        if let Err(report) = parse_text(text, "damaged.yaml", Path::new("")) {
            reports += 1;
            assert!(report.iter().count() > 0);
            assert!(report.to_string().starts_with("error: "));
        }
        if let Err(report) = parse_manifest(text, "damaged.yaml") {
            assert!(report.to_string().starts_with("error: "));
        }
    };
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for path in fixtures("good") {
        let good = fs::read(&path).unwrap();
        for length in 0..good.len() {
            try_text(&String::from_utf8_lossy(&good[..length]));
        }
        for _ in 0..400 {
            let mut bytes = good.clone();
            for _ in 0..=noise.below(3) {
                let at = noise.below(bytes.len());
                // Half of the damage is of the kind that YAML reads something into.
                let signs = b"{}[]:,-?&*!|>'\"%@`# \n\t\0~<.0";
                bytes[at] = if noise.below(2) == 0 {
                    signs[noise.below(signs.len())]
                } else {
                    noise.below(256) as u8
                };
            }
            try_text(&String::from_utf8_lossy(&bytes));
        }
    }
    assert!(reports > 1_000, "only {reports} of the damaged texts were refused");
}
