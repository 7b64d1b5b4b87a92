//! `gateway schema`: the JSON Schemas that editors use for completion and checks.

use super::Failure;
use crate::output;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The schema of a filter's manifest (filters/NAME.yaml) instead
    #[arg(long)]
    manifest: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let schema = if arguments.manifest {
        gateway_config::manifest_json_schema()
    } else {
        gateway_config::json_schema()
    };
    Ok(output::print(&format!("{schema:#}\n"))?)
}
