;;; cites ABI 0.2.1 "proxy_http_call", "proxy_on_http_call_response"

;;; case trailers go with the call
;;; differs they do not arrive
;;; send GET /
;;; client 200
;;; record 0 x-one=1;x-two=2;
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: PUT, :path: /callout-echo-trailers, :authority: calls}
    @"body" @map{x-one: 1, x-two: 2} (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $show (call $get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const -1) @out))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case trailers of the answer are counted and read, by name and as a whole
;;; send GET /
;;; client 200
;;; record trailers 1
;;; record 0 last
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: GET, :path: /callout-trailers, :authority: calls, te: trailers}
    @none @none (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $tell @"trailers" (local.get 4))
  (call $show (call $get_header_map_value (i32.const 7) @"x-end" @out))
  (call $show (call $get_header_map_value (i32.const 7) @"x-other" @out))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))

;;; case an answer that breaks off is a 503 of the host's
;;; differs it is a reset: no lines, and get_status answers 11; filters that read a status then fail
;;; send GET /
;;; client 200
;;; record lines 3
;;; record body 1
;;; record 0 503
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $http_call @"origin" @map{:method: GET, :path: /callout-cut, :authority: calls}
    @none @none (i32.const 3000) (i32.const 3004)))
  (i32.const 1))
(func $on_http_call_response (param i32 i32 i32 i32 i32)
  (call $tell @"lines" (local.get 2))
  (call $tell @"body" (i32.gt_u (local.get 3) (i32.const 0)))
  (call $show (call $get_header_map_value (i32.const 6) @":status" @out))
  (drop (call $get_status @number (i32.const 4000) (i32.const 4004)))
  (call $say (call $number))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $continue_stream (i32.const 0))))
