//! `gateway filter add`: puts a filter that comes with the gateway into a filter directory.
//!
//! A filter runs as soon as its file is there, so its manifest must be there first: an example would let keys pass that
//! everybody knows.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use gateway_config::FilterAbout;
use proxy_wasm_host::Module;

use crate::commands::Failure;
use crate::embedded::{SHIPPED, Shipped};
use crate::{output, publish};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The filter; without it, those that there are
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// The filter directory
    #[arg(long, value_name = "DIR", default_value = "filters")]
    out: PathBuf,

    /// Print an example of its manifest, and put nothing anywhere
    #[arg(long, requires = "name")]
    example: bool,
}

#[derive(Debug, thiserror::Error)]
enum AddError {
    #[error("no filter `{name}` comes with the gateway{}", .help.as_ref().map_or(String::new(), |help| format!("\n  = help: {help}")))]
    Unknown { name: String, help: Option<String> },
    #[error(
        "there is no {}\n  = help: the filter runs as soon as it is there, and is configured by its manifest; begin with\n\n        \
         gateway filter add {name} --example > {}\n",
        manifest.display(),
        manifest.display()
    )]
    NoManifest { name: &'static str, manifest: PathBuf },
    #[error("cannot write {file_name} to {}: {source}", directory.display())]
    Write { directory: PathBuf, file_name: String, source: io::Error },
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { name, out, example } = arguments;
    let Some(name) = name else { return Ok(output::print(&listed())?) };
    let filter = SHIPPED.iter().find(|filter| filter.name == name).ok_or_else(|| unknown(name))?;
    if example {
        return Ok(output::print(filter.manifest)?);
    }
    let path = add(filter, out)?;
    output::print(&format!("{}\n", path.display()))?;
    Ok(())
}

fn add(filter: &Shipped, directory: PathBuf) -> Result<PathBuf, AddError> {
    let manifest = directory.join(format!("{}.yaml", filter.name));
    if !manifest.is_file() {
        return Err(AddError::NoManifest { name: filter.name, manifest });
    }
    let file_name = format!("{}.wasm", filter.name);
    publish::put(&directory, &file_name, filter.wasm).map_err(|source| AddError::Write {
        directory,
        file_name,
        source,
    })
}

fn unknown(name: String) -> AddError {
    let known = SHIPPED.iter().map(|filter| filter.name);
    AddError::Unknown { help: gateway_config::suggestion(&name, known, "there are"), name }
}

/// A line for each, with what its module says of itself.
fn listed() -> String {
    let mut text = String::new();
    for Shipped { name, wasm, .. } in SHIPPED {
        let about = Module::inspect(wasm).ok().and_then(|info| FilterAbout::parse(&info.about?).ok());
        let description = about.map(|about| about.description).unwrap_or_default();
        // Text grows for as long as there is memory.
        let _ = writeln!(text, "{name:<14} {description}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn without_a_manifest_nothing_is_put_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let add = || add(&SHIPPED[0], directory.path().to_owned());
        let error = add().unwrap_err().to_string();
        assert!(error.contains("gateway filter add api-key --example > "), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        fs::write(directory.path().join("api-key.yaml"), SHIPPED[0].manifest).unwrap();
        assert_eq!(fs::read(add().unwrap()).unwrap(), SHIPPED[0].wasm);
    }

    #[test]
    fn a_name_that_is_nearly_right_is_suggested() {
        let error = unknown("api-kye".to_owned()).to_string();
        assert!(error.contains("did you mean `api-key`?"), "{error}");
        assert!(
            listed().contains("deny-list      Refuses requests by address, path and header\n"),
            "{}",
            listed()
        );
    }
}
