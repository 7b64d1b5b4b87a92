;;; cites ABI 0.2.1 "proxy_set_header_map_pairs", "Serialized map"

;;; case the whole map is replaced
;;; send GET /old | x-a: one
;;; record 0
;;; origin-target GET /new
;;; origin-header x-a absent
;;; origin-header x-b: two
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_header_map_pairs (i32.const 0)
    @map{:method: GET, :path: /new, :authority: test.example, :scheme: http, x-forwarded-proto: http, x-b: two}))
  (i32.const 0))

;;; case a map that does not parse changes nothing
;;; cites ABI 0.2.1 "Serialized map"
;;; send GET /same | x-a: one
;;; client 200
;;; record 2
;;; record 2
;;; record 2
;;; record 0 /same
;;; origin-target GET /same
;;; differs it answers OK and the map is empty afterwards: the request gets 404
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_header_map_pairs (i32.const 0) @bytes{05 00 00 00 01}))
  (call $say (call $set_header_map_pairs (i32.const 0) @bytes{01 00 00 00 01 00 00 00 01 00 00 00 61 00 62 00 63}))
  (call $say (call $set_header_map_pairs (i32.const 0) @bytes{ff ff ff ff 01 00 00 00}))
  (call $show (call $get_header_map_value (i32.const 0) @":path" @out))
  (i32.const 0))

;;; case a map with an illegal value changes nothing
;;; send GET /same | x-a: one
;;; client 200
;;; record 2
;;; origin-header x-a: one
;;; differs it answers OK and the request then gets 503
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_header_map_pairs (i32.const 0)
    @map{:method: GET, :path: /new, :authority: test.example, :scheme: http, x-forwarded-proto: http, x-a: b\0d\0ac}))
  (i32.const 0))

;;; case response headers are replaced
;;; send GET /
;;; answer 200 | x-b: two | body=b
;;; client 202
;;; client-header x-b absent
;;; client-header x-c: three
(func $on_response_headers (param i32 i32 i32) (result i32)
  (drop (call $set_header_map_pairs (i32.const 2) @map{:status: 202, x-c: three}))
  (i32.const 0))

;;; case trailers are replaced, and may become none
;;; send POST / | body=abc | trailer=x-t: one
;;; record 0
;;; origin-trailer x-t absent
(func $on_request_trailers (param i32 i32) (result i32)
  (call $say (call $set_header_map_pairs (i32.const 1) @bytes{00 00 00 00}))
  (i32.const 0))

;;; case bad maps and pointers
;;; send GET /
;;; record 2
;;; record 2
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_header_map_pairs (i32.const 2) @map{x-a: one}))
  (call $say (call $set_header_map_pairs (i32.const 99) @map{x-a: one}))
  (call $say (call $set_header_map_pairs (i32.const 0) @outside (i32.const 8)))
  (i32.const 0))
