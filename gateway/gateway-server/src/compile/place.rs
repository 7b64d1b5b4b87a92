//! Where compiled filters are kept if the configuration does not say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

const SYSTEM: &str = "/var/cache/gateway";

/// The directory that a service manager, the user's desktop or the user's home have for it: `$CACHE_DIRECTORY`,
/// `$XDG_CACHE_HOME/gateway`, `~/.cache/gateway`, the first of which is set; `/var/cache/gateway` for the system's own user, and
/// where none is set.
pub fn default_cache() -> PathBuf {
    choose(&|name| std::env::var_os(name), rustix::process::geteuid().is_root())
}

fn choose(variable: &dyn Fn(&str) -> Option<OsString>, is_root: bool) -> PathBuf {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| Path::is_absolute(path));
    if let Some(service) = absolute("CACHE_DIRECTORY") {
        return service;
    }
    if let Some(user) = absolute("XDG_CACHE_HOME") {
        return user.join("gateway");
    }
    match absolute("HOME") {
        Some(home) if !is_root => home.join(".cache/gateway"),
        _ => SYSTEM.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], is_root: bool) -> String {
        let variable = |name: &str| {
            let set = variables.iter().find(|(variable, _)| *variable == name);
            set.map(|(_, value)| OsString::from(value))
        };
        choose(&variable, is_root).display().to_string()
    }

    #[test]
    fn the_nearest_place_that_is_set_is_taken() {
        let all = [("CACHE_DIRECTORY", "/var/cache/x"), ("XDG_CACHE_HOME", "/u"), ("HOME", "/home/me")];
        assert_eq!(chosen(&all, false), "/var/cache/x");
        assert_eq!(chosen(&all[1..], false), "/u/gateway");
        assert_eq!(chosen(&all[2..], false), "/home/me/.cache/gateway");
        assert_eq!(chosen(&all[2..], true), SYSTEM);
        assert_eq!(chosen(&[], false), SYSTEM);
        assert_eq!(chosen(&[("XDG_CACHE_HOME", "relative"), ("HOME", "")], false), SYSTEM);
    }
}
