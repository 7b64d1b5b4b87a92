//! The guest's callbacks, looked up once per VM so that no call searches by name; copies of an image find them by numbers
//! that are looked up once per image.

use wasmtime::{Extern, Func, Instance, Memory, ModuleExport, Store, TypedFunc, WasmParams, WasmResults};

use crate::image::ON_COPY;
use crate::state::HostState;

/// `None` where the module does not export the callback. Signatures were checked when the module was loaded.
pub(super) struct Exports {
    pub(super) allocator: Option<TypedFunc<u32, u32>>,
    pub(super) context_create: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) vm_start: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) configure: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) tick: Option<TypedFunc<u32, ()>>,
    pub(super) queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) request_headers: Option<HeadersCallback>,
    pub(super) request_body: Option<StreamCallback<(u32, u32, u32)>>,
    pub(super) request_trailers: Option<StreamCallback<(u32, u32)>>,
    pub(super) response_headers: Option<HeadersCallback>,
    pub(super) response_body: Option<StreamCallback<(u32, u32, u32)>>,
    pub(super) response_trailers: Option<StreamCallback<(u32, u32)>>,
    pub(super) http_call_response: Option<TypedFunc<CallResponseParams, ()>>,
    pub(super) done: Option<TypedFunc<u32, u32>>,
    pub(super) log: Option<TypedFunc<u32, ()>>,
    pub(super) delete: Option<TypedFunc<u32, ()>>,
}

/// Root context, token, header lines, body bytes, trailer lines.
pub(super) type CallResponseParams = (u32, u32, u32, u32, u32);

/// A callback of a stream that answers an action, with its name for messages.
pub(super) struct StreamCallback<P> {
    pub(super) name: &'static str,
    pub(super) function: TypedFunc<P, u32>,
}

/// Modules of ABI 0.1.0 do not take the end-of-stream flag, and some of them export the newer form all the same.
pub(super) enum HeadersCallback {
    WithoutEnd(StreamCallback<(u32, u32)>),
    WithEnd(StreamCallback<(u32, u32, u32)>),
}

/// The exports that are called once a VM is configured, by their places in [`EXPORTS`].
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Role {
    /// In the order they are tried, which is that of Envoy.
    Malloc,
    MemoryAllocate,
    ContextCreate,
    VmStart,
    Configure,
    Tick,
    QueueReady,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    HttpCallResponse,
    Done,
    Log,
    Delete,
    OnCopy,
}

/// Their names.
pub(super) const EXPORTS: [&str; 18] = [
    "malloc",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_queue_ready",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_http_call_response",
    "proxy_on_done",
    "proxy_on_log",
    "proxy_on_delete",
    ON_COPY,
];

/// Where a module has them.
pub(crate) struct ExportIndices {
    functions: [Option<ModuleExport>; EXPORTS.len()],
    memory: Option<ModuleExport>,
}

impl ExportIndices {
    pub(crate) fn of(module: &wasmtime::Module) -> Self {
        Self {
            functions: EXPORTS.map(|name| module.get_export_index(name)),
            memory: module.get_export_index("memory"),
        }
    }

    pub(super) fn find(&self, instance: &Instance, store: &mut Store<HostState>) -> Found {
        let function = |export: &Option<ModuleExport>| {
            instance.get_module_export(&mut *store, export.as_ref()?).and_then(Extern::into_func)
        };
        Found(self.functions.each_ref().map(function))
    }

    pub(super) fn memory(&self, instance: &Instance, store: &mut Store<HostState>) -> Option<Memory> {
        instance.get_module_export(store, self.memory.as_ref()?).and_then(Extern::into_memory)
    }
}

/// The exports of one instance, by [`Role`].
pub(super) struct Found([Option<Func>; EXPORTS.len()]);

impl Found {
    pub(super) fn by_name(instance: &Instance, store: &mut Store<HostState>) -> Self {
        Self(EXPORTS.map(|name| instance.get_func(&mut *store, name)))
    }

    pub(super) fn typed<P: WasmParams, R: WasmResults>(
        &self,
        store: &Store<HostState>,
        role: Role,
    ) -> Option<TypedFunc<P, R>> {
        self.0[role as usize].as_ref()?.typed(store).ok()
    }

    fn stream<P: WasmParams>(&self, store: &Store<HostState>, role: Role) -> Option<StreamCallback<P>> {
        let function = self.typed(store, role)?;
        Some(StreamCallback { name: EXPORTS[role as usize], function })
    }

    fn headers(&self, store: &Store<HostState>, role: Role) -> Option<HeadersCallback> {
        if let Some(callback) = self.stream(store, role) {
            return Some(HeadersCallback::WithEnd(callback));
        }
        self.stream(store, role).map(HeadersCallback::WithoutEnd)
    }
}

impl Exports {
    pub(super) fn of(found: &Found, store: &Store<HostState>) -> Self {
        Self {
            allocator: found.typed(store, Role::Malloc).or_else(|| found.typed(store, Role::MemoryAllocate)),
            context_create: found.typed(store, Role::ContextCreate),
            vm_start: found.typed(store, Role::VmStart),
            configure: found.typed(store, Role::Configure),
            tick: found.typed(store, Role::Tick),
            queue_ready: found.typed(store, Role::QueueReady),
            request_headers: found.headers(store, Role::RequestHeaders),
            request_body: found.stream(store, Role::RequestBody),
            request_trailers: found.stream(store, Role::RequestTrailers),
            response_headers: found.headers(store, Role::ResponseHeaders),
            response_body: found.stream(store, Role::ResponseBody),
            response_trailers: found.stream(store, Role::ResponseTrailers),
            http_call_response: found.typed(store, Role::HttpCallResponse),
            done: found.typed(store, Role::Done),
            log: found.typed(store, Role::Log),
            delete: found.typed(store, Role::Delete),
        }
    }
}

/// For what is called while a VM starts, and never again.
pub(super) fn find<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<HostState>,
    name: &str,
) -> Option<TypedFunc<P, R>> {
    instance.get_typed_func(store, name).ok()
}
