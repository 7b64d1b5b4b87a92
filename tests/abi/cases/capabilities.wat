;;; cites docs/filters.md, "The manifest"

;;; case a hidden header is not found, is in no map and no property, and goes on as it was
;;; not host its plugin has no such manifest
;;; not other it has no such manifest
;;; manifest capabilities: {hideHeaders: [X-Secret]}
;;; send POST / | x-secret: key | x-a: one | trailer: x-t | body=abc | trailer=x-t: 1 | trailer=x-secret: 2
;;; client 200
;;; origin-header x-secret: key
;;; record 1
;;; record 1
;;; record 0 one
;;; record 0 18
;;; record 0 4
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"X-Secret" @out))
  (call $show (call $get_property @"request\00headers\00x-secret" @out))
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))
(func $on_request_trailers (param i32 i32) (result i32)
  (call $show_len (call $get_header_map_pairs (i32.const 1) @out))
  (call $show_number (call $get_header_map_size (i32.const 1) @number))
  (i32.const 0))

;;; case a hidden header cannot be written: INTERNAL_FAILURE
;;; not host its plugin has no such manifest
;;; not other it has no such manifest
;;; manifest capabilities: {hideHeaders: [x-secret]}
;;; send GET / | x-secret: key
;;; client 200
;;; origin-header x-secret: key
;;; record 10
;;; record 10
;;; record 10
;;; record 10
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $add_header_map_value (i32.const 0) @"x-secret" @"other"))
  (call $say (call $replace_header_map_value (i32.const 0) @"x-secret" @"other"))
  (call $say (call $remove_header_map_value (i32.const 0) @"x-secret"))
  (call $say (call $set_header_map_pairs (i32.const 0)
    @map{:method: GET, :path: /, :authority: test.example, :scheme: http, x-secret: other}))
  (i32.const 0))

;;; case a hidden header outlasts a map that is replaced as a whole
;;; not host its plugin has no such manifest
;;; not other it has no such manifest
;;; manifest capabilities: {hideHeaders: [x-secret]}
;;; send GET / | x-secret: key | x-a: one
;;; client 200
;;; origin-header x-secret: key
;;; origin-header x-a absent
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_header_map_pairs (i32.const 0)
    @map{:method: GET, :path: /, :authority: test.example, :scheme: http}))
  (i32.const 0))

;;; case without callouts every call is INTERNAL_FAILURE
;;; not host its plugin has no such manifest
;;; not other it has no such manifest
;;; manifest capabilities: {callouts: []}
;;; send GET /
;;; client 200
;;; record 10
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $http_call @"origin" @map{:method: GET, :path: /callout, :authority: calls}
    @none @none (i32.const 300) (i32.const 3004)))
  (i32.const 0))
