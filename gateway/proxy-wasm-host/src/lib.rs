//! Runs Proxy-Wasm filters: the ABI on wasmtime, with a CPU deadline, a memory limit and exact status codes.
//!
//! [`Engine`] compiles nothing by itself but owns the clock of deadlines; [`Module`] is a checked and compiled filter,
//! shared by all threads; [`Plugin`] is one running VM of it, owned by one thread. A plugin sees streams and the process
//! through the two traits of [`host`] and asks for side effects through [`Effect`]s, which the embedder takes after each
//! callback. This crate knows no sockets, no runtime and no HTTP library.

#![forbid(unsafe_code)]

pub mod abi;
mod deadline;
pub mod effects;
mod engine;
pub mod fake;
pub mod host;
mod hostcalls;
pub mod limits;
mod memory;
mod module;
pub mod pairs;
mod plugin;
mod protobuf;
mod state;
mod stream;
#[cfg(test)]
mod testing;

pub use abi::{
    AbiVersion, Action, CallToken, ContextId, Direction, LogLevel, MetricKind, Status, StreamBuffer,
    StreamMap,
};
pub use effects::{CallAnswer, Effect, HeaderList, HttpCall, LocalReply};
pub use engine::{Engine, EngineError};
pub use host::{Made, Services, SharedStream, SignedText, StreamAccess};
pub use limits::Limits;
pub use module::{LoadError, Module, ModuleInfo};
pub use plugin::{CallError, Callback, Plugin, PluginConfig, StartError};
pub use stream::ContextHasher;
