//! Filters of a real directory, without workers: what is proposed, what stands in, and what is told.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use gateway_config::FailurePolicy;
use proxy_wasm_host::Engine;
use tempfile::TempDir;

use super::*;
use crate::compile::{Compile, Compiling};

struct Site {
    directory: TempDir,
    config: Config,
    process: Arc<Process>,
    filters: Filters,
}

impl Site {
    fn expecting(filters: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "listeners: [{{name: web, bind: '127.0.0.1:0'}}]\nroutes: [{{name: app, respond: {{status: 200}}}}]\n\
             filters: {{directory: '{}', expect: [{filters}]}}",
            directory.path().display()
        );
        let config = gateway_config::parse_text(&text, "gateway.yaml", Path::new("")).unwrap();
        let process =
            Process::new(Engine::new().unwrap(), Compile::start(Compiling::InProcess, None).unwrap());
        Self { directory, config, process, filters: Filters::default() }
    }

    /// Writes a file as if it had been there for a while.
    fn put(&self, file: &str, content: &str) {
        let path = self.directory.path().join(file);
        fs::write(&path, content).unwrap();
        let modified = SystemTime::now() - Duration::from_secs(60);
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.directory.path().join(file)).unwrap();
    }

    fn propose(&mut self, is_first: bool) -> Proposal {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().build_local(tokio::runtime::LocalOptions::default()).unwrap();
        runtime.block_on(self.filters.propose(&self.process, &self.config, is_first))
    }

    /// Proposes and accepts; failure policy and routes of each filter.
    fn take(&mut self, is_first: bool) -> Vec<(String, FailurePolicy, Vec<String>)> {
        let proposal = self.propose(is_first);
        self.filters.accept(&self.process, proposal);
        let shown = |spec: Arc<FilterSpec>| {
            assert!(spec.live.is_err());
            let routes = spec.manifest.applies_to.routes.iter().map(ToString::to_string).collect();
            (spec.name.to_string(), spec.manifest.on_failure, routes)
        };
        self.filters.specs().into_iter().map(shown).collect()
    }

    fn waiting(&self) -> Vec<String> {
        self.filters.waiting(&self.config).iter().map(ToString::to_string).collect()
    }

    fn failures(&self, filter: &str) -> u64 {
        let registry = &self.process.registry;
        let at =
            |gate: &Gate| registry.counter_total(&families::FILTER_LOAD_FAILURES, &[filter, gate.code()]);
        Gate::ALL.iter().map(at).sum()
    }
}

fn policy(filter: &str, policy: FailurePolicy, routes: &[&str]) -> (String, FailurePolicy, Vec<String>) {
    (filter.to_owned(), policy, routes.iter().map(ToString::to_string).collect())
}

#[test]
fn an_expected_filter_without_its_module_answers_as_its_manifest_says() {
    let mut site = Site::expecting("auth");
    site.put("auth.yaml", "match: {routes: [app]}\nonFailure: open");
    assert_eq!(site.take(true), [policy("auth", FailurePolicy::Open, &["app"])]);
    assert_eq!(site.waiting(), ["filter auth: auth.wasm must be there but is not in the filter directory"]);
    assert!(!site.propose(false).changed);

    site.put("auth.yaml", "match: {routes: [app]}");
    assert_eq!(site.take(false), [policy("auth", FailurePolicy::Closed, &["app"])]);
    for (step, text) in [("broken", Some("match: [")), ("gone", None)] {
        match text {
            Some(text) => site.put("auth.yaml", text),
            None => site.remove("auth.yaml"),
        }
        assert_eq!(site.take(false), [policy("auth", FailurePolicy::Closed, &["app"])], "{step}");
    }
    site.put("auth.wasm", "no module");
    assert_eq!(site.take(false), [policy("auth", FailurePolicy::Closed, &["app"])]);
    assert!(site.waiting()[0].contains("not a WebAssembly module"), "{:?}", site.waiting());
}

#[test]
fn an_expected_filter_without_any_file_answers_everywhere() {
    let mut site = Site::expecting("auth");
    assert_eq!(site.take(true), [policy("auth", FailurePolicy::Closed, &[])]);
    assert_eq!(site.waiting().len(), 1);
}

#[test]
fn a_module_that_cannot_be_read_is_named_as_the_reason() {
    let mut site = Site::expecting("auth");
    fs::create_dir(site.directory.path().join("auth.wasm")).unwrap();
    site.put("auth.yaml", "match: {routes: [app]}");
    assert_eq!(site.take(true), [policy("auth", FailurePolicy::Closed, &["app"])]);
    assert!(site.waiting()[0].contains("not a regular file"), "{:?}", site.waiting());
}

#[test]
fn a_required_filter_is_waited_for_and_others_are_not() {
    let mut site = Site::expecting("");
    site.put("lone.yaml", "required: true");
    site.put("broken.yaml", "required: true");
    site.put("broken.wasm", "no module");
    site.put("optional.wasm", "no module");
    site.put("leftover.yaml", "priority: 1");
    site.take(true);
    let waiting: Vec<_> =
        site.filters.waiting(&site.config).into_iter().map(|waiting| waiting.filter).collect();
    assert_eq!(waiting, ["broken", "lone"]);
    site.put("lone.yaml", "required: false");
    site.put("broken.yaml", "required: true\npriority: 1");
    site.take(false);
    assert_eq!(site.waiting().len(), 1, "{:?}", site.waiting());
}

/// Before anything is accepted, the files are looked at again while any of them is being written.
#[test]
fn a_refused_filter_keeps_its_policy_through_all_looks_of_the_start() {
    let mut site = Site::expecting("");
    site.put("auth.wasm", "no module");
    site.propose(true);
    assert_eq!(site.take(true), [policy("auth", FailurePolicy::Closed, &[])]);
    assert_eq!(site.failures("auth"), 1);
}

#[test]
fn ignored_files_are_listed_and_counted_once() {
    let mut site = Site::expecting("");
    site.put("bad name.wasm", "x");
    site.put("auth.yml", "x");
    site.put("alone.yaml", "priority: 1");
    fs::create_dir(site.directory.path().join("folder.wasm")).unwrap();
    site.take(true);
    site.take(false);
    let problems: Vec<_> = site.filters.problems().into_iter().map(|problem| problem.file).collect();
    assert_eq!(problems, ["alone.yaml", "auth.yml", "bad name.wasm", "folder.wasm"]);
    for filter in ["alone", "auth", "bad name", "folder"] {
        assert_eq!(site.failures(filter), 1, "{filter}");
    }
    fs::remove_dir_all(site.directory.path()).unwrap();
    site.take(false);
    let problems = site.filters.problems();
    assert!(problems[0].error.message.starts_with("cannot be read: "), "{problems:?}");
    assert_eq!(problems[0].file, site.directory.path().display().to_string());
}

#[test]
fn what_is_left_of_a_removed_filter_is_no_load_failure() {
    let mut site = Site::expecting("");
    site.put("auth.wasm", "no module");
    site.put("auth.yaml", "priority: 1");
    site.take(true);
    let before = site.failures("auth");
    site.remove("auth.wasm");
    assert_eq!(site.take(false), []);
    assert_eq!(site.filters.problems().len(), 1);
    assert_eq!(site.failures("auth"), before);
}
