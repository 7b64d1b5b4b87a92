;;; cites ABI 0.2.1 "proxy_set_tick_period_milliseconds", "proxy_on_tick"

;;; case ticks come with the plugin's context, and stop at zero
;;; send GET /
;;; record 0
;;; record tick 1
;;; record tick 1
(func $on_configure (param i32 i32) (result i32)
  (call $say (call $set_tick_period_milliseconds (i32.const 20)))
  (i32.const 1))
(func $on_tick (param i32)
  (call $tell @"tick" (local.get 0))
  (i32.store (i32.const 3000) (i32.add (i32.load (i32.const 3000)) (i32.const 1)))
  (if (i32.eq (i32.load (i32.const 3000)) (i32.const 2))
    (then (drop (call $set_tick_period_milliseconds (i32.const 0))))))

;;; case a tick resumes a paused request, and changes its headers before
;;; cites Envoy 1.40, recorded
;;; send GET / | x-a: one
;;; client 200
;;; origin-header x-b: two
;;; record 0
;;; record 0 one
;;; record 0
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $set_tick_period_milliseconds (i32.const 30)))
  (i32.const 1))
(func $on_tick (param i32)
  (drop (call $set_tick_period_milliseconds (i32.const 0)))
  (call $say (call $set_effective_context (i32.load (i32.const 3000))))
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (call $say (call $add_header_map_value (i32.const 0) @"x-b" @"two"))
  (call $say (call $continue_stream (i32.const 0))))

;;; case a tick answers a paused request
;;; cites Envoy 1.40, recorded
;;; send GET /
;;; client 401
;;; client-body no
;;; origin-none
(func $on_request_headers (param i32 i32 i32) (result i32)
  (i32.store (i32.const 3000) (local.get 0))
  (drop (call $set_tick_period_milliseconds (i32.const 30)))
  (i32.const 1))
(func $on_tick (param i32)
  (drop (call $set_tick_period_milliseconds (i32.const 0)))
  (drop (call $set_effective_context (i32.load (i32.const 3000))))
  (drop (call $send_local_response (i32.const 401) @none @"no" @none (i32.const -1))))

;;; case in a tick without a stream there is nothing to read
;;; send GET /
;;; record 2
;;; record 2
(func $on_configure (param i32 i32) (result i32)
  (drop (call $set_tick_period_milliseconds (i32.const 20)))
  (i32.const 1))
(func $on_tick (param i32)
  (drop (call $set_tick_period_milliseconds (i32.const 0)))
  (call $show (call $get_header_map_value (i32.const 0) @"x-a" @out))
  (call $say (call $add_header_map_value (i32.const 0) @"x-a" @"one")))
