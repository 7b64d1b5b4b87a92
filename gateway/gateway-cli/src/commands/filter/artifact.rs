//! Finding the module among the messages of `cargo build --message-format=json` (The Cargo Book, "External tools").

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A module that cargo built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Artifact {
    /// Name of the package: what the filter is called.
    pub(crate) package: String,
    /// Where the module lies.
    pub(crate) path: PathBuf,
}

/// The cdylib of the package at `manifest`; dependencies may build some too. Lines that are not messages of cargo are
/// passed over: build scripts and macros may print to the same stream.
pub(crate) fn find_artifact(messages: &str, manifest: &Path) -> Option<Artifact> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| artifact(&message, manifest))
}

fn artifact(message: &Value, manifest: &Path) -> Option<Artifact> {
    let of_this_package = Path::new(message["manifest_path"].as_str()?) == manifest;
    let cdylib = message["target"]["crate_types"].as_array()?.iter().any(|kind| kind == "cdylib");
    if message["reason"] != "compiler-artifact" || !of_this_package || !cdylib {
        return None;
    }
    let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    let path = files.find(|path| path.extension().is_some_and(|extension| extension == "wasm"))?;
    Some(Artifact { package: package_name(message["package_id"].as_str()?)?.to_owned(), path })
}

/// The name in a package id: `path+file:///work/my-filter#0.1.0` when the directory has the name of the package,
/// `path+file:///work/dir#my-filter@0.1.0` otherwise (The Cargo Book, "Package ID Specifications").
fn package_name(id: &str) -> Option<&str> {
    let (url, fragment) = id.rsplit_once('#')?;
    match fragment.split_once('@') {
        Some((name, _version)) => Some(name),
        None => url.rsplit('/').next(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(manifest: &str, id: &str, kinds: &[&str], files: &[&str]) -> String {
        json!({
            "reason": "compiler-artifact", "package_id": id, "manifest_path": manifest,
            "target": { "crate_types": kinds, "name": "my_filter" }, "filenames": files,
        })
        .to_string()
    }

    const MANIFEST: &str = "/w/my-filter/Cargo.toml";
    const ID: &str = "path+file:///w/my-filter#0.1.0";

    #[test]
    fn finds_the_module_of_the_package_itself() {
        let messages = [
            "warning: printed by a build script".to_owned(),
            message("/w/dep/Cargo.toml", "path+file:///w/dep#0.1.0", &["cdylib", "rlib"], &["/t/dep.wasm"]),
            message(MANIFEST, ID, &["bin"], &["/t/tool.wasm"]),
            message(MANIFEST, ID, &["cdylib", "rlib"], &["/t/libmy_filter.rlib", "/t/my_filter.wasm"]),
            json!({ "reason": "build-finished", "success": true }).to_string(),
        ];
        let found = find_artifact(&messages.join("\n"), Path::new(MANIFEST));
        assert_eq!(found, Some(Artifact { package: "my-filter".into(), path: "/t/my_filter.wasm".into() }));
    }

    #[test]
    fn a_crate_without_a_cdylib_has_no_module() {
        let messages = message(MANIFEST, ID, &["lib"], &["/t/libmy_filter.rlib"]);
        assert_eq!(find_artifact(&messages, Path::new(MANIFEST)), None);
    }

    #[test]
    fn package_ids_of_both_forms_have_a_name() {
        for (id, name) in [
            (ID, Some("my-filter")),
            ("path+file:///w/dir#my_filter@0.1.0", Some("my_filter")),
            ("path+file:///w/a%23b#my-filter@0.1.0", Some("my-filter")),
            ("nonsense", None),
        ] {
            assert_eq!(package_name(id), name, "{id}");
        }
    }
}
