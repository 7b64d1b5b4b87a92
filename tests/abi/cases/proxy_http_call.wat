;;; cites ABI 0.2.1 "proxy_http_call", "proxy_on_http_call_response"

;;; case an answer: headers, body, counts; the stream goes on after it
;;; send GET /
;;; client 200
;;; origin-header x-call: yes
;;; record 0
;;; record context 1
;;; record token 1
;;; record body 6
;;; record trailers 0
;;; record 0 200
;;; record 0 yes
;;; record 0 called
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (call $say (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $tell @"context" (local.get 0))
  (call $tell @"token" (i32.eq (local.get 1) (i32.load (i32.const 3004))))
  (call $tell @"body" (local.get 3))
  (call $tell @"trailers" (local.get 4))
  (call $show (call $get_header_map_value (i32.const 6) @":status" @out))
  (call $show (call $get_header_map_value (i32.const 6) @"x-call" @out))
  (call $show (call $get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const -1) @out))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $add_header_map_value (i32.const 0) @"x-call" @"yes"))
  (drop (call $continue_stream (i32.const 0))))

;;; case the answer's maps stay readable after the stream is in effect
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 200
;;; record 2
;;; record 0 yes
;;; record 0 called
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $show (call $get_header_map_value (i32.const 0) @":path" @out))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (call $show (call $get_header_map_value (i32.const 6) @"x-call" @out))
  (call $show (call $get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const -1) @out))
  (drop (call $continue_stream (i32.const 0))))

;;; case a body goes with the call
;;; send GET /
;;; client 200
;;; record 0 PUT ten bytes!
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: PUT, :path: /callout-echo, :authority: calls}
    @"ten bytes!" @none (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $show (call $get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const -1) @out))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case trailers of the answer
;;; send GET /
;;; client 200
;;; record 1
;;; record 0 last
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: GET, :path: /callout-trailers, :authority: calls, te: trailers}
    @none @none (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $say (local.get 4))
  (call $show (call $get_header_map_value (i32.const 7) @"x-end" @out))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case a refused connection is answered by 503
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 200
;;; record 0 503
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"refused" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $show (call $get_header_map_value (i32.const 6) @":status" @out))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case one that takes too long is answered by 504
;;; cites Envoy 1.40, recorded
;;; manifest limits: {pause: 3s}
;;; send GET /
;;; client 200
;;; record 0 504
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: GET, :path: /callout-slow, :authority: calls}
    @none @none (i32.const 200) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $show (call $get_header_map_value (i32.const 6) @":status" @out))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case a chain: the answer's callback makes the next call
;;; send GET /
;;; client 200
;;; record 0
;;; record 0
;;; record 2
(func $call_out
  (call $say (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 3000) (i32.const 3004))))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (call $call_out)
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (i32.store (i32.const 3008) (i32.add (i32.load (i32.const 3008)) (i32.const 1)))
  (if (i32.eq (i32.load (i32.const 3008)) (i32.const 1)) (then (call $call_out) (return)))
  (call $say (i32.load (i32.const 3008)))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case several at the same time
;;; send GET /
;;; client 200
;;; record 3
(func $call_out
  (drop (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 3000) (i32.const 3004))))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (call $call_out) (call $call_out) (call $call_out)
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (i32.store (i32.const 3008) (i32.add (i32.load (i32.const 3008)) (i32.const 1)))
  (if (i32.lt_u (i32.load (i32.const 3008)) (i32.const 3)) (then (return)))
  (call $say (i32.load (i32.const 3008)))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case an answer after the stream's end goes to the plugin; the stream is unknown
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 200
;;; record answer
;;; record 2
(func $on_log (param i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 3000) (i32.const 3004))))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $note @"answer")
  (call $say (call $set_effective_context (i32.load (i32.const 3000)))))

;;; case an answer decides in place of the origin
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 401
;;; client-body no
;;; origin-none
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $send_local_response (i32.const 401) @none @"no" @none (i32.const -1))))

;;; case what cannot be called is BAD_ARGUMENT, and the token is zero
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 200
;;; record 2
;;; record 2
;;; record 2
;;; record 2
;;; record 2
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3004) (i32.const 77))
  (call $say (call $http_call @"unknown" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 300) (i32.const 3004)))
  (call $say (call $http_call @"origin" @map{:path: /callout, :authority: calls}
    @none @none (i32.const 300) (i32.const 3004)))
  (call $say (call $http_call @"origin" @map{:method: GET, :authority: calls}
    @none @none (i32.const 300) (i32.const 3004)))
  (call $say (call $http_call @"origin" @map{:method: GET, :path: /callout}
    @none @none (i32.const 300) (i32.const 3004)))
  (call $say (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const -1) (i32.const 3004)))
  (call $say (i32.load (i32.const 3004)))
  (i32.const 0))

;;; case an upstream that the manifest does not name is INTERNAL_FAILURE
;;; cites the manifest's capabilities; ABI 0.2.1 "INTERNAL_FAILURE"
;;; not other it has no such manifest
;;; send GET /
;;; client 200
;;; record 10
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $http_call @"forbidden" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 300) (i32.const 3004)))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; client 200
;;; record 6
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $http_call @outside (i32.const 3) @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 300) (i32.const 3004)))
  (call $say (call $http_call @"origin" @outside (i32.const 30)
    @none @none (i32.const 300) (i32.const 3004)))
  (call $say (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @outside (i32.const 3) @none (i32.const 300) (i32.const 3004)))
  (i32.const 0))
