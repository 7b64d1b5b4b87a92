;;; cites ABI 0.2.1 "proxy_continue_stream"

;;; case inside of the callback that then pauses, it resumes at once
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 200
;;; client-body origin
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $continue_stream (i32.const 0)))
  (i32.const 1))

;;; case without a pause it does nothing
;;; differs most times the request is sent to the origin twice
;;; send GET /
;;; client 200
;;; origin-target GET /
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $continue_stream (i32.const 0)))
  (i32.const 0))

;;; case without a pause a request with a body is sent once, too
;;; send POST / | body=abc
;;; client 200
;;; origin-target POST /
;;; origin-body abc
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $continue_stream (i32.const 0)))
  (i32.const 0))

;;; case of a response that has not begun it does nothing
;;; send GET /
;;; client 200
;;; record 0
;;; differs the process ends with a segmentation fault
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $continue_stream (i32.const 1)))
  (i32.const 0))

;;; case one from before does not end a later pause
;;; manifest limits: {pause: 300ms}
;;; send GET /
;;; client 504
;;; differs the process ends with a segmentation fault
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $continue_stream (i32.const 1)))
  (i32.const 0))
(func $on_response_headers (param i32 i32 i32) (result i32) (i32.const 1))

;;; case other streams: the client's connection is OK, the upstream's UNIMPLEMENTED, unknown ones BAD_ARGUMENT
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 200
;;; record 0
;;; record 12
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $continue_stream (i32.const 2)))
  (call $say (call $continue_stream (i32.const 3)))
  (call $say (call $continue_stream (i32.const 9)))
  (i32.const 0))

;;; case a paused response goes on
;;; send GET /
;;; client 200
;;; client-body origin
(func $on_response_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $set_tick_period_milliseconds (i32.const 30)))
  (i32.const 1))
(func $on_tick (param i32)
  (drop (call $set_tick_period_milliseconds (i32.const 0)))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 1))))

;;; case a paused body goes on as it is
;;; send POST / | body=abcdef
;;; client 200
;;; origin-body abcdef
(func $on_request_body (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $set_tick_period_milliseconds (i32.const 30)))
  (i32.const 1))
(func $on_tick (param i32)
  (drop (call $set_tick_period_milliseconds (i32.const 0)))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case paused trailers go on as they are
;;; send POST / | trailer: x-t | body=abc | trailer=x-t: one
;;; client 200
;;; origin-body abc
;;; origin-trailer x-t: one
(func $on_request_trailers (param i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $set_tick_period_milliseconds (i32.const 30)))
  (i32.const 1))
(func $on_tick (param i32)
  (drop (call $set_tick_period_milliseconds (i32.const 0)))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case a stream that nobody resumes ends all the same
;;; cites RFC 9110, section 15.6.5
;;; not host its embedder has no clock
;;; manifest limits: {pause: 300ms}
;;; send GET /
;;; client 504
;;; origin-none
;;; differs it waits until the client gives up
(func $on_request_headers (param i32 i32 i32) (result i32) (i32.const 1))
