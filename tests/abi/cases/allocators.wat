;;; cites ABI 0.2.1 "Memory management"; Envoy 1.40, recorded

;;; case one that has nothing left: INVALID_MEMORY_ACCESS
;;; send GET / | x-a: one
;;; record 6
(func $malloc (param i32) (result i32)
  (if (i32.eq (local.get 0) (i32.const 3)) (then (return (i32.const 0))))
  (call $allocate (local.get 0)))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case one that answers a place outside of memory: INVALID_MEMORY_ACCESS
;;; send GET / | x-a: one
;;; record 6
(func $malloc (param i32) (result i32)
  (if (i32.eq (local.get 0) (i32.const 3)) (then (return (i32.const 0x7fffff00))))
  (call $allocate (local.get 0)))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case one that traps fails the request
;;; send GET / | x-a: one
;;; client 503
(func $malloc (param i32) (result i32)
  (if (i32.eq (local.get 0) (i32.const 3)) (then unreachable))
  (call $allocate (local.get 0)))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case inside of it only logging is allowed
;;; send GET / | x-a: one
;;; record 0
;;; record 10
;;; record 0 one
;;; differs the VM fails
(func $malloc (param i32) (result i32)
  (if (i32.eq (local.get 0) (i32.const 3)) (then
    (call $say (call $log (i32.const 2) @"inside"))
    (call $say (call $set_tick_period_milliseconds (i32.const 1000)))))
  (call $allocate (local.get 0)))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))

;;; case one that grows memory
;;; send GET / | x-a: one
;;; record 0 one
(func $malloc (param i32) (result i32)
  (if (i32.eq (local.get 0) (i32.const 3)) (then (return (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))))
  (call $allocate (local.get 0)))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (i32.const 0))
