;;; cites WASI preview 1; Envoy 1.40, recorded

;;; case standard output and error can be written, nothing else
;;; send GET /
;;; record 0
;;; record 5
;;; record 0
;;; record 8
(func $write (param i32)
  (i32.store (i32.const 3000) (i32.const 3100))
  (i32.store (i32.const 3004) (i32.const 5))
  (call $say (call $fd_write (local.get 0) (i32.const 3000) (i32.const 1) (i32.const 3008))))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $write (i32.const 1))
  (call $say (i32.load (i32.const 3008)))
  (call $write (i32.const 2))
  (call $write (i32.const 3))
  (i32.const 0))

;;; case clocks: realtime and monotonic
;;; send GET /
;;; record 0
;;; record 0
;;; record 58
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 3000)))
  (call $say (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 3000)))
  (call $say (call $clock_time_get (i32.const 2) (i64.const 0) (i32.const 3000)))
  (call $say (call $clock_res_get (i32.const 0) (i32.const 3000)))
  (i32.const 0))

;;; case random bytes, up to 64 KiB at once
;;; send GET /
;;; record 0
;;; record 28
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $random_get (i32.const 0x50000) (i32.const 65536)))
  (call $say (call $random_get (i32.const 0x50000) (i32.const 65537)))
  (i32.const 0))

;;; case there are no files
;;; send GET /
;;; record 8
;;; record 52
;;; record 52
;;; record 0
;;; record 0
;;; record 8
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $fd_prestat_get (i32.const 3) (i32.const 3000)))
  (call $say (call $fd_prestat_dir_name (i32.const 3) (i32.const 3000) (i32.const 4)))
  (call $say (call $fd_read (i32.const 0) (i32.const 3000) (i32.const 1) (i32.const 3008)))
  (call $say (call $fd_close (i32.const 1)))
  (call $say (call $fd_fdstat_get (i32.const 1) (i32.const 3000)))
  (call $say (call $fd_fdstat_get (i32.const 5) (i32.const 3000)))
  (call $say (call $sched_yield))
  (i32.const 0))
