;;; cites ABI 0.2.1 "proxy_set_buffer_bytes"

;;; case nothing at the start: the bytes come first
;;; send POST / | body=0123456789
;;; origin-body ab0123456789
;;; record 0
;;; differs content-length is not adjusted: the origin gets another length than bytes
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $say (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 0) @"ab"))
  (i32.const 0))

;;; case everything is replaced
;;; send POST / | body=0123456789
;;; origin-body abcdefghij
;;; record 0
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $say (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 10) @"abcdefghij"))
  (i32.const 0))

;;; case the first bytes are replaced
;;; cites ABI 0.2.1 "proxy_set_buffer_bytes"; Envoy 1.40, recorded
;;; send POST / | body=0123456789
;;; origin-body abc3456789
;;; record 0
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $say (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 3) @"abc"))
  (i32.const 0))

;;; case bytes in the middle are replaced
;;; send POST / | body=0123456789
;;; origin-body 01abc56789
;;; record 0
;;; differs it answers BAD_ARGUMENT, against the ABI text
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $say (call $set_buffer_bytes (i32.const 0) (i32.const 2) (i32.const 3) @"abc"))
  (i32.const 0))

;;; case a start at or beyond the end appends; without a content-length any length goes
;;; send POST / | body=01234,56789
;;; origin-body 0123456789ab
;;; record 0
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $say (call $set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0) @"ab"))
  (i32.const 0))

;;; case a longer body is framed anew, and what is too much does not become a request
;;; cites RFC 9112, section 6.3
;;; send POST /one | body=0123456789
;;; origin-body 0123456789GET /smuggled HTTP/1.1
;;; send GET /two
;;; origin-target GET /two
;;; differs the surplus is read as the start of the next request
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (drop (call $set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0) @"GET /smuggled HTTP/1.1"))
  (i32.const 0))

;;; case a shorter response is framed anew
;;; cites RFC 9112, section 6.3
;;; send GET /
;;; answer 200 | body=0123456789
;;; client-body abc
;;; record 0
;;; differs content-length is not adjusted: the client waits for bytes that never come
(func $on_response_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $say (call $set_buffer_bytes (i32.const 1) (i32.const 0) (i32.const -1) @"abc"))
  (i32.const 0))

;;; case a longer response is framed anew
;;; cites RFC 9112, section 6.3
;;; send GET /
;;; answer 200 | body=0123456789
;;; client-body 0123456789abc
;;; differs content-length is not adjusted: the surplus stands where the next response begins
(func $on_response_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (drop (call $set_buffer_bytes (i32.const 1) (i32.const 10) (i32.const 0) @"abc"))
  (i32.const 0))

;;; case a body may become empty
;;; send POST / | body=abc,def
;;; origin-body 
;;; record 0
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $say (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1) @""))
  (i32.const 0))

;;; case buffers that are not there are NOT_FOUND, those that cannot be changed BAD_ARGUMENT
;;; cites Envoy 1.40, recorded
;;; vm-config v
;;; send GET /
;;; record 1
;;; record 2
;;; record 2
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 0) @"ab"))
  (call $say (call $set_buffer_bytes (i32.const 6) (i32.const 0) (i32.const 0) @"ab"))
  (call $say (call $set_buffer_bytes (i32.const 9) (i32.const 0) (i32.const 0) @"ab"))
  (call $say (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 0) @outside (i32.const 3)))
  (i32.const 0))
