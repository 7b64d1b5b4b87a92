;;; cites ABI 0.2.1 "proxy_log", "proxy_get_log_level"

;;; case levels 0 to 5, and no other
;;; send GET /
;;; record 0
;;; record 0
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $log (i32.const 0) @"trace"))
  (call $say (call $log (i32.const 5) @"critical"))
  (call $say (call $log (i32.const 6) @"none"))
  (call $say (call $log (i32.const -1) @"none"))
  (i32.const 0))

;;; case the level that is wanted is one of those
;;; send GET /
;;; record 0
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $get_log_level @number))
  (call $say (i32.le_u (call $number) (i32.const 5)))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $log (i32.const 2) @outside (i32.const 3)))
  (call $say (call $get_log_level @outside))
  (i32.const 0))
