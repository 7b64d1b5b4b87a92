;;; cites ABI 0.2.1 "Shared queues"

;;; case a queue that nobody registered is NOT_FOUND
;;; send GET /
;;; record 1
;;; record 1
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $resolve_shared_queue @none @"q" @number))
  (call $say (call $enqueue_shared_queue (i32.const 12345) @"a"))
  (call $show (call $dequeue_shared_queue (i32.const 12345) @out))
  (i32.const 0))

;;; case entries come out in the order they went in; then it is EMPTY
;;; send GET /
;;; record 0
;;; record 0
;;; record 0
;;; record 0 a
;;; record 0 b
;;; record 7
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $register_shared_queue @"q" @number))
  (call $say (call $enqueue_shared_queue (call $number) @"a"))
  (call $say (call $enqueue_shared_queue (call $number) @"b"))
  (call $show (call $dequeue_shared_queue (call $number) @out))
  (call $show (call $dequeue_shared_queue (call $number) @out))
  (call $show (call $dequeue_shared_queue (call $number) @out))
  (i32.const 0))

;;; case the same name again is the same queue
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (local $first i32)
  (drop (call $register_shared_queue @"q" @number))
  (local.set $first (call $number))
  (drop (call $register_shared_queue @"q" @number))
  (call $say (i32.eq (local.get $first) (call $number)))
  (i32.const 0))

;;; case found by the VM's id, by none at all, and not by another
;;; cites Envoy 1.40, recorded
;;; manifest vmId: abi
;;; send GET /
;;; record 0
;;; record 0
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $register_shared_queue @"q" @number))
  (call $say (call $resolve_shared_queue @"abi" @"q" @number))
  (call $say (call $resolve_shared_queue @none @"q" @number))
  (call $say (call $resolve_shared_queue @"other" @"q" @number))
  (i32.const 0))

;;; case who registered is told once for each entry
;;; send GET /
;;; record ready 1
;;; record 0 a
;;; record ready 1
;;; record 0 b
(func $on_configure (param i32 i32) (result i32)
  (drop (call $register_shared_queue @"told" @number))
  (i32.store (i32.const 3000) (call $number))
  (i32.const 1))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $enqueue_shared_queue (i32.load (i32.const 3000)) @"a"))
  (drop (call $enqueue_shared_queue (i32.load (i32.const 3000)) @"b"))
  (i32.const 0))
(func $on_queue_ready (param i32 i32)
  (call $tell @"ready" (local.get 0))
  (call $show (call $dequeue_shared_queue (local.get 1) @out)))

;;; case an empty entry is one
;;; send GET /
;;; record 0 
;;; record 7
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $register_shared_queue @"q" @number))
  (drop (call $enqueue_shared_queue (call $number) @""))
  (call $show (call $dequeue_shared_queue (call $number) @out))
  (call $show (call $dequeue_shared_queue (call $number) @out))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $register_shared_queue @outside (i32.const 3) @number))
  (call $say (call $resolve_shared_queue @none @outside (i32.const 3) @number))
  (drop (call $register_shared_queue @"q" @number))
  (call $say (call $enqueue_shared_queue (call $number) @outside (i32.const 3)))
  (i32.const 0))
