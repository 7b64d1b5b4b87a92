;;; cites ABI 0.2.1 "Properties"; Envoy's "Attributes"

;;; case the plugin's own names, already when its context is made
;;; cites Envoy 1.40, recorded
;;; manifest vmId: abi
;;; send GET /
;;; record 0 root
;;; record 0 abi
;;; record 0 abi
(func $on_context_create (param i32 i32)
  (if (local.get 1) (then (return)))
  (call $show (call $get_property @"plugin_root_id" @out))
  (call $show (call $get_property @"plugin_name" @out))
  (call $show (call $get_property @"plugin_vm_id" @out)))

;;; case of the request
;;; send POST /p?q=1 | x-a: one | user-agent: abi/1 | body=abc
;;; record 0 /p?q=1
;;; record 0 POST
;;; record 0 test.example
;;; record 0 one
;;; record 0 abi/1
;;; record 0 HTTP/1.1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"request\00path" @out))
  (call $show (call $get_property @"request\00method" @out))
  (call $show (call $get_property @"request\00host" @out))
  (call $show (call $get_property @"request\00headers\00x-a" @out))
  (call $show (call $get_property @"request\00useragent" @out))
  (call $show (call $get_property @"request\00protocol" @out))
  (i32.const 0))

;;; case more of the request
;;; not host it is the embedder's
;;; send GET /p?q=1 | referer: http://a/ | x-request-id: 01234567-89ab-4cde-8f01-23456789abcd
;;; record 0 /p
;;; record 0 q=1
;;; record 0 http
;;; record 0 http://a/
;;; record 0 8
;;; record 0 8
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"request\00url_path" @out))
  (call $show (call $get_property @"request\00query" @out))
  (call $show (call $get_property @"request\00scheme" @out))
  (call $show (call $get_property @"request\00referer" @out))
  (call $show_len (call $get_property @"request\00time" @out))
  (call $show_len (call $get_property @"request\00size" @out))
  (i32.const 0))

;;; case the request's sizes, little endian; the head counts in the total
;;; not host it is the embedder's
;;; send POST / | body=0123456789
;;; record 0 0a00000000000000
;;; record 1
(func $on_log (param i32)
  (call $show_hex (call $get_property @"request\00size" @out))
  (drop (call $get_property @"request\00total_size" @out))
  (call $say (i64.gt_u (i64.load (i32.load (i32.const 4000))) (i64.const 40))))

;;; case of the response, once it is known
;;; not host it is the embedder's
;;; send GET /
;;; answer 201 | x-b: two | body=abc
;;; record 1
;;; record 0 c900000000000000
;;; record 0 two
;;; record 0 0300000000000000
;;; record 0 8
;;; record 0 8
;;; record 0 via_upstream
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"response\00code" @out))
  (i32.const 0))
(func $on_log (param i32)
  (call $show_hex (call $get_property @"response\00code" @out))
  (call $show (call $get_property @"response\00headers\00x-b" @out))
  (call $show_hex (call $get_property @"response\00size" @out))
  (call $show_len (call $get_property @"response\00total_size" @out))
  (call $show_len (call $get_property @"response\00flags" @out))
  (call $show (call $get_property @"response\00code_details" @out)))

;;; case of the connection and where it goes
;;; not host it is the embedder's
;;; send GET /
;;; record 127.0.0.1:
;;; record 0 8
;;; record 127.0.0.1:
;;; record 0 8
;;; record 0 8
;;; record 0 00
;;; record 127.0.0.1:
;;; record 0 8
(func $prefix (param i32)
  (if (local.get 0) (then (call $say (local.get 0)) (return)))
  (call $note (i32.load (i32.const 4000)) (i32.const 10)))
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $prefix (call $get_property @"source\00address" @out))
  (call $show_len (call $get_property @"source\00port" @out))
  (call $prefix (call $get_property @"destination\00address" @out))
  (call $show_len (call $get_property @"destination\00port" @out))
  (call $show_len (call $get_property @"connection\00id" @out))
  (call $show_hex (call $get_property @"connection\00mtls" @out))
  (call $prefix (call $get_property @"upstream\00address" @out))
  (call $show_len (call $get_property @"upstream\00port" @out))
  (i32.const 0))

;;; case names of configuration
;;; not host it is the embedder's
;;; send GET /
;;; record 0 all
;;; record 0 origin
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"xds\00route_name" @out))
  (call $show (call $get_property @"xds\00cluster_name" @out))
  (i32.const 0))

;;; case what is not known is NOT_FOUND, what has no form is SERIALIZATION_FAILURE
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; record 1
;;; record 1
;;; record 3
;;; record 3
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"nothing" @out))
  (call $show (call $get_property @"request\00headers\00x-a" @out))
  (call $show (call $get_property @"request" @out))
  (call $show (call $get_property @none @out))
  (i32.const 0))

;;; case what a filter sets it reads again, under the same path
;;; send GET /
;;; record 0
;;; record 0 value
;;; record 0
;;; record 0 deep
;;; differs a path of several segments is not found again
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_property @"mine" @"value"))
  (call $show (call $get_property @"mine" @out))
  (call $say (call $set_property @"a\00b" @"deep"))
  (call $show (call $get_property @"a\00b" @out))
  (i32.const 0))

;;; case what is set lasts for the stream, and for that stream alone
;;; send GET /one
;;; send GET /two
;;; record 1
;;; record 0 value
;;; record 1
;;; record 0 value
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"mine" @out))
  (drop (call $set_property @"mine" @"value"))
  (i32.const 0))
(func $on_log (param i32) (call $show (call $get_property @"mine" @out)))

;;; case what is set is filter state, too
;;; cites Envoy 1.40, recorded
;;; not host it is the embedder's
;;; send GET /
;;; record 0 value
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $set_property @"mine" @"value"))
  (call $show (call $get_property @"filter_state\00wasm.mine" @out))
  (i32.const 0))

;;; case without a stream nothing can be set
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; record 1
(func $on_configure (param i32 i32) (result i32)
  (call $say (call $set_property @"mine" @"value"))
  (i32.const 1))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @outside (i32.const 3) @out))
  (call $say (call $set_property @outside (i32.const 3) @"value"))
  (call $say (call $set_property @"mine" @outside (i32.const 3)))
  (i32.const 0))
