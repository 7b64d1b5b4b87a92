//! Where compiled filters are kept, and what compiling one may cost.

use std::path::PathBuf;
use std::time::Duration;

/// Where compiled filters are kept.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum CacheDirectory {
    /// Where the system or the user keeps such things.
    #[default]
    Default,
    /// Here; joined to the folder of the configuration file.
    At(PathBuf),
    /// Nowhere: filters are compiled after each start.
    Off,
}

/// What compiling one filter may cost.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CompileSettings {
    /// CPU time.
    pub cpu: Duration,
    /// Memory of the process that compiles.
    pub memory_bytes: usize,
}

impl Default for CompileSettings {
    fn default() -> Self {
        Self { cpu: Duration::from_secs(60), memory_bytes: 2 << 30 }
    }
}
