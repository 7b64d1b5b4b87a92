;;; cites ABI 0.2.1 "proxy_send_local_response"

;;; case from request headers, with headers and body
;;; send GET /
;;; client 403
;;; client-body no
;;; client-header x-a: one
;;; client-header content-length: 2
;;; origin-none
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $send_local_response (i32.const 403) @"why" @"no" @map{x-a: one} (i32.const -1)))
  (i32.const 1))

;;; case what the callback answers after it does not matter
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 403
;;; origin-none
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $send_local_response (i32.const 403) @none @"no" @none (i32.const -1)))
  (i32.const 0))

;;; case of two, the first
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 403
;;; client-body first
;;; record 0
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $send_local_response (i32.const 403) @none @"first" @none (i32.const -1)))
  (call $say (call $send_local_response (i32.const 404) @none @"second" @none (i32.const -1)))
  (i32.const 1))

;;; case from the request's body
;;; send POST / | body=abc
;;; client 403
;;; client-body no
;;; origin-none
(func $on_request_headers (param i32 i32 i32) (result i32) (i32.const 0))
(func $on_request_body (param i32 i32 i32) (result i32)
  (drop (call $send_local_response (i32.const 403) @none @"no" @none (i32.const -1)))
  (i32.const 1))

;;; case from the request's trailers
;;; send POST / | body=abc | trailer=x-t: one
;;; client 403
;;; client-body no
(func $on_request_body (param i32 i32 i32) (result i32) (i32.const 1))
(func $on_request_trailers (param i32 i32) (result i32)
  (drop (call $send_local_response (i32.const 403) @none @"no" @none (i32.const -1)))
  (i32.const 1))

;;; case from response headers it takes the response's place
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 418
;;; client-body tea
;;; record headers
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $note @"headers")
  (drop (call $send_local_response (i32.const 418) @none @"tea" @none (i32.const -1)))
  (i32.const 1))

;;; case from the response's first body callback it takes the response's place
;;; send GET /
;;; answer 200 | body=abc
;;; client 418
;;; client-body tea
;;; differs its head has gone by then: the response is cut
(func $on_response_body (param i32 i32 i32) (result i32)
  (drop (call $send_local_response (i32.const 418) @none @"tea" @none (i32.const -1)))
  (i32.const 1))

;;; case the filter sees its own reply to a request
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 403
;;; client-header x-seen: yes
;;; record 0 403
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $send_local_response (i32.const 403) @none @"no" @none (i32.const -1)))
  (i32.const 1))
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 2) @":status" @out))
  (drop (call $add_header_map_value (i32.const 2) @"x-seen" @"yes"))
  (i32.const 0))

;;; case a length that the filter gives is not believed
;;; cites Envoy 1.40, recorded; RFC 9112, section 6.3
;;; send GET /
;;; client 403
;;; client-body no
;;; client-header content-length: 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $send_local_response (i32.const 403) @none @"no" @map{content-length: 100} (i32.const -1)))
  (i32.const 1))

;;; case a content-type that the filter gives replaces the usual one
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client-header content-type: application/json
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $send_local_response (i32.const 200) @none @"{}" @map{content-type: application/json} (i32.const -1)))
  (i32.const 1))

;;; case HEAD gets the head alone
;;; cites RFC 9110, section 9.3.2
;;; send HEAD /
;;; client 403
;;; client-body 
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $send_local_response (i32.const 403) @none @"no" @none (i32.const -1)))
  (i32.const 1))

;;; case a status that is none is BAD_ARGUMENT
;;; cites RFC 9110, section 15
;;; send GET /
;;; client 200
;;; record 2
;;; record 2
;;; record 2
;;; differs it answers OK and sends such a status as it is
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $send_local_response (i32.const 99) @none @none @none (i32.const -1)))
  (call $say (call $send_local_response (i32.const 101) @none @none @none (i32.const -1)))
  (call $say (call $send_local_response (i32.const 600) @none @none @none (i32.const -1)))
  (i32.const 0))

;;; case while logging it comes too late for anything
;;; send GET /
;;; client 200
;;; record 0
;;; differs the process ends with a segmentation fault
(func $on_log (param i32)
  (call $say (call $send_local_response (i32.const 403) @none @"no" @none (i32.const -1))))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; client 200
;;; record 6
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $send_local_response (i32.const 403) @outside (i32.const 3) @none @none (i32.const -1)))
  (call $say (call $send_local_response (i32.const 403) @none @outside (i32.const 3) @none (i32.const -1)))
  (call $say (call $send_local_response (i32.const 403) @none @none @outside (i32.const 3) (i32.const -1)))
  (i32.const 0))
