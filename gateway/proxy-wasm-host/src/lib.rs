//! Runs Proxy-Wasm filters: the ABI on wasmtime, with a CPU deadline, a memory limit and exact status codes.
//!
//! This crate is for whoever writes a proxy, or a test of filters. It knows no sockets, no runtime and no HTTP library: it
//! calls a filter's module, and whatever the filter may see or do is asked of the embedder or told to it.
//!
//! - [`Engine`] owns the compiler, the host functions and the clock of deadlines: one for the process.
//! - [`Module`] is a checked and compiled filter, shared by all threads.
//! - [`Code`] is the machine code of one, made here or taken over from a process that only compiles ([`Compiler`]).
//! - [`Plugin`] is one started filter, alone in its virtual machine or beside others, owned by one thread.
//! - [`Image`] is a started filter, frozen: a [`Template`] makes plugins that are copies of it, for microseconds each.
//! - [`StreamAccess`] is one HTTP stream as its filters see it: headers, bodies, properties. The embedder has it.
//! - [`Services`] is what the process offers: clocks, logs, metrics, shared data, queues. The embedder has it.
//! - [`Effect`]s are what a filter asked for: go on, reply, call out, tick. The embedder takes them after each call.
//!
//! # Example
//!
//! A filter that answers requests without a key, and tells the upstream of the others:
//!
//! ```
//! use std::cell::RefCell;
//! use std::rc::Rc;
//! use std::sync::Arc;
//!
//! use proxy_wasm_host::fake::{FakeServices, FakeStream, Ticker};
//! use proxy_wasm_host::{Action, Effect, Engine, Module, Plugin, PluginConfig, StreamMap};
//!
//! let text = r#"(module
//!   (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
//!   (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
//!   (import "env" "proxy_send_local_response"
//!     (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
//!   (memory (export "memory") 1)
//!   (data (i32.const 0) "x-keyx-checkedyes")
//!   (func (export "proxy_abi_version_0_2_1"))
//!   (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
//!   (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
//!     ;; Status 0 is OK, 1 NOT_FOUND; action 0 is Continue, 1 Pause.
//!     (if (call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 512) (i32.const 516))
//!       (then
//!         (drop (call $reply (i32.const 401) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
//!           (i32.const 0) (i32.const 0) (i32.const -1)))
//!         (return (i32.const 1))))
//!     (drop (call $add (i32.const 0) (i32.const 5) (i32.const 9) (i32.const 14) (i32.const 3)))
//!     (i32.const 0)))"#;
//!
//! let engine = Engine::new()?;
//! // Something has to advance the clock of CPU budgets; a proxy has a thread of its own for it.
//! let _ticker = Ticker::start(&engine);
//! let module = Module::compile(&engine, &wat::parse_str(text)?)?;
//! let services = Rc::new(FakeServices::default());
//! let mut plugin = Plugin::start(&module, Arc::new(PluginConfig::default()), services)?;
//!
//! let without_key = [(":method", "GET"), (":path", "/"), (":authority", "shop.example")];
//! let stream = Rc::new(RefCell::new(FakeStream::with_request_headers(&without_key)));
//! let id = plugin.create_stream(stream)?;
//! assert_eq!(plugin.on_request_headers(id, without_key.len(), true)?, Action::Pause);
//! let Some(Effect::LocalReply { stream: answered, reply }) = plugin.next_effect() else { panic!("no reply") };
//! assert_eq!((answered, reply.status), (id, 401));
//! plugin.finish_stream(id)?;
//!
//! let with_key = [(":method", "GET"), (":path", "/"), (":authority", "shop.example"), ("x-key", "1")];
//! let stream = Rc::new(RefCell::new(FakeStream::with_request_headers(&with_key)));
//! let id = plugin.create_stream(stream.clone())?;
//! assert_eq!(plugin.on_request_headers(id, with_key.len(), true)?, Action::Continue);
//! assert_eq!(plugin.next_effect(), None);
//! let sent = stream.borrow().lines(StreamMap::RequestHeaders);
//! assert!(sent.contains(&("x-checked".to_owned(), "yes".to_owned())));
//! plugin.finish_stream(id)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What an embedder has to do
//!
//! - Call [`Engine::tick`] every [`Engine::TICK`] from a thread of its own: without it, a filter that loops is never
//!   stopped.
//! - Drain [`Plugin::next_effect`] after each call into a plugin, and into those that share its machine. A guest is never
//!   re-entered: nothing that it asked for has happened before.
//! - Judge effects against the state of the stream: a resume of what is not paused, or a reply to what is answered, is to be
//!   dropped.
//! - Replace a plugin that [failed](Plugin::failed), with those beside it, and end the streams that waited for it.
//! - Refuse illegal names and values in [`StreamAccess`], and put bounds on what [`Services`] keeps.
//! - Never call into a plugin from [`StreamAccess`] or [`Services`]: that panics.
//!
//! [`fake`] has stand-ins for the traits, for tests.

#![deny(unsafe_code)]

pub mod abi;
mod code;
pub mod crypto;
mod deadline;
pub mod effects;
mod engine;
mod failure;
pub mod fake;
mod frozen_state;
pub mod host;
mod hostcalls;
mod image;
pub mod limits;
mod memory;
mod module;
pub mod pairs;
mod plugin;
mod protobuf;
mod secrets;
mod services;
mod start_record;
mod state;
mod stream;
mod symbols;
#[cfg(test)]
mod testing;

pub use abi::{
    AbiVersion, Action, CallToken, ContextId, Direction, LogLevel, MetricKind, Status, StreamBuffer,
    StreamMap,
};
pub use code::{Code, Compiler, ForeignCode};
pub use effects::{CallAnswer, Effect, HeaderList, HttpCall, LocalReply};
pub use engine::{Engine, EngineError};
pub use failure::{Failure, FailureReason, Frame};
pub use host::{Made, Services, SharedStream, SignedText, StreamAccess};
pub use image::{Frozen, Image, NotFrozen, SharedRandomness};
pub use limits::Limits;
pub use module::{Composition, Freezable, LoadError, Module, ModuleInfo};
pub use plugin::{CallError, Callback, Plugin, PluginConfig, StartError, Started, Template, Usage};
pub use secrets::forms_of_secrets;
pub use stream::ContextHasher;
pub use symbols::{Location, SourceLine, Symbols, explain};
