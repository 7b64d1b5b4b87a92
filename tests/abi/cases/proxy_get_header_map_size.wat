;;; cites Envoy 1.40, recorded (the ABI text says "number of elements or size in bytes")

;;; case bytes of names and values
;;; send POST / | body=abc | trailer=x-t: one | trailer=x-uu: 2
;;; record 0 11
(func $on_request_trailers (param i32 i32) (result i32)
  (call $show_number (call $get_header_map_size (i32.const 1) @number))
  (i32.const 0))

;;; case a map that is not there is BAD_ARGUMENT
;;; send GET /
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show_number (call $get_header_map_size (i32.const 2) @number))
  (call $show_number (call $get_header_map_size (i32.const 99) @number))
  (i32.const 0))

;;; case a pointer outside of memory is INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show_number (call $get_header_map_size (i32.const 0) @outside))
  (i32.const 0))
