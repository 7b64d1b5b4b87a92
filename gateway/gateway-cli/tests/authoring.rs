//! From nothing to a filter that runs, with the installed command alone: a crate made by `gateway filter new`, away from the
//! source tree.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Long enough for a first build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// One for all projects, and for the next run: what a filter depends on is compiled once.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/authoring");

/// A directory with a new filter in it.
struct Project {
    scratch: TempDir,
}

impl Project {
    fn new(name: &str) -> Self {
        let project = Self { scratch: tempfile::tempdir().expect("a scratch directory") };
        let made = project.gateway(project.scratch.path(), &["filter", "new", name]);
        assert_succeeds(&made);
        project
    }

    fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command
            .args(arguments)
            .current_dir(directory)
            .env("CARGO_TARGET_DIR", TARGET)
            // The versions of the lock file are here already: this workspace was built with them.
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("CARGO_BUILD_BUILD_DIR")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    }

    fn gateway(&self, directory: &Path, arguments: &[&str]) -> Output {
        self.command(directory, arguments).output().expect("the gateway command")
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.scratch.path().join(path)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_succeeds(output: &Output) -> String {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{error}");
    out
}

#[test]
fn a_new_filter_is_tested_built_inspected_checked_and_measured() {
    let project = Project::new("my-filter");
    let directory = project.path("my-filter");
    let run = |arguments: &[&str]| project.gateway(&directory, arguments);

    let tested = assert_succeeds(&run(&["filter", "test", "."]));
    let passed = "test tests::a_known_user_is_greeted ... ok";
    assert_eq!(tested.matches(passed).count(), 2, "natively and as a module: {tested}");

    let built = assert_succeeds(&run(&["filter", "build", ".", "--out", "filters", "--names"]));
    for line in
        ["filter       my-filter 0.1.0\n", "phases       request, response\n", "config       checked before"]
    {
        assert!(built.contains(line), "{built}");
    }

    let inspected = assert_succeeds(&run(&["filter", "inspect", "filters/my-filter.wasm"]));
    for line in [
        "filter       my-filter 0.1.0",
        "greeting: text, default \"hello\"  # The response header `x-greeting` begins with this.",
        "  gateway_sdk\n",
        "  gateway.filter\n",
        "env.proxy_log",
    ] {
        assert!(inspected.contains(line), "{line} in {inspected}");
    }
    let schema = assert_succeeds(&run(&["filter", "inspect", "filters/my-filter.wasm", "-o", "schema"]));
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);

    let measured = assert_succeeds(&run(&[
        "filter",
        "bench",
        "filters/my-filter.wasm",
        "--requests",
        "100",
        "-H",
        "x-user: ann",
    ]));
    assert!(measured.contains("per request    ") && !measured.contains("by the filter itself"), "{measured}");
    let refused = assert_succeeds(&run(&["filter", "bench", "filters/my-filter.wasm", "--requests", "100"]));
    assert!(refused.contains("answered       100 of them by the filter itself"), "{refused}");

    fs::write(
        directory.join("gateway.yaml"),
        "listeners: [{name: web, bind: 127.0.0.1:0}]\nroutes: [{name: all, respond: {status: 200, body: x}}]\nfilters: {directory: filters}\n",
    )
    .expect("a configuration");
    fs::write(directory.join("filters/my-filter.yaml"), "priority: 1\nconfig:\n  greting: hi\n")
        .expect("a manifest");
    let refused = run(&["validate"]);
    assert_eq!(refused.status.code(), Some(1));
    let report = text(&refused.stderr);
    for line in [
        "error: unknown field `greting` in config\n",
        " --> filters/my-filter.yaml:3:3\n",
        "3 |   greting: hi\n",
        " = help: did you mean `greeting`?\n",
    ] {
        assert!(report.contains(line), "{line} in {report}");
    }
    fs::copy(directory.join("my-filter.yaml"), directory.join("filters/my-filter.yaml"))
        .expect("the manifest made for it");
    assert_succeeds(&run(&["validate"]));
}

/// A running `gateway dev`, ended with the test.
struct Dev {
    child: Child,
    lines: Receiver<String>,
}

impl Dev {
    fn start(project: &Project, directory: &Path) -> Self {
        let mut command = project.command(directory, &["dev", ".", "--listen", "127.0.0.1:0"]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the gateway command");
        let out = child.stdout.take().expect("its output");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// The lines up to one with these words.
    fn until(&self, words: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no `{words}` in {seen:#?}")
                }
            }
            if seen.last().is_some_and(|line| line.contains(words)) {
                return seen;
            }
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_saved_change_is_built_swapped_and_compared() {
    let project = Project::new("greeter");
    let directory = project.path("greeter");
    let dev = Dev::start(&project, &directory);
    let address = dev.until("requests  http://").pop().expect("a line");
    let address = address
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("an address")
        .to_owned();
    dev.until("live after");
    dev.until("took");

    // What the author tries is what is tried again.
    let mut client = TcpStream::connect(&address).expect("the door is open");
    client
        .write_all(b"POST /shop HTTP/1.1\r\nhost: x\r\nx-user: ann\r\ncontent-length: 2\r\n\r\nhi")
        .expect("a request");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("x-greeting: hello ann\r\n"),
        "{answer}"
    );

    let source = directory.join("src/lib.rs");
    let original = fs::read_to_string(&source).expect("a source file");
    fs::write(&source, original.replace("\"{} {}\"", "\"{}, {}!\"")).expect("a change");
    let told = dev.until("took").join("\n");
    for line in [
        "src/lib.rs changed",
        "live after",
        "  POST /shop HTTP/1.1",
        "response  - x-greeting: hello ann",
        "+ x-greeting: hello, ann!",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
    println!("{told}");

    // A filter that refuses is a change of the verdict.
    fs::write(&source, original.replace("\"x-user\"", "\"x-other-user\"")).expect("a change");
    let told = dev.until("took").join("\n");
    assert!(
        told.contains("verdict   200, 1 request reached the origin  ->  401, nothing reached the origin"),
        "{told}"
    );

    // What does not compile, and what is not taken, leaves the version before.
    fs::write(&source, "fn").expect("a change");
    dev.until("cargo build failed");
    fs::write(&source, &original).expect("a change");
    dev.until("took");
    fs::write(directory.join("greeter.yaml"), "config: {greting: hi}\n").expect("a manifest");
    let told = dev.until("serves on").join("\n");
    assert!(
        told.contains("refused after") && told.contains("greeter.yaml:1:10 unknown field `greting`"),
        "{told}"
    );
    fs::write(directory.join("greeter.yaml"), "config: {greeting: hi}\n").expect("a manifest");
    let told = dev.until("took").join("\n");
    assert!(told.contains("+ x-greeting: hi ann"), "{told}");
}

#[test]
fn nothing_is_overwritten() {
    let project = Project::new("plan");
    let again = project.gateway(project.scratch.path(), &["filter", "new", "plan"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("plan is there already"), "{}", text(&again.stderr));
    let bad = project.gateway(project.scratch.path(), &["filter", "new", "No Name"]);
    assert!(text(&bad.stderr).contains("cannot be the name of a filter"), "{}", text(&bad.stderr));
}

/// A fenced block of a page: its language, the file that the line before it names, and its text.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut inside, mut file) = (false, None);
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some("") if inside => inside = false,
            Some(language) => {
                inside = true;
                blocks.push(Block { language: language.to_owned(), file: file.take(), text: String::new() });
            }
            None if inside => {
                let block = blocks.last_mut().expect("a block that has begun");
                block.text += &format!("{line}\n");
            }
            None => {
                let words = ["The file `", "The manifest `", "The configuration `"];
                let named = words.iter().find_map(|words| line.strip_prefix(words)?.split('`').next());
                file = named.map(str::to_owned).or(file);
            }
        }
    }
    blocks
}

/// What a newcomer does with the page: files as they stand there, commands copied, one shell for all of it. Only the ports
/// are others, because tests run beside each other.
#[test]
fn the_tutorial_works_from_the_installed_command_alone() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/filters/tutorial.md"))
            .expect("the tutorial");
    let free = || {
        std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port")
    };
    let (web, services) = (free().port().to_string(), free().port().to_string());
    let page = page.replace("8080", &web).replace("9001", &services);
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let program = Path::new(env!("CARGO_BIN_EXE_gateway"));
    let mut script = "set -e\ntrap 'kill $gateway 2>/dev/null' EXIT\n".to_owned();
    let mut rust = String::new();
    let mut expected = String::new();
    for Block { language, file, text } in blocks(&page) {
        match (language.as_str(), file) {
            // The code is one file, shown in parts.
            ("rust", _) => {
                if !rust.is_empty() {
                    rust.push('\n');
                }
                rust += &text;
                script += &format!("cat > src/lib.rs <<'END'\n{rust}END\n");
            }
            ("yaml", file) => {
                let file = file.expect("a file is named before its text");
                script += &format!("cat > {file} <<'END'\n{text}END\n");
            }
            ("text", _) => expected = text,
            ("sh", _) => {
                // A person tells its access lines from what other commands print.
                script += &text.replace("gateway run &", "gateway run >access.log &");
                if text.contains("gateway run &") {
                    // What a person does by reading what it prints.
                    script += "gateway=$!\n";
                    script += &format!("until curl -s -o /dev/null http://127.0.0.1:{web}/; do :; done\n");
                }
            }
            (other, _) => panic!("a block of {other}"),
        }
    }
    script += "exit 0\n";
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(scratch.path())
        .env(
            "PATH",
            format!(
                "{}:{}",
                program.parent().expect("a folder").display(),
                std::env::var("PATH").expect("a path")
            ),
        )
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", TARGET)
        .env_remove("CARGO_BUILD_BUILD_DIR")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("a shell");
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{script}\n{out}\n{error}");
    assert!(!expected.is_empty() && out.ends_with(&expected), "{out}\n{error}");
}
