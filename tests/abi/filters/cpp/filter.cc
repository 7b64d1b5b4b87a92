// The kit's filter (../README.md) in C++, against the ABI itself.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <unordered_map>
#include <utility>

#define IMPORT(name) __attribute__((import_module("env"), import_name(#name))) extern "C" uint32_t name
#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

IMPORT(proxy_add_header_map_value)(uint32_t map, const char* name, size_t name_size, const char* value, size_t value_size);
IMPORT(proxy_get_header_map_value)(uint32_t map, const char* name, size_t name_size, char** value, size_t* value_size);
IMPORT(proxy_get_buffer_bytes)(uint32_t buffer, size_t start, size_t max, char** value, size_t* value_size);
IMPORT(proxy_send_local_response)(uint32_t status, const char* details, size_t details_size, const char* body, size_t body_size,
                                  const char* headers, size_t headers_size, int32_t grpc_status);
IMPORT(proxy_http_call)(const char* upstream, size_t upstream_size, const char* headers, size_t headers_size, const char* body,
                        size_t body_size, const char* trailers, size_t trailers_size, uint32_t timeout_ms, uint32_t* token);
IMPORT(proxy_set_effective_context)(uint32_t id);
IMPORT(proxy_continue_stream)(uint32_t stream);
IMPORT(proxy_define_metric)(uint32_t kind, const char* name, size_t name_size, uint32_t* id);
IMPORT(proxy_increment_metric)(uint32_t id, int64_t offset);

namespace {

enum Map : uint32_t { kRequestHeaders = 0, kResponseHeaders = 2, kAnswerHeaders = 6 };
constexpr uint32_t kPluginConfiguration = 7;
constexpr uint32_t kContinue = 0;
constexpr uint32_t kPause = 1;

std::string config;
uint32_t requests;
// Constructed before main: the module's initializer runs constructors.
std::unordered_map<uint32_t, uint32_t> waiting;

std::string taken(char* value, size_t size) {
  std::string copy(value, size);
  free(value);
  return copy;
}

std::string get(Map map, const std::string& name) {
  char* value = nullptr;
  size_t size = 0;
  if (proxy_get_header_map_value(map, name.data(), name.size(), &value, &size) != 0) return "";
  return taken(value, size);
}

void add(Map map, const std::string& name, const std::string& value) {
  proxy_add_header_map_value(map, name.data(), name.size(), value.data(), value.size());
}

void append(std::string& bytes, uint32_t number) {
  for (int at = 0; at < 4; at++) bytes.push_back(static_cast<char>(number >> (8 * at)));
}

std::string serialized(std::initializer_list<std::pair<std::string, std::string>> entries) {
  std::string bytes;
  append(bytes, entries.size());
  for (const auto& [name, value] : entries) {
    append(bytes, name.size());
    append(bytes, value.size());
  }
  for (const auto& [name, value] : entries) bytes.append(name).append(1, '\0').append(value).append(1, '\0');
  return bytes;
}

}  // namespace

EXPORT(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1() {}

EXPORT(proxy_on_configure) uint32_t proxy_on_configure(uint32_t, uint32_t size) {
  char* value = nullptr;
  size_t value_size = 0;
  if (proxy_get_buffer_bytes(kPluginConfiguration, 0, size, &value, &value_size) != 0) return 0;
  config = taken(value, value_size);
  const std::string name = "cpp_requests";
  return proxy_define_metric(0, name.data(), name.size(), &requests) == 0;
}

EXPORT(proxy_on_request_headers) uint32_t proxy_on_request_headers(uint32_t id, uint32_t, uint32_t) {
  proxy_increment_metric(requests, 1);
  add(kRequestHeaders, "x-filter-seen", config);
  const std::string path = get(kRequestHeaders, ":path");
  if (path == "/answer") {
    const std::string details = "teapot", body = "short and stout";
    proxy_send_local_response(418, details.data(), details.size(), body.data(), body.size(), nullptr, 0, -1);
    return kPause;
  }
  if (path == "/ask") {
    const std::string upstream = "origin";
    const std::string headers = serialized({{":method", "GET"}, {":path", "/callout"}, {":authority", "origin"}});
    uint32_t token = 0;
    if (proxy_http_call(upstream.data(), upstream.size(), headers.data(), headers.size(), nullptr, 0, nullptr, 0, 1000, &token) != 0) {
      return kContinue;
    }
    waiting.emplace(token, id);
    return kPause;
  }
  return kContinue;
}

EXPORT(proxy_on_http_call_response) void proxy_on_http_call_response(uint32_t, uint32_t token, uint32_t, uint32_t, uint32_t) {
  const auto found = waiting.find(token);
  if (found == waiting.end()) return;
  const uint32_t id = found->second;
  waiting.erase(found);
  if (proxy_set_effective_context(id) != 0) return;
  add(kRequestHeaders, "x-answer", get(kAnswerHeaders, ":status"));
  proxy_continue_stream(0);
}

EXPORT(proxy_on_response_headers) uint32_t proxy_on_response_headers(uint32_t, uint32_t, uint32_t) {
  add(kResponseHeaders, "x-filter", config);
  puts("answered");
  return kContinue;
}
