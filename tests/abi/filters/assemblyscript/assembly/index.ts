// The kit's filter (../README.md) on the AssemblyScript SDK.
export * from "@solo-io/proxy-runtime/proxy";
import {
  Context, Counter, FilterHeadersStatusValues, GrpcStatusValues, HeaderPair, LogLevelValues, RootContext, WasmResultValues, log,
  registerRootContext, send_local_response, stream_context,
} from "@solo-io/proxy-runtime";

class Plugin extends RootContext {
  requests: Counter = new Counter("assemblyscript_requests");

  createContext(context_id: u32): Context {
    return new Stream(context_id, this);
  }
}

class Stream extends Context {
  plugin: Plugin;

  constructor(context_id: u32, plugin: Plugin) {
    super(context_id, plugin);
    this.plugin = plugin;
  }

  onRequestHeaders(_headers: u32, _end_of_stream: bool): FilterHeadersStatusValues {
    this.plugin.requests.increment(1);
    const request = stream_context.headers.request;
    request.add("x-filter-seen", this.plugin.getConfiguration());
    const path = request.get(":path");
    if (path == "/answer") {
      send_local_response(418, "teapot", String.UTF8.encode("short and stout"), [], GrpcStatusValues.Ok);
      return FilterHeadersStatusValues.StopIteration;
    }
    if (path == "/ask") {
      const headers = [pair(":method", "GET"), pair(":path", "/callout"), pair(":authority", "origin")];
      const result = this.plugin.httpCall("origin", headers, new ArrayBuffer(0), [], 1000, this, answered);
      return result == WasmResultValues.Ok ? FilterHeadersStatusValues.StopIteration : FilterHeadersStatusValues.Continue;
    }
    return FilterHeadersStatusValues.Continue;
  }

  onResponseHeaders(_headers: u32, _end_of_stream: bool): FilterHeadersStatusValues {
    stream_context.headers.response.add("x-filter", this.plugin.getConfiguration());
    log(LogLevelValues.info, "answered");
    return FilterHeadersStatusValues.Continue;
  }
}

function pair(name: string, value: string): HeaderPair {
  return new HeaderPair(String.UTF8.encode(name), String.UTF8.encode(value));
}

function answered(stream: Context, _headers: u32, _body_size: usize, _trailers: u32): void {
  stream_context.headers.request.add("x-answer", stream_context.headers.http_callback.get(":status"));
  stream.continueRequest();
}

registerRootContext((context_id: u32) => new Plugin(context_id), "root");
