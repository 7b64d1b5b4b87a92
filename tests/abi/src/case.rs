//! Case files: WebAssembly text with directives in comments of three semicolons. `tests/abi/README.md` describes both.

use std::path::{Path, PathBuf};

/// Ways to run a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The host crate in this process, with the smallest embedder there can be.
    Host,
    /// The gateway, over sockets.
    Gateway,
    /// Another proxy, over sockets.
    Other,
}

/// One thing that a host must do.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The file it stands in, without folder and ending: the function or callback it is about.
    pub subject: String,
    /// What is claimed, in words.
    pub name: String,
    /// Where the claim comes from.
    pub cites: String,
    /// Line of the file it begins on.
    pub line: usize,
    /// Marker that the guest exports.
    pub abi: String,
    /// The text is a module of its own.
    pub is_raw: bool,
    /// The module is that of this filter (`filters/README.md`), and there is no text.
    pub filter: Option<String>,
    /// The guest's text.
    pub text: String,
    /// Plugin configuration.
    pub config: String,
    /// Configuration of a second plugin that shares the VM.
    pub beside: Option<String>,
    /// VM configuration.
    pub vm_config: String,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Further lines for a filter manifest of the gateway.
    pub manifest: Vec<String>,
    /// The body is to be delivered while the head is held.
    pub body_while_paused: bool,
    /// Modes in which it makes no sense, with the reason.
    pub not: Vec<(Mode, String)>,
    /// What is sent, and what comes of it.
    pub exchanges: Vec<Exchange>,
    /// Lines of the record.
    pub record: Vec<String>,
    /// The module is refused, with these words in the message (ours alone).
    pub refused: Option<String>,
    /// Why hosts that do otherwise are right or wrong to.
    pub differs: String,
}

/// One request, and what is expected of it.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Header lines.
    pub headers: Vec<(String, String)>,
    /// Body in chunks; none is no body.
    pub body: Vec<String>,
    /// Trailer lines.
    pub trailers: Vec<(String, String)>,
    /// What the origin answers.
    pub answer: Answer,
    /// What is expected.
    pub expectations: Vec<Expectation>,
}

/// The origin's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Header lines.
    pub headers: Vec<(String, String)>,
    /// Body in chunks; one chunk is sent with its length.
    pub body: Vec<String>,
    /// Trailer lines.
    pub trailers: Vec<(String, String)>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: 200, headers: Vec::new(), body: vec!["origin".to_owned()], trailers: Vec::new() }
    }
}

/// What must come of an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// Status at the client; 0 is "no whole response".
    ClientStatus(u16),
    /// Body at the client.
    ClientBody(String),
    /// A header at the client; `None` is "not there".
    ClientHeader(String, Option<String>),
    /// A trailer at the client.
    ClientTrailer(String, Option<String>),
    /// The origin got no request.
    OriginNone,
    /// A header at the origin; values of several lines are joined by `, `.
    OriginHeader(String, Option<String>),
    /// The method and path at the origin.
    OriginTarget(String),
    /// The body at the origin.
    OriginBody(String),
    /// A trailer at the origin.
    OriginTrailer(String, Option<String>),
}

/// All cases of the kit, by file and line.
///
/// # Panics
/// If a file cannot be read or does not parse: the kit is wrong then.
#[must_use]
pub fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let entries = std::fs::read_dir(&folder).expect("the kit's cases are beside its sources");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wat"));
    paths.sort();
    paths.iter().flat_map(|path| parse(path)).collect()
}

fn parse(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let subject = path.file_stem().expect("it has an ending").to_string_lossy().into_owned();
    let (mut cases, mut cites) = (Vec::<Case>::new(), String::new());
    for (at, line) in text.lines().enumerate() {
        let Some(directive) = line.strip_prefix(";;; ") else {
            if let Some(case) = cases.last_mut() {
                case.text.push_str(line);
                case.text.push('\n');
            }
            continue;
        };
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        let wrong = || -> ! { panic!("{}:{}: unknown directive {directive:?}", path.display(), at + 1) };
        match (word, cases.last_mut()) {
            ("case", _) => cases.push(Case {
                subject: subject.clone(),
                name: rest.to_owned(),
                cites: cites.clone(),
                line: at + 1,
                abi: "0_2_1".to_owned(),
                ..Case::default()
            }),
            ("cites", None) => rest.clone_into(&mut cites),
            (_, Some(case)) => {
                if !case.directive(word, rest) {
                    wrong()
                }
            }
            _ => wrong(),
        }
    }
    cases
}

impl Case {
    /// How the case is called in lists.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}: {}", self.subject, self.name)
    }

    /// Whether the case can be run in this way.
    #[must_use]
    pub fn runs_in(&self, mode: Mode) -> bool {
        !self.not.iter().any(|(excluded, _)| *excluded == mode)
    }

    fn directive(&mut self, word: &str, rest: &str) -> bool {
        match word {
            "cites" => rest.clone_into(&mut self.cites),
            "abi" => self.abi = rest.replace('.', "_"),
            "raw" => self.is_raw = true,
            "filter" => self.filter = Some(rest.to_owned()),
            "config" => rest.clone_into(&mut self.config),
            "beside" => self.beside = Some(rest.to_owned()),
            "vm-config" => rest.clone_into(&mut self.vm_config),
            "env" => {
                self.env.extend(rest.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            }
            "manifest" => self.manifest.push(rest.to_owned()),
            "body-while-paused" => self.body_while_paused = true,
            "not" => {
                let (mode, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                let mode = match mode {
                    "host" => Mode::Host,
                    "gateway" => Mode::Gateway,
                    "other" => Mode::Other,
                    _ => return false,
                };
                self.not.push((mode, reason.to_owned()));
            }
            "record" => self.record.push(rest.to_owned()),
            "refused" => self.refused = Some(rest.to_owned()),
            "differs" => rest.clone_into(&mut self.differs),
            "send" => self.exchanges.push(Exchange::parse(rest)),
            _ => return self.exchanges.last_mut().is_some_and(|exchange| exchange.directive(word, rest)),
        }
        true
    }
}

impl Exchange {
    /// `METHOD PATH | NAME: VALUE | body=CHUNK,CHUNK | trailer=NAME: VALUE`
    fn parse(text: &str) -> Self {
        let mut parts = text.split(" | ");
        let (method, path) = parts.next().and_then(|part| part.split_once(' ')).unwrap_or(("GET", "/"));
        let mut exchange = Self { method: method.to_owned(), path: path.to_owned(), ..Self::default() };
        message(parts, &mut exchange.headers, &mut exchange.body, &mut exchange.trailers);
        exchange
    }

    fn directive(&mut self, word: &str, rest: &str) -> bool {
        use Expectation::{
            ClientBody, ClientHeader, ClientStatus, ClientTrailer, OriginBody, OriginHeader, OriginNone,
            OriginTarget, OriginTrailer,
        };
        let entry = || match rest.split_once(": ") {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (rest.trim_end_matches(" absent").to_owned(), None),
        };
        self.expectations.push(match word {
            "answer" => {
                let mut parts = rest.split(" | ");
                let status = parts.next().and_then(|status| status.parse().ok()).unwrap_or(200);
                let mut answer = Answer { status, body: Vec::new(), ..Answer::default() };
                message(parts, &mut answer.headers, &mut answer.body, &mut answer.trailers);
                self.answer = answer;
                return true;
            }
            "client" => match rest.parse() {
                Ok(status) => ClientStatus(status),
                Err(_) => return false,
            },
            "client-body" => ClientBody(rest.to_owned()),
            "client-header" => ClientHeader(entry().0, entry().1),
            "client-trailer" => ClientTrailer(entry().0, entry().1),
            "origin-none" => OriginNone,
            "origin-header" => OriginHeader(entry().0, entry().1),
            "origin-target" => OriginTarget(rest.to_owned()),
            "origin-body" => OriginBody(rest.to_owned()),
            "origin-trailer" => OriginTrailer(entry().0, entry().1),
            _ => return false,
        });
        true
    }
}

type Lines = Vec<(String, String)>;

fn message<'a>(
    parts: impl Iterator<Item = &'a str>,
    headers: &mut Lines,
    body: &mut Vec<String>,
    trailers: &mut Lines,
) {
    let line = |text: &str| text.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    for part in parts {
        if let Some(chunks) = part.strip_prefix("body=") {
            *body = chunks.split(',').map(str::to_owned).collect();
        } else if let Some(trailer) = part.strip_prefix("trailer=") {
            trailers.extend(line(trailer));
        } else {
            headers.extend(line(part));
        }
    }
}
