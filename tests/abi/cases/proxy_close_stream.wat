;;; cites ABI 0.2.1 "proxy_close_stream"

;;; case the client gets no response from the filter
;;; send GET /
;;; client 0
;;; origin-none
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $close_stream (i32.const 0)))
  (i32.const 1))

;;; case a response that is closed is none
;;; send GET /
;;; client 0
;;; record 0
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $say (call $close_stream (i32.const 1)))
  (i32.const 1))

;;; case nothing goes to the origin, and closing twice is closing once
;;; differs the process ends with a segmentation fault
;;; send GET /
;;; origin-none
;;; record 0
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $close_stream (i32.const 0)))
  (call $say (call $close_stream (i32.const 0)))
  (i32.const 1))

;;; case other streams: the client's and the upstream's connection are OK, unknown ones BAD_ARGUMENT
;;; send GET /
;;; client 200
;;; record 0
;;; record 0
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $close_stream (i32.const 2)))
  (call $say (call $close_stream (i32.const 3)))
  (call $say (call $close_stream (i32.const 9)))
  (i32.const 0))
