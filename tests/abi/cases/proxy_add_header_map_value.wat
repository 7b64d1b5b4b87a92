;;; cites ABI 0.2.1 "proxy_add_header_map_value"

;;; case a new line goes on to the origin
;;; send GET /
;;; record 0
;;; origin-header x-a: one
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $add_header_map_value (i32.const 0) @"x-a" @"one"))
  (i32.const 0))

;;; case a line with the same name stays beside the new one
;;; send GET / | x-a: one
;;; origin-header x-a: one, two
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $add_header_map_value (i32.const 0) @"x-a" @"two"))
  (i32.const 0))

;;; case names arrive in lower case
;;; send GET /
;;; record 0 one
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $add_header_map_value (i32.const 0) @"X-Upper" @"one"))
  (call $show (call $get_header_map_value (i32.const 0) @"x-upper" @out))
  (i32.const 0))

;;; case a line for the client's response
;;; send GET /
;;; client-header x-b: two
;;; record 0
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $say (call $add_header_map_value (i32.const 2) @"x-b" @"two"))
  (i32.const 0))

;;; case the wrong map, or none, is BAD_ARGUMENT
;;; send GET /
;;; record 2
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $add_header_map_value (i32.const 2) @"x-a" @"one"))
  (call $say (call $add_header_map_value (i32.const 6) @"x-a" @"one"))
  (call $say (call $add_header_map_value (i32.const 99) @"x-a" @"one"))
  (i32.const 0))

;;; case a value with a line end is refused
;;; cites RFC 9110, section 5.5
;;; send GET /
;;; client 200
;;; record 2
;;; origin-header x-evil absent
;;; differs the call answers OK and the request then gets 503
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $add_header_map_value (i32.const 0) @"x-a" @"one\0d\0ax-evil: yes"))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $add_header_map_value (i32.const 0) @outside (i32.const 3) @"one"))
  (call $say (call $add_header_map_value (i32.const 0) @"x-a" @outside (i32.const 3)))
  (i32.const 0))

;;; case request headers that have gone on can no longer be changed
;;; cites ABI 0.2.1 "proxy_add_header_map_value"; Envoy 1.40, recorded
;;; send POST / | body=abc
;;; record 2
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.gt_u (local.get 1) (i32.const 0))
    (then (call $say (call $add_header_map_value (i32.const 0) @"x-a" @"one"))))
  (i32.const 0))

;;; case trailers of the request are made in its last body callback
;;; cites Envoy 1.40, recorded
;;; send POST / | body=abc
;;; origin-body abc
;;; origin-trailer x-t: end
;;; differs the length of the body was promised before, and no trailers can follow
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (local.get 2)
    (then (drop (call $add_header_map_value (i32.const 1) @"x-t" @"end"))))
  (i32.const 0))

;;; case trailers of a long request are made in its last body callback
;;; cites Envoy 1.40, recorded; RFC 9110, section 6.6.2: they are announced
;;; send POST / | body=abc,def
;;; origin-body abcdef
;;; origin-trailer x-t: end
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $add_header_map_value (i32.const 0) @"trailer" @"x-t"))
  (i32.const 0))
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (local.get 2)
    (then (drop (call $add_header_map_value (i32.const 1) @"x-t" @"end"))))
  (i32.const 0))

;;; case trailers of the response are made in its last body callback
;;; cites Envoy 1.40, recorded
;;; send GET / | te: trailers
;;; answer 200 | body=abc
;;; client-body abc
;;; client-trailer x-t: end
;;; differs the length of the body was promised before, and no trailers can follow
(func $on_response_body (param i32 i32 i32) (result i32)
  (if (local.get 2)
    (then (drop (call $add_header_map_value (i32.const 3) @"x-t" @"end"))))
  (i32.const 0))

;;; case trailers of a long response are made in its last body callback
;;; cites Envoy 1.40, recorded; RFC 9110, section 6.6.2: they are announced
;;; send GET / | te: trailers
;;; answer 200 | body=abc,def
;;; client-body abcdef
;;; client-trailer x-t: end
(func $on_response_headers (param i32 i32 i32) (result i32)
  (drop (call $add_header_map_value (i32.const 2) @"trailer" @"x-t"))
  (i32.const 0))
(func $on_response_body (param i32 i32 i32) (result i32)
  (if (local.get 2)
    (then (drop (call $add_header_map_value (i32.const 3) @"x-t" @"end"))))
  (i32.const 0))
