// Command filter is the kit's filter (../README.md) in Go, against the ABI itself.
package main

import (
	"encoding/binary"
	"unsafe"
)

const (
	requestHeaders  = 0
	responseHeaders = 2
	answerHeaders   = 6
	pluginConfig    = 7
	paused          = 1
)

//go:wasmimport env proxy_add_header_map_value
func addHeader(kind int32, name unsafe.Pointer, nameLen int32, value unsafe.Pointer, valueLen int32) int32

//go:wasmimport env proxy_get_header_map_value
func getHeader(kind int32, name unsafe.Pointer, nameLen int32, value, valueLen unsafe.Pointer) int32

//go:wasmimport env proxy_get_buffer_bytes
func getBuffer(kind, start, max int32, value, valueLen unsafe.Pointer) int32

//go:wasmimport env proxy_send_local_response
func sendLocalResponse(status int32, details unsafe.Pointer, detailsLen int32, body unsafe.Pointer, bodyLen int32, headers unsafe.Pointer, headersLen, grpcStatus int32) int32

//go:wasmimport env proxy_http_call
func httpCall(upstream unsafe.Pointer, upstreamLen int32, headers unsafe.Pointer, headersLen int32, body unsafe.Pointer, bodyLen int32, trailers unsafe.Pointer, trailersLen, timeout int32, token unsafe.Pointer) int32

//go:wasmimport env proxy_set_effective_context
func setEffectiveContext(id int32) int32

//go:wasmimport env proxy_continue_stream
func continueStream(stream int32) int32

//go:wasmimport env proxy_define_metric
func defineMetric(kind int32, name unsafe.Pointer, nameLen int32, id unsafe.Pointer) int32

//go:wasmimport env proxy_increment_metric
func incrementMetric(id int32, offset int64) int32

var (
	// What the host allocated, and what it is given to keep: neither may be collected.
	allocated = map[uintptr][]byte{}
	config    string
	requests  int32
	waiting   = map[int32]int32{}
)

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

//go:wasmexport proxy_on_memory_allocate
func allocate(size int32) unsafe.Pointer {
	bytes := make([]byte, max(size, 1))
	at := unsafe.Pointer(unsafe.SliceData(bytes))
	allocated[uintptr(at)] = bytes
	return at
}

//go:wasmexport proxy_on_configure
func onConfigure(_, size int32) int32 {
	config = buffer(pluginConfig, size)
	name, nameLen := text("go_requests")
	if defineMetric(0, name, nameLen, unsafe.Pointer(&requests)) != 0 {
		return 0
	}
	return 1
}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(id, _, _ int32) int32 {
	incrementMetric(requests, 1)
	add(requestHeaders, "x-filter-seen", config)
	switch get(requestHeaders, ":path") {
	case "/answer":
		details, detailsLen := text("teapot")
		body, bodyLen := text("short and stout")
		sendLocalResponse(418, details, detailsLen, body, bodyLen, nil, 0, -1)
		return paused
	case "/ask":
		upstream, upstreamLen := text("origin")
		headers := serialized([][2]string{{":method", "GET"}, {":path", "/callout"}, {":authority", "origin"}})
		var token int32
		if httpCall(upstream, upstreamLen, unsafe.Pointer(unsafe.SliceData(headers)), int32(len(headers)), nil, 0, nil, 0, 1000, unsafe.Pointer(&token)) != 0 {
			return 0
		}
		waiting[token] = id
		return paused
	}
	return 0
}

//go:wasmexport proxy_on_http_call_response
func onHTTPCallResponse(_, token, _, _, _ int32) {
	id, found := waiting[token]
	delete(waiting, token)
	if !found || setEffectiveContext(id) != 0 {
		return
	}
	add(requestHeaders, "x-answer", get(answerHeaders, ":status"))
	continueStream(0)
}

//go:wasmexport proxy_on_response_headers
func onResponseHeaders(_, _, _ int32) int32 {
	add(responseHeaders, "x-filter", config)
	println("answered")
	return 0
}

func add(kind int32, name, value string) {
	nameAt, nameLen := text(name)
	valueAt, valueLen := text(value)
	addHeader(kind, nameAt, nameLen, valueAt, valueLen)
}

func get(kind int32, name string) string {
	at, length := text(name)
	var value, valueLen uint32
	if getHeader(kind, at, length, unsafe.Pointer(&value), unsafe.Pointer(&valueLen)) != 0 {
		return ""
	}
	return taken(value, valueLen)
}

func buffer(kind, size int32) string {
	var value, valueLen uint32
	if getBuffer(kind, 0, size, unsafe.Pointer(&value), unsafe.Pointer(&valueLen)) != 0 {
		return ""
	}
	return taken(value, valueLen)
}

// taken copies what the host put into memory that it was given.
func taken(at, length uint32) string {
	bytes := allocated[uintptr(at)]
	delete(allocated, uintptr(at))
	return string(bytes[:length])
}

func text(of string) (unsafe.Pointer, int32) {
	return unsafe.Pointer(unsafe.StringData(of)), int32(len(of))
}

func serialized(entries [][2]string) []byte {
	bytes := binary.LittleEndian.AppendUint32(nil, uint32(len(entries)))
	for _, entry := range entries {
		bytes = binary.LittleEndian.AppendUint32(bytes, uint32(len(entry[0])))
		bytes = binary.LittleEndian.AppendUint32(bytes, uint32(len(entry[1])))
	}
	for _, entry := range entries {
		bytes = append(append(bytes, entry[0]...), 0)
		bytes = append(append(bytes, entry[1]...), 0)
	}
	return bytes
}

func main() {}
