;;; cites ABI 0.2.1 "proxy_get_header_map_value"

;;; case a value that is there
;;; send GET / | x-a: one
;;; record 0 one
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case a missing name is NOT_FOUND
;;; send GET /
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case a missing name is OK and empty in ABI 0.1.0
;;; cites Envoy 1.40, recorded
;;; abi 0.1.0
;;; send GET /
;;; record 0 
(func $on_request_headers (param i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case of several values, the first
;;; cites Envoy 1.40, recorded
;;; send GET / | x-a: one | x-a: two
;;; record 0 one
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case names are compared without regard to case
;;; send GET / | X-A: one
;;; record 0 one
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-A" @out))
  (i32.const 0))

;;; case an empty value is OK
;;; send GET /
;;; record 0
;;; record 0 
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $add_header_map_value (i32.const 0) @"x-a" @""))
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case pseudo-headers, and host is one of them
;;; cites Envoy 1.40, recorded
;;; send POST /p?q=1 | body=b
;;; record 0 POST
;;; record 0 /p?q=1
;;; record 0 test.example
;;; record 0 test.example
;;; record 0 http
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @":method" @out))
  (call $show (call $get_header_map_value (i32.const 0) @":path" @out))
  (call $show (call $get_header_map_value (i32.const 0) @":authority" @out))
  (call $show (call $get_header_map_value (i32.const 0) @"host" @out))
  (call $show (call $get_header_map_value (i32.const 0) @":scheme" @out))
  (i32.const 0))

;;; case maps that are not there yet, or not at all, are BAD_ARGUMENT
;;; send GET / | x-a: one
;;; record 2
;;; record 2
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 2) @"x-a" @out))
  (call $show (call $get_header_map_value (i32.const 3) @"x-a" @out))
  (call $show (call $get_header_map_value (i32.const 8) @"x-a" @out))
  (call $show (call $get_header_map_value (i32.const -1) @"x-a" @out))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; cites Envoy 1.40, recorded
;;; send GET / | x-a: one
;;; record 6
;;; record 6
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @outside (i32.const 3) @out))
  (call $show (call $get_header_map_value (i32.const 0) (i32.const 100) (i32.const -1) @out))
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @outside (i32.const 4004)))
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" (i32.const 4000) @outside))
  (i32.const 0))

;;; case the response's headers, in their phase
;;; send GET /
;;; answer 201 | x-b: two | body=b
;;; client 201
;;; record 0 two
;;; record 0 201
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 2) @"x-b" @out))
  (call $show (call $get_header_map_value (i32.const 2) @":status" @out))
  (i32.const 0))

;;; case request headers can be read while logging, and not written
;;; cites Envoy 1.40, recorded
;;; send GET / | x-a: one
;;; record 0 one
;;; record 2
(func $on_log (param i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (call $say (call $add_header_map_value (i32.const 0) @"x-b" @"two")))

;;; case request headers can be read in response callbacks
;;; cites ABI 0.2.1 "proxy_get_header_map_value": no phase is excluded
;;; send GET / | x-a: one
;;; record 0 one
;;; differs it answers BAD_ARGUMENT, on which filters trip; reading them harms nobody
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))
