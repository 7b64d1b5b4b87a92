//! The functions a guest may import: one file per area of the ABI, all of them offered to every ABI version.
//!
//! Each function checks its pointers, does its work on [`HostState`], and answers a status number; [`answer`] guards the
//! phases in which only a few may be called. Whether a stream can do what is asked is the embedder's to say.

mod body;
mod crypto;
mod dispatch;
mod foreign;
mod headers;
mod hidden;
mod log;
mod metrics;
mod properties;
mod shared;
mod stream;
mod time;
mod unsupported;
mod wasi;

use std::collections::HashSet;

use wasmtime::{ExternType, InstancePre, IntoFunc, Linker};

use crate::memory::{Guest, Outcome, Refusal};
use crate::module::LoadError;
use crate::state::{HostState, Phase};
pub(crate) use unsupported::UNSUPPORTED;

/// All host functions by name.
pub(crate) struct Offers {
    linker: Linker<HostState>,
    names: HashSet<(&'static str, &'static str)>,
}

/// Collects the host functions of every area.
pub(crate) fn offers(engine: &wasmtime::Engine) -> wasmtime::Result<Offers> {
    let mut offers = Offers { linker: Linker::new(engine), names: HashSet::new() };
    log::register(&mut offers)?;
    time::register(&mut offers)?;
    headers::register(&mut offers)?;
    body::register(&mut offers)?;
    properties::register(&mut offers)?;
    stream::register(&mut offers)?;
    dispatch::register(&mut offers)?;
    shared::register(&mut offers)?;
    metrics::register(&mut offers)?;
    foreign::register(&mut offers)?;
    unsupported::register(&mut offers)?;
    wasi::register(&mut offers)?;
    Ok(offers)
}

impl Offers {
    /// Refuses the first import that does not exist here.
    pub(crate) fn check(&self, imports: &[(String, String)]) -> Result<(), LoadError> {
        for (module, name) in imports {
            if !self.names.contains(&(module.as_str(), name.as_str())) {
                let (module, name) = (module.clone(), name.clone());
                return Err(LoadError::UnknownImport { cause: likely_cause(&module, &name), module, name });
            }
        }
        Ok(())
    }

    /// Binds a module's imports, with their signatures checked.
    pub(crate) fn link(&self, module: &wasmtime::Module) -> wasmtime::Result<InstancePre<HostState>> {
        let mut linker = self.linker.clone();
        linker.allow_shadowing(true);
        for import in module.imports() {
            let is_void = matches!(import.ty(), ExternType::Func(ty) if ty.results().len() == 0);
            if import.module() == ENV && is_void {
                stream::link_void_variant(&mut linker, import.name())?;
            }
        }
        linker.instantiate_pre(module)
    }

    fn env<P, R>(
        &mut self,
        name: &'static str,
        function: impl IntoFunc<HostState, P, R>,
    ) -> wasmtime::Result<()> {
        self.names.insert((ENV, name));
        self.linker.func_wrap(ENV, name, function).map(|_| ())
    }

    fn wasi<P, R>(
        &mut self,
        name: &'static str,
        function: impl IntoFunc<HostState, P, R> + Copy,
    ) -> wasmtime::Result<()> {
        for module in WASI {
            self.names.insert((module, name));
            self.linker.func_wrap(module, name, function)?;
        }
        Ok(())
    }
}

const ENV: &str = "env";
/// Old toolchains still import the second one.
const WASI: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

fn likely_cause(module: &str, name: &str) -> &'static str {
    match module {
        "env" if name.starts_with("proxy_") => {
            "no supported Proxy-Wasm version has this function; it belongs to another proxy or a newer ABI"
        }
        "env" if name.starts_with("envoy_") => "it exists in Envoy only",
        "env" => {
            "probably a C function that was not linked in; link its library, or build without allowing undefined symbols"
        }
        "wasi_snapshot_preview1" | "wasi_unstable" => "WASI preview 1 has no such function",
        "wbg" | "__wbindgen_placeholder__" | "go" | "gojs" => {
            "the module was built for JavaScript; build it for wasm32-wasip1"
        }
        _ if module.starts_with("wasi:") => {
            "it is a component interface; build for wasm32-wasip1, not wasip2"
        }
        _ => "only the modules env, wasi_snapshot_preview1 and wasi_unstable exist here",
    }
}

/// Runs a host function of the ABI if the VM is in a callback. Before the plugin's context exists such a call ends the
/// VM, as in Envoy; from within the guest's allocator it answers `InternalFailure`.
fn answer(
    mut guest: Guest<'_>,
    name: &'static str,
    function: impl FnOnce(&mut Guest<'_>) -> Outcome,
) -> wasmtime::Result<u32> {
    let state = guest.data_mut();
    state.trace.note(name);
    match state.phase {
        Phase::Running => status(function(&mut guest)),
        Phase::Allocating => Ok(crate::abi::Status::InternalFailure as u32),
        Phase::Starting => Err(wasmtime::format_err!(
            "{name} was called before the plugin exists; move that work to proxy_on_vm_start or proxy_on_configure"
        )),
    }
}

fn status(outcome: Outcome) -> wasmtime::Result<u32> {
    match outcome {
        Ok(()) => Ok(OK),
        Err(Refusal::Status(status)) => Ok(status as u32),
        Err(Refusal::Trap(error)) => Err(error),
    }
}

const OK: u32 = 0;

/// Offers one function of module `env`: `offer!(offers, "proxy_name", |guest, argument: u32| outcome)`.
macro_rules! offer {
    ($offers:expr, $name:literal, |$guest:ident $(, $argument:ident : $ty:ty)*| $body:expr) => {
        $offers.env($name, |caller: $crate::memory::Guest<'_> $(, $argument: $ty)*| {
            $crate::hostcalls::answer(caller, $name, |$guest| $body)
        })
    };
}
use offer;

/// As [`offer`], for the few functions that may be called in every phase.
macro_rules! offer_always {
    ($offers:expr, $name:literal, |$guest:ident $(, $argument:ident : $ty:ty)*| $body:expr) => {
        $offers.env($name, |mut caller: $crate::memory::Guest<'_> $(, $argument: $ty)*| {
            caller.data_mut().trace.note($name);
            let $guest = &mut caller;
            $crate::hostcalls::status($body)
        })
    };
}
use offer_always;

#[cfg(test)]
mod tests;
