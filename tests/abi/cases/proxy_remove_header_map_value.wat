;;; cites ABI 0.2.1 "proxy_remove_header_map_value"

;;; case all lines of the name go
;;; send GET / | x-a: one | x-a: two
;;; record 0
;;; origin-header x-a absent
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $remove_header_map_value (i32.const 0) @"X-A"))
  (i32.const 0))

;;; case a missing name is OK
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $remove_header_map_value (i32.const 0) @"x-a"))
  (i32.const 0))

;;; case pseudo-headers cannot be removed
;;; cites RFC 9113, section 8.3.1: a request has them
;;; send GET /
;;; client 200
;;; record 2
;;; differs the call answers OK and the request then gets 503
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $remove_header_map_value (i32.const 0) @":method"))
  (i32.const 0))

;;; case a header of the response goes
;;; send GET /
;;; answer 200 | x-b: two | body=b
;;; client-header x-b absent
(func $on_response_headers (param i32 i32 i32) (result i32)
  (drop (call $remove_header_map_value (i32.const 2) @"x-b"))
  (i32.const 0))

;;; case bad maps and pointers
;;; send GET /
;;; record 2
;;; record 2
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $remove_header_map_value (i32.const 2) @"x-a"))
  (call $say (call $remove_header_map_value (i32.const 99) @"x-a"))
  (call $say (call $remove_header_map_value (i32.const 0) @outside (i32.const 3)))
  (i32.const 0))
