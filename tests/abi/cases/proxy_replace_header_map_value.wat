;;; cites ABI 0.2.1 "proxy_replace_header_map_value"

;;; case all lines of the name become one
;;; send GET / | x-a: one | x-a: two
;;; record 0
;;; origin-header x-a: three
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $replace_header_map_value (i32.const 0) @"x-a" @"three"))
  (i32.const 0))

;;; case a name that was not there is added
;;; send GET /
;;; record 0
;;; origin-header x-a: one
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $replace_header_map_value (i32.const 0) @"x-a" @"one"))
  (i32.const 0))

;;; case the path goes to the origin as it was set
;;; send GET /old
;;; record 0
;;; origin-target GET /new?x=1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $replace_header_map_value (i32.const 0) @":path" @"/new?x=1"))
  (i32.const 0))

;;; case the method goes to the origin as it was set
;;; send GET /
;;; origin-target DELETE /
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $replace_header_map_value (i32.const 0) @":method" @"DELETE"))
  (i32.const 0))

;;; case the status goes to the client as it was set
;;; send GET /
;;; client 418
;;; client-body origin
(func $on_response_headers (param i32 i32 i32) (result i32)
  (drop (call $replace_header_map_value (i32.const 2) @":status" @"418"))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $replace_header_map_value (i32.const 0) @outside (i32.const 3) @"one"))
  (call $say (call $replace_header_map_value (i32.const 0) @"x-a" @outside (i32.const 3)))
  (i32.const 0))

;;; case the wrong map is BAD_ARGUMENT
;;; send GET /
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $replace_header_map_value (i32.const 2) @"x-a" @"one"))
  (call $say (call $replace_header_map_value (i32.const 99) @"x-a" @"one"))
  (i32.const 0))
