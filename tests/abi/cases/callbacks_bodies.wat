;;; cites ABI 0.2.1 "proxy_on_request_body", "proxy_on_response_body"; Envoy 1.40, recorded

;;; case a request without a body has no body callback, and its head ends the stream
;;; send GET /
;;; record headers 1
(func $on_request_headers (param i32 i32 i32) (result i32) (call $tell @"headers" (local.get 2)) (i32.const 0))
(func $on_request_body (param i32 i32 i32) (result i32) (call $note @"body") (i32.const 0))

;;; case a paused body comes again as a whole
;;; send POST / | body=abc,def
;;; origin-body abcdef
;;; record 0 abcdef
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1) @out))
  (i32.const 0))

;;; case a paused response body comes again as a whole
;;; send GET /
;;; answer 200 | body=abc,def
;;; client-body abcdef
;;; record 0 abcdef
(func $on_response_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $show (call $get_buffer_bytes (i32.const 1) (i32.const 0) (i32.const -1) @out))
  (i32.const 0))

;;; case with trailers no body callback ends the stream, and trailers let a paused body go
;;; send POST / | trailer: x-t | body=abc | trailer=x-t: one
;;; origin-body abc
;;; origin-trailer x-t: one
;;; record end 0
;;; record trailers 1
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (local.get 1) (then (call $tell @"end" (local.get 2))))
  (i32.const 1))
(func $on_request_trailers (param i32 i32) (result i32) (call $tell @"trailers" (local.get 1)) (i32.const 0))

;;; case while the head is paused there is no body callback; after it the body comes
;;; send POST / | body=abc
;;; client 200
;;; origin-body abc
;;; record tick
;;; record 0 
;;; record 0 abc
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $set_tick_period_milliseconds (i32.const 60)))
  (i32.const 1))
(func $on_tick (param i32)
  (drop (call $set_tick_period_milliseconds (i32.const 0)))
  (call $note @"tick")
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1) @out))
  (drop (call $continue_stream (i32.const 0))))
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (local.get 1) (then (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1) @out))))
  (i32.const 0))

;;; case HEAD and 204 have no response body, and the head ends the stream
;;; send HEAD /
;;; send GET /none
;;; answer 204
;;; client 204
;;; record headers 1
;;; record headers 1
(func $on_response_headers (param i32 i32 i32) (result i32) (call $tell @"headers" (local.get 2)) (i32.const 0))
(func $on_response_body (param i32 i32 i32) (result i32) (call $note @"body") (i32.const 0))

;;; case the body comes while the head is held, if that is asked for, and both are decided on together
;;; not host it is the embedder's
;;; body-while-paused
;;; send POST /old | body=abc,def
;;; client 200
;;; origin-target PUT /abcdef
;;; origin-header x-a: one
;;; origin-body new
;;; record 0 /old
(func $on_request_headers (param i32 i32 i32) (result i32) (i32.const 1))
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $show (call $get_header_map_value (i32.const 0) @":path" @out))
  (drop (call $get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1) @out))
  (i32.store8 (i32.const 5000) (i32.const 47))
  (i64.store (i32.const 5001) (i64.load (i32.load (i32.const 4000))))
  (drop (call $replace_header_map_value (i32.const 0) @":path" (i32.const 5000) (i32.const 7)))
  (drop (call $replace_header_map_value (i32.const 0) @":method" @"PUT"))
  (drop (call $add_header_map_value (i32.const 0) @"x-a" @"one"))
  (drop (call $remove_header_map_value (i32.const 0) @"content-length"))
  (drop (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1) @"new"))
  (i32.const 0))

;;; case a held head is answered from the body's callback, and nothing goes to the origin
;;; not host it is the embedder's
;;; body-while-paused
;;; send POST / | body=abc,def
;;; client 403
;;; origin-none
(func $on_request_headers (param i32 i32 i32) (result i32) (i32.const 1))
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (local.get 2)
    (then (drop (call $send_local_response (i32.const 403) @none @"no" @none (i32.const -1)))))
  (i32.const 1))

;;; case a held head with more body than may be kept gets 413
;;; cites RFC 9110, section 15.5.14
;;; not host it is the embedder's
;;; not other the kit cannot set its limit
;;; body-while-paused
;;; manifest limits: {body: 4, pause: 1s}
;;; send POST / | body=abc,def
;;; client 413
;;; origin-none
(func $on_request_headers (param i32 i32 i32) (result i32) (i32.const 1))
(func $on_request_body (param i32 i32 i32) (result i32) (i32.const 1))

;;; case a held head is let go by the trailers, too
;;; not host it is the embedder's
;;; body-while-paused
;;; send POST / | trailer: x-t | body=abc | trailer=x-t: one
;;; client 200
;;; origin-header x-a: one
;;; origin-body abc
;;; origin-trailer x-t: one
(func $on_request_headers (param i32 i32 i32) (result i32) (i32.const 1))
(func $on_request_body (param i32 i32 i32) (result i32) (i32.const 1))
(func $on_request_trailers (param i32 i32) (result i32)
  (drop (call $add_header_map_value (i32.const 0) @"x-a" @"one"))
  (i32.const 0))

;;; case a held head is let go by a tick, with what there is of the body
;;; not host it is the embedder's
;;; body-while-paused
;;; send POST / | body=abc
;;; client 200
;;; origin-body abc
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (i32.const 1))
(func $on_request_body (param i32 i32 i32) (result i32)
  (drop (call $set_tick_period_milliseconds (i32.const 60)))
  (i32.const 1))
(func $on_tick (param i32)
  (drop (call $set_tick_period_milliseconds (i32.const 0)))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case a body is set only in its callback
;;; send GET /
;;; client 200
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 0) @"ab"))
  (call $say (call $set_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 0) @"ab"))
  (i32.const 0))
