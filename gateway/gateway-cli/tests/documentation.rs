//! Keeps the documentation true: every configuration and manifest that it shows, and every example, is valid.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic like the test itself")]

use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The fenced YAML blocks of a Markdown file.
fn yaml_blocks(file: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join(file)).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let blocks: Vec<String> = blocks.collect();
    assert!(!blocks.is_empty(), "{file} has no YAML block");
    blocks
}

fn assert_config(name: &str, text: &str) {
    if let Err(report) = gateway_config::parse_text(text, name, Path::new("")) {
        panic!("{report}");
    }
}

fn assert_manifest(name: &str, text: &str) {
    if let Err(report) = gateway_config::parse_manifest(text, name) {
        panic!("{report}");
    }
}

#[test]
fn the_configuration_in_the_readme_is_valid() {
    for block in yaml_blocks("README.md") {
        assert_config("README.md", &block);
    }
}

#[test]
fn the_sections_of_the_configuration_guide_make_one_valid_configuration() {
    assert_config("docs/configuration.md", &yaml_blocks("docs/configuration.md").concat());
}

#[test]
fn the_manifests_that_are_shown_are_valid() {
    for file in ["docs/filters.md", "gateway/gateway-cli/src/commands/init/filters-README.md"] {
        for block in yaml_blocks(file) {
            assert_manifest(file, &block);
        }
    }
    for filter in ["deny-list", "jwt-auth", "quota", "rate-limit", "request-stats"] {
        for block in yaml_blocks(&format!("filters/{filter}/README.md")) {
            assert_manifest(filter, &block);
        }
        for block in yaml_blocks(&format!("docs/filters/{filter}.md")) {
            assert_manifest(filter, &block);
        }
    }
}

#[test]
fn the_tutorial_shows_a_valid_manifest_and_then_a_valid_configuration() {
    let blocks = yaml_blocks("docs/filters/tutorial.md");
    let [manifest, config] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    assert_config("docs/filters/tutorial.md", config);
    assert_manifest("docs/filters/tutorial.md", manifest);
}

#[test]
fn every_example_is_valid_and_has_a_readme() {
    let mut seen = 0;
    for example in fs::read_dir(repository().join("examples")).unwrap() {
        let directory = example.unwrap().path();
        assert!(directory.join("README.md").is_file(), "{}", directory.display());
        if let Err(report) = gateway_config::load(&directory.join("gateway.yaml")) {
            panic!("{report}");
        }
        seen += 1;
        for manifest in fs::read_dir(directory.join("filters")).into_iter().flatten() {
            let path = manifest.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                assert_manifest(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(seen >= 3, "only {seen} examples");
}

#[test]
fn links_inside_the_repository_lead_somewhere() {
    let files = [
        "README.md",
        "SECURITY.md",
        "docs/admin.md",
        "docs/command-line.md",
        "docs/configuration.md",
        "docs/filters.md",
        "docs/filters/api-key.md",
        "docs/filters/deny-list.md",
        "docs/filters/from-envoy.md",
        "docs/filters/jwt-auth.md",
        "docs/filters/quota.md",
        "docs/filters/rate-limit.md",
        "docs/filters/request-stats.md",
        "docs/filters/tutorial.md",
        "docs/filters/writing.md",
        "docs/proxy-wasm.md",
        "docs/security.md",
    ];
    for file in files {
        let path = repository().join(file);
        let text = fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if target.starts_with("https://") {
                continue;
            }
            let (page, heading) = target.split_once('#').unwrap_or((target, ""));
            let page = if page.is_empty() { path.clone() } else { path.parent().unwrap().join(page) };
            assert!(page.exists(), "{file} links to {target}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&page).unwrap();
                let has_heading = text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(has_heading, "{file} links to {target}");
            }
        }
    }
}

/// What links call a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
