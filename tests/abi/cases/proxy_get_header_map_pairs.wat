;;; cites ABI 0.2.1 "proxy_get_header_map_pairs", "Serialized map"

;;; case trailers in the wire form: count, lengths, names and values with NULs
;;; send POST / | body=abc | trailer=x-t: one | trailer=x-u: 
;;; record 0 0200000003000000030000000300000000000000782d74006f6e6500782d750000
(func $on_request_trailers (param i32 i32) (result i32)
  (call $show_hex (call $get_header_map_pairs (i32.const 1) @out))
  (i32.const 0))

;;; case every line of a repeated name
;;; send POST / | body=abc | trailer=x-t: 1 | trailer=x-t: 2
;;; record 0 32
;;; record 2
(func $on_request_trailers (param i32 i32) (result i32)
  (call $show_len (call $get_header_map_pairs (i32.const 1) @out))
  (call $say (local.get 1))
  (i32.const 0))

;;; case a map that is not there is OK and empty
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; record 0 0
;;; record 0 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show_len (call $get_header_map_pairs (i32.const 2) @out))
  (call $show_len (call $get_header_map_pairs (i32.const 6) @out))
  (i32.const 0))

;;; case an unknown map is BAD_ARGUMENT
;;; send GET /
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show_len (call $get_header_map_pairs (i32.const 8) @out))
  (call $show_len (call $get_header_map_pairs (i32.const -1) @out))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show_len (call $get_header_map_pairs (i32.const 0) @outside (i32.const 4004)))
  (call $show_len (call $get_header_map_pairs (i32.const 0) (i32.const 4000) @outside))
  (i32.const 0))

;;; case pseudo-headers come first
;;; cites Envoy 1.40, recorded
;;; send GET / | x-a: one
;;; record 58
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $get_header_map_pairs (i32.const 0) @out))
  (call $say (i32.load8_u (i32.add (i32.load (i32.const 4000))
    (i32.add (i32.const 4) (i32.mul (i32.const 8) (i32.load (i32.load (i32.const 4000))))))))
  (i32.const 0))
