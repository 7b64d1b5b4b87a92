//! Functions that SDKs import in every module but that this host does not carry out: gRPC callouts.
//!
//! They answer a failure that the SDKs hand to the filter's code rather than panic on, and say so in the log once each.

use super::{Offers, offer};
use crate::abi::{LogLevel, Status};
use crate::memory::{Guest, Outcome};

/// Their names, in module `env`.
pub(crate) const UNSUPPORTED: [&str; 5] =
    ["proxy_grpc_call", "proxy_grpc_stream", "proxy_grpc_send", "proxy_grpc_cancel", "proxy_grpc_close"];

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(offers, "proxy_grpc_call", |guest,
                                       _upstream: u32,
                                       _upstream_len: u32,
                                       _service: u32,
                                       _service_len: u32,
                                       _method: u32,
                                       _method_len: u32,
                                       _metadata: u32,
                                       _metadata_len: u32,
                                       _message: u32,
                                       _message_len: u32,
                                       _timeout_ms: u32,
                                       _token_at: u32| {
        refuse(guest, "proxy_grpc_call", Status::InternalFailure)
    })?;
    offer!(offers, "proxy_grpc_stream", |guest,
                                         _upstream: u32,
                                         _upstream_len: u32,
                                         _service: u32,
                                         _service_len: u32,
                                         _method: u32,
                                         _method_len: u32,
                                         _metadata: u32,
                                         _metadata_len: u32,
                                         _token_at: u32| {
        refuse(guest, "proxy_grpc_stream", Status::InternalFailure)
    })?;
    offer!(offers, "proxy_grpc_send", |guest, _token: u32, _message: u32, _len: u32, _end: u32| {
        refuse(guest, "proxy_grpc_send", Status::NotFound)
    })?;
    offer!(offers, "proxy_grpc_cancel", |guest, _token: u32| {
        refuse(guest, "proxy_grpc_cancel", Status::NotFound)
    })?;
    offer!(offers, "proxy_grpc_close", |guest, _token: u32| {
        refuse(guest, "proxy_grpc_close", Status::NotFound)
    })
}

fn refuse(guest: &mut Guest<'_>, name: &'static str, status: Status) -> Outcome {
    let state = guest.data_mut();
    if state.reported.insert(name) {
        let message = format!("the filter calls {name}, which this gateway does not support; the call fails");
        state.log(LogLevel::Error, message.as_bytes());
    }
    Err(status.into())
}
