//! Where the gateway keeps what it must know after a restart. Owns the choice of the place alone: what is kept there, and
//! whether it is believed, is for those who keep it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gateway_config::StateDirectory;
use sha2::{Digest, Sha256};

/// Where state is kept if nothing says otherwise.
const SYSTEM: &str = "/var/lib/gateway";

/// The directory for all state; `None` where nothing may be kept. `variable` reads the environment.
pub(super) fn root(state: &StateDirectory, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match state {
        StateDirectory::Off => None,
        StateDirectory::At(path) => Some(path.clone()),
        StateDirectory::Default => Some(
            of_service(variable)
                .or_else(|| Some(absolute("XDG_STATE_HOME")?.join("gateway")))
                .or_else(|| Some(absolute("HOME")?.join(".local/state/gateway")))
                .unwrap_or_else(|| SYSTEM.into()),
        ),
    }
}

/// Several gateways may share a state directory: a short name for each filter directory.
pub(super) fn name_of(filters: &Path) -> String {
    let filters = std::path::absolute(filters).unwrap_or_else(|_| filters.to_owned());
    let digest = Sha256::digest(filters.as_os_str().as_encoded_bytes());
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// systemd lists several with colons between; the first is ours.
fn of_service(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let list = variable("STATE_DIRECTORY")?.into_string().ok()?;
    let first = PathBuf::from(list.split(':').next()?);
    first.is_absolute().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_place_that_is_set_is_taken() {
        let all = [("STATE_DIRECTORY", "/s:/t"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        let chosen = |variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                let set = variables.iter().find(|(variable, _)| *variable == name);
                set.map(|(_, value)| OsString::from(value))
            };
            root(&StateDirectory::Default, &variable).unwrap().display().to_string()
        };
        assert_eq!(chosen(&all), "/s");
        assert_eq!(chosen(&all[1..]), "/x/gateway");
        assert_eq!(chosen(&all[2..]), "/h/.local/state/gateway");
        assert_eq!(chosen(&[("HOME", "h")]), SYSTEM);
        assert_eq!(root(&StateDirectory::Off, &|_| None), None);
    }
}
