;;; cites ABI 0.2.1 "proxy_get_shared_data", "proxy_set_shared_data"

;;; case a key that was never set is NOT_FOUND
;;; send GET /
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_shared_data @"k" @out @number))
  (i32.const 0))

;;; case what is set comes back, also after another request
;;; send GET /
;;; send GET /
;;; record 1
;;; record 0 v
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_shared_data @"k" @out @number))
  (drop (call $set_shared_data @"k" @"v" (i32.const 0)))
  (i32.const 0))

;;; case an empty value is not an absent one
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; record 0
;;; record 0 
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_shared_data @"k" @"" (i32.const 0)))
  (call $show (call $get_shared_data @"k" @out @number))
  (i32.const 0))

;;; case a store with the version that was read succeeds once
;;; send GET /
;;; record 0
;;; record 0
;;; record 8
;;; record 0 b
(func $on_request_headers (param i32 i32 i32) (result i32)
  (local $cas i32)
  (call $say (call $set_shared_data @"k" @"a" (i32.const 0)))
  (drop (call $get_shared_data @"k" @out @number))
  (local.set $cas (call $number))
  (call $say (call $set_shared_data @"k" @"b" (local.get $cas)))
  (call $say (call $set_shared_data @"k" @"c" (local.get $cas)))
  (call $show (call $get_shared_data @"k" @out @number))
  (i32.const 0))

;;; case for a new key any version will do
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_shared_data @"new" @"a" (i32.const 77)))
  (i32.const 0))

;;; case versions of unconditional stores change, too
;;; send GET /
;;; record 8
(func $on_request_headers (param i32 i32 i32) (result i32)
  (local $cas i32)
  (drop (call $set_shared_data @"k" @"a" (i32.const 0)))
  (drop (call $get_shared_data @"k" @out @number))
  (local.set $cas (call $number))
  (drop (call $set_shared_data @"k" @"b" (i32.const 0)))
  (call $say (call $set_shared_data @"k" @"c" (local.get $cas)))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
;;; record 6
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_shared_data @outside (i32.const 3) @"a" (i32.const 0)))
  (call $say (call $set_shared_data @"k" @outside (i32.const 3) (i32.const 0)))
  (call $say (call $get_shared_data @outside (i32.const 3) @out @number))
  (drop (call $set_shared_data @"k" @"a" (i32.const 0)))
  (call $say (call $get_shared_data @"k" @outside (i32.const 4004) @number))
  (i32.const 0))
