//! Tests that change what the system is like: mounts, limits of the kernel. Each runs in a process and namespaces of its own.

use std::process::Command;

/// Set for the inner run.
const INSIDE: &str = "GATEWAY_TESTS_INSIDE";

/// Namespaces for a test, and what is done in them before it begins.
pub struct Apart {
    /// Options of `unshare`.
    pub options: &'static [&'static str],
    /// A command of the shell.
    pub before: &'static str,
}

/// Mounts of its own.
pub const MOUNTS: Apart = Apart { options: &["--mount", "--propagation", "private"], before: "true" };

impl Apart {
    /// Runs `test` in these namespaces, by running this program again for the test of that name alone. Where the system does not
    /// permit it, it says so and runs nothing.
    ///
    /// # Panics
    /// If the test fails.
    pub fn run(&self, name: &str, test: impl FnOnce()) {
        if std::env::var_os(INSIDE).is_some() {
            return test();
        }
        let mut permitted = Command::new("unshare");
        permitted.args(self.options).args(["sh", "-c", self.before]);
        if !permitted.output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped, as namespaces are not permitted here: {name}");
            return;
        }
        let program = std::env::current_exe().expect("a path");
        let script = format!("{} && exec \"$@\"", self.before);
        let mut inner = Command::new("unshare");
        inner.args(self.options).args(["sh", "-c", &script, "sh"]).arg(program);
        let ran = inner.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().expect("a run");
        let (told, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success() && told.contains("1 passed"), "{told}\n{errors}");
    }
}
