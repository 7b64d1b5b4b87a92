;;; cites ABI 0.2.1 "proxy_set_effective_context"

;;; case the plugin, a stream of its own, the VM, and contexts that do not exist
;;; send GET /
;;; record 0
;;; record 0
;;; record 0
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_effective_context (i32.const 1)))
  (call $say (call $set_effective_context (local.get 0)))
  (call $say (call $set_effective_context (i32.const 0)))
  (call $say (call $set_effective_context (i32.const 99999)))
  (i32.const 0))

;;; case a stream that has ended is BAD_ARGUMENT
;;; cites Envoy 1.40, recorded
;;; send GET /one
;;; send GET /two
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (if (i32.load (i32.const 3000))
    (then (call $say (call $set_effective_context (i32.load (i32.const 3000)))))
    (else (i32.store (i32.const 3000) (local.get 0))))
  (i32.const 0))

;;; case without a stream in effect, the headers of the stream are out of reach
;;; send GET / | x-a: one
;;; record 0
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_effective_context (i32.const 1)))
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))
