//! A filter's module: checked against the ABI and compiled once, then shared by every thread.
//!
//! Lenient where real modules differ (any marker, either arity, either allocator), strict where a module could not work:
//! then the refusal names the missing or foreign thing and what probably caused it.

mod composition;
mod inspect;
mod layout;

use wasmtime::{ExternType, InstancePre, ValType};

use crate::abi::AbiVersion;
use crate::code::Code;
use crate::engine::{Engine, Users};
use crate::hostcalls;
use crate::image::{self, ON_COPY};
use crate::state::HostState;
pub use composition::Composition;
pub(crate) use layout::Layout;

/// A compiled filter.
pub struct Module {
    pre: InstancePre<HostState>,
    info: ModuleInfo,
    users: Users,
    freezable: Freezable,
}

/// What a module says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleInfo {
    /// From its marker export.
    pub abi: AbiVersion,
    /// Module and name of each imported function, in order.
    pub imports: Vec<(String, String)>,
    /// Names of all exports, in order.
    pub exports: Vec<String>,
    /// Size of the file.
    pub size_bytes: usize,
    /// Proxy-Wasm functions it imports that always answer as unsupported here. Importing them is normal (SDKs import
    /// everything they know); calling one is logged.
    pub unsupported: Vec<String>,
    /// What it says its filter is: JSON in the custom section `gateway.filter`, as modules made with the SDK have it. Not
    /// looked into here.
    pub about: Option<Vec<u8>>,
}

/// Why a file cannot be loaded as a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No bytes.
    #[error("the file is empty; was the copy interrupted?")]
    Empty,
    /// Beyond [`limits::MODULE_BYTES`](crate::limits::MODULE_BYTES).
    #[error(
        "the file has {size_bytes} bytes, more than the {limit_bytes} allowed; strip debug information (wasm-strip) or split the filter"
    )]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// Beyond [`limits::LISTED_NAMES`](crate::limits::LISTED_NAMES).
    #[error("it has {count} {what}, more than the {limit} allowed; it was made by no SDK")]
    TooMany {
        /// Imports or exports.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Something else.
    #[error("not a WebAssembly module: it starts with {start:?}; {hint}")]
    NotWasm {
        /// The first bytes, readable.
        start: String,
        /// What it probably is.
        hint: &'static str,
    },
    /// The newer packaging.
    #[error(
        "a WebAssembly component, not a core module; build for wasm32-wasip1 (wasip2 produces components)"
    )]
    Component,
    /// Cut short or damaged.
    #[error("a damaged WebAssembly module: {reason}; it may be truncated, so build or copy it again")]
    Malformed {
        /// What does not parse and where.
        reason: String,
    },
    /// Valid bytes that do not pass validation, or that use features which are off here.
    #[error("the module does not compile: {reason}")]
    Compile {
        /// The compiler's words.
        reason: String,
    },
    /// Not a Proxy-Wasm module.
    #[error(
        "no Proxy-Wasm ABI marker among its exports (proxy_abi_version_0_1_0, _0_2_0 or _0_2_1); build it with a Proxy-Wasm SDK, as a library (cdylib) rather than a program"
    )]
    NoMarker,
    /// A version this host does not know.
    #[error(
        "unknown Proxy-Wasm ABI: it exports {marker}, known are proxy_abi_version_0_1_0, _0_2_0 and _0_2_1"
    )]
    UnknownMarker {
        /// The export.
        marker: String,
    },
    /// A host function that does not exist here.
    #[error("imports {module}.{name}, which is not offered: {cause}")]
    UnknownImport {
        /// Import module.
        module: String,
        /// Import name.
        name: String,
        /// The likely reason.
        cause: &'static str,
    },
    /// Memories, tables and globals are never offered.
    #[error(
        "imports the {kind} {module}.{name}, but filters bring their own; link it without imported memory (no --import-memory, no dynamic linking)"
    )]
    ImportKind {
        /// memory, table, global or tag.
        kind: &'static str,
        /// Import module.
        module: String,
        /// Import name.
        name: String,
    },
    /// A host function with other parameters.
    #[error("an imported function has another signature than the ABI says: {reason}")]
    ImportSignature {
        /// Which one and how.
        reason: String,
    },
    /// The host could not hand over values.
    #[error(
        "exports neither proxy_on_memory_allocate nor malloc, so it cannot receive values; link it with an SDK's allocator"
    )]
    NoAllocator,
    /// The host could not read anything.
    #[error("exports no memory named \"memory\"")]
    NoMemory,
    /// A callback with other parameters.
    #[error("exports {name} as {found}, expected {expected}")]
    CallbackSignature {
        /// The export.
        name: String,
        /// Its type.
        found: String,
        /// The ABI's.
        expected: String,
    },
    /// Nothing to call for HTTP traffic.
    #[error(
        "not an HTTP filter: it exports none of proxy_on_request_headers, _body, _trailers, proxy_on_response_headers, _body, _trailers and proxy_on_log"
    )]
    NotHttpFilter,
}

impl ModuleInfo {
    /// Whether it imports all that there is, as some SDKs do in every module; then an import says nothing about what the
    /// filter does.
    pub fn imports_everything(&self) -> bool {
        self.unsupported.len() == hostcalls::UNSUPPORTED.len()
    }
}

/// Whether an image of a module can be made; why not, otherwise, in words for the operator.
pub type Freezable = Result<(), String>;

/// Compiles a file in the form that its state can be read in once it is started, or else as it is. What is started must be
/// what is frozen later, and there is but one compilation before that.
pub(crate) fn readable<T>(
    wasm: &[u8],
    compile: impl Fn(&[u8]) -> Result<T, LoadError>,
) -> Result<(T, Freezable), LoadError> {
    let reason = match image::instrument(wasm) {
        Ok(rewritten) => match compile(&rewritten) {
            Ok(made) => return Ok((made, Ok(()))),
            Err(error) => error.to_string(),
        },
        Err(reason) => reason,
    };
    // What is wrong with it is to be told of the file itself.
    compile(wasm).map(|made| (made, Err(reason)))
}

impl Module {
    /// Checks and compiles a module. Uses all cores for up to seconds: not for a thread that serves traffic.
    ///
    /// # Errors
    /// See [`LoadError`]; the cheap checks come before the compilation.
    pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<Self, LoadError> {
        let info = Self::check(engine, wasm)?;
        let (code, freezable) = Code::readable(engine, wasm)?;
        Self::from_code(engine, info, code, freezable)
    }

    /// What can be said of a module before it is compiled.
    ///
    /// # Errors
    /// The same as [`Module::compile`], except for signatures and code.
    pub fn check(engine: &Engine, wasm: &[u8]) -> Result<ModuleInfo, LoadError> {
        let info = Self::inspect(wasm)?;
        engine.check_imports(&info)?;
        Ok(info)
    }

    /// A filter of code that was compiled before, as [`Code::readable`] makes it: `info` is what [`Module::check`] said of
    /// the same file.
    ///
    /// # Errors
    /// The same as [`Module::compile`], as far as signatures are concerned.
    pub fn from_code(
        engine: &Engine,
        info: ModuleInfo,
        Code(module): Code,
        freezable: Freezable,
    ) -> Result<Self, LoadError> {
        check_exports(&module)?;
        let pre = engine
            .offers()
            .link(&module)
            .map_err(|error| LoadError::ImportSignature { reason: format!("{error:#}") })?;
        Ok(Self { pre, info, users: engine.users(), freezable })
    }

    /// Reads what a module says about itself, without compiling it and without knowing whether its code is valid.
    ///
    /// # Errors
    /// The same as [`Module::compile`], except for imports, signatures and code.
    pub fn inspect(wasm: &[u8]) -> Result<ModuleInfo, LoadError> {
        let parts = inspect::read(wasm)?;
        let abi = inspect::abi_version(&parts.exports)?;
        let exports_any =
            |names: &[&str]| parts.exports.iter().any(|export| names.contains(&export.as_str()));
        if !exports_any(&ALLOCATORS) {
            return Err(LoadError::NoAllocator);
        }
        if !exports_any(&["memory"]) {
            return Err(LoadError::NoMemory);
        }
        if !exports_any(&HTTP_CALLBACKS) {
            return Err(LoadError::NotHttpFilter);
        }
        let is_unsupported = |(module, name): &&(String, String)| {
            module == "env" && hostcalls::UNSUPPORTED.contains(&name.as_str())
        };
        let unsupported = parts.imports.iter().filter(is_unsupported).map(|(_, name)| name.clone()).collect();
        Ok(ModuleInfo {
            abi,
            imports: parts.imports,
            exports: parts.exports,
            size_bytes: wasm.len(),
            unsupported,
            about: parts.about,
        })
    }

    /// What the module says about itself.
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// Whether an [`Image`](crate::Image) of it can be made; why not, otherwise.
    ///
    /// # Errors
    /// The reason, for the operator.
    pub fn freezable(&self) -> Result<(), &str> {
        match &self.freezable {
            Ok(()) => Ok(()),
            Err(reason) => Err(reason),
        }
    }

    pub(crate) fn pre(&self) -> &InstancePre<HostState> {
        &self.pre
    }

    pub(crate) fn users(&self) -> Users {
        self.users.clone()
    }
}

/// In the order they are tried, which is that of Envoy.
pub(crate) const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// A module with none of these has nothing to do here.
const HTTP_CALLBACKS: [&str; 7] = [
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_log",
];

/// Exports this host calls: accepted numbers of `i32` parameters, number of `i32` results.
const CALLED_EXPORTS: [(&str, &[usize], usize); 23] = [
    ("malloc", &[1], 1),
    ("proxy_on_memory_allocate", &[1], 1),
    ("_initialize", &[0], 0),
    ("_start", &[0], 0),
    ("main", &[2], 1),
    ("__main_void", &[0], 1),
    ("proxy_on_context_create", &[2], 0),
    ("proxy_on_vm_start", &[2], 1),
    ("proxy_on_configure", &[2], 1),
    ("proxy_on_tick", &[1], 0),
    ("proxy_on_queue_ready", &[2], 0),
    ("proxy_on_request_headers", &[2, 3], 1),
    ("proxy_on_request_body", &[3], 1),
    ("proxy_on_request_trailers", &[2], 1),
    ("proxy_on_response_headers", &[2, 3], 1),
    ("proxy_on_response_body", &[3], 1),
    ("proxy_on_response_trailers", &[2], 1),
    ("proxy_on_http_call_response", &[5], 0),
    ("proxy_on_done", &[1], 1),
    ("proxy_on_log", &[1], 0),
    ("proxy_on_delete", &[1], 0),
    (ON_COPY, &[0], 0),
    ("memory", &[], 0),
];

fn check_exports(module: &wasmtime::Module) -> Result<(), LoadError> {
    for (name, parameter_counts, results) in CALLED_EXPORTS {
        let Some(export) = module.get_export(name) else { continue };
        let fits = match &export {
            ExternType::Func(ty) => {
                parameter_counts.contains(&ty.params().len())
                    && ty.results().len() == results
                    && ty.params().chain(ty.results()).all(|ty| matches!(ty, ValType::I32))
            }
            ExternType::Memory(_) => name == "memory",
            _ => false,
        };
        if !fits {
            return Err(LoadError::CallbackSignature {
                name: name.to_owned(),
                found: describe(&export),
                expected: expectation(parameter_counts, results),
            });
        }
    }
    Ok(())
}

fn expectation(parameter_counts: &[usize], results: usize) -> String {
    if parameter_counts.is_empty() {
        return "a memory".to_owned();
    }
    let alternatives = parameter_counts.iter().map(|count| {
        let result = if results == 0 { "()" } else { "i32" };
        format!("({}) -> {result}", vec!["i32"; *count].join(", "))
    });
    alternatives.collect::<Vec<_>>().join(" or ")
}

fn describe(export: &ExternType) -> String {
    match export {
        ExternType::Func(ty) => {
            let list = |types: &mut dyn Iterator<Item = ValType>| {
                types.map(|ty| ty.to_string()).collect::<Vec<_>>().join(", ")
            };
            match ty.results().len() {
                0 => format!("({}) -> ()", list(&mut ty.params())),
                _ => format!("({}) -> {}", list(&mut ty.params()), list(&mut ty.results())),
            }
        }
        ExternType::Memory(_) => "a memory".to_owned(),
        ExternType::Table(_) => "a table".to_owned(),
        ExternType::Global(_) => "a global".to_owned(),
        _ => "something else".to_owned(),
    }
}

#[cfg(test)]
#[path = "module_tests.rs"]
mod tests;
