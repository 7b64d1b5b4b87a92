//! The guest's callbacks, looked up once per VM so that no call searches by name.

use wasmtime::{Instance, Store, TypedFunc, WasmParams, WasmResults};

use crate::state::HostState;

/// `None` where the module does not export the callback. Signatures were checked when the module was loaded.
pub(super) struct Exports {
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

impl Exports {
    pub(super) fn find(instance: &Instance, store: &mut Store<HostState>) -> Self {
        Self {
            context_create: find(instance, store, "proxy_on_context_create"),
            vm_start: find(instance, store, "proxy_on_vm_start"),
            configure: find(instance, store, "proxy_on_configure"),
            tick: find(instance, store, "proxy_on_tick"),
            queue_ready: find(instance, store, "proxy_on_queue_ready"),
            request_headers: find_headers(instance, store, "proxy_on_request_headers"),
            request_body: find_stream(instance, store, "proxy_on_request_body"),
            request_trailers: find_stream(instance, store, "proxy_on_request_trailers"),
            response_headers: find_headers(instance, store, "proxy_on_response_headers"),
            response_body: find_stream(instance, store, "proxy_on_response_body"),
            response_trailers: find_stream(instance, store, "proxy_on_response_trailers"),
            http_call_response: find(instance, store, "proxy_on_http_call_response"),
            done: find(instance, store, "proxy_on_done"),
            log: find(instance, store, "proxy_on_log"),
            delete: find(instance, store, "proxy_on_delete"),
        }
    }
}

pub(super) fn find<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<HostState>,
    name: &str,
) -> Option<TypedFunc<P, R>> {
    instance.get_typed_func(store, name).ok()
}

fn find_stream<P: WasmParams>(
    instance: &Instance,
    store: &mut Store<HostState>,
    name: &'static str,
) -> Option<StreamCallback<P>> {
    find(instance, store, name).map(|function| StreamCallback { name, function })
}

fn find_headers(
    instance: &Instance,
    store: &mut Store<HostState>,
    name: &'static str,
) -> Option<HeadersCallback> {
    if let Some(callback) = find_stream(instance, store, name) {
        return Some(HeadersCallback::WithEnd(callback));
    }
    find_stream(instance, store, name).map(HeadersCallback::WithoutEnd)
}
