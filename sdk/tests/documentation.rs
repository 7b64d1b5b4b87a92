//! Keeps the tutorial true: the code that it shows is code that is compiled and tested.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_tutorial_shows_the_example_that_is_tested() {
    let page = read("docs/filters/tutorial.md");
    let blocks: String = page
        .split("```rust\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(blocks, read("sdk/examples/plan.rs"), "docs/filters/tutorial.md and sdk/examples/plan.rs");
}
