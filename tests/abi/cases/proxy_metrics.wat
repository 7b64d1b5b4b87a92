;;; cites ABI 0.2.1 "Metrics"; Envoy 1.40, recorded

;;; case a counter: incremented above zero only, and what is recorded is added
;;; send GET /
;;; record 0
;;; record 0
;;; record 2
;;; record 2
;;; record 0
;;; record 0 7
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $define_metric (i32.const 0) @"abi_counter" @number))
  (call $say (call $increment_metric (call $number) (i64.const 2)))
  (call $say (call $increment_metric (call $number) (i64.const 0)))
  (call $say (call $increment_metric (call $number) (i64.const -1)))
  (call $say (call $record_metric (call $number) (i64.const 5)))
  (call $show_number (call $get_metric (call $number) @number))
  (i32.const 0))

;;; case a gauge: set, up and down
;;; send GET /
;;; record 0
;;; record 0
;;; record 0 9
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $define_metric (i32.const 1) @"abi_gauge" @number))
  (call $say (call $record_metric (call $number) (i64.const 10)))
  (call $say (call $increment_metric (call $number) (i64.const -1)))
  (call $show_number (call $get_metric (call $number) @number))
  (i32.const 0))

;;; case a histogram is recorded, and neither incremented nor read
;;; send GET /
;;; record 0
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $define_metric (i32.const 2) @"abi_histogram" @number))
  (call $say (call $record_metric (call $number) (i64.const 10)))
  (call $say (call $increment_metric (call $number) (i64.const 1)))
  (call $show_number (call $get_metric (call $number) @number))
  (i32.const 0))

;;; case the same name again is the same metric
;;; send GET /
;;; record 0 3
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $define_metric (i32.const 0) @"abi_same" @number))
  (drop (call $increment_metric (call $number) (i64.const 3)))
  (drop (call $define_metric (i32.const 0) @"abi_same" @number))
  (call $show_number (call $get_metric (call $number) @number))
  (i32.const 0))

;;; case unknown ids are NOT_FOUND, an unknown kind is BAD_ARGUMENT
;;; send GET /
;;; record 2
;;; record 1
;;; record 1
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $define_metric (i32.const 3) @"abi_none" @number))
  (call $say (call $increment_metric (i32.const 4000) (i64.const 1)))
  (call $say (call $record_metric (i32.const 4000) (i64.const 1)))
  (call $show_number (call $get_metric (i32.const 4000) @number))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $define_metric (i32.const 0) @outside (i32.const 3) @number))
  (call $say (call $define_metric (i32.const 0) @"abi_outside" @outside))
  (drop (call $define_metric (i32.const 0) @"abi_inside" @number))
  (call $say (call $get_metric (call $number) @outside))
  (i32.const 0))
