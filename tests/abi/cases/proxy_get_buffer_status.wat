;;; cites ABI 0.2.1 "proxy_get_buffer_status"

;;; case the size of a body
;;; send POST / | body=0123456789
;;; record 0 10
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $show_number (call $get_buffer_status (i32.const 0) @number (i32.const 4020)))
  (i32.const 0))

;;; case an unknown buffer, and pointers outside of memory
;;; send GET /
;;; record 2
;;; record 6
;;; record 6
(func $on_vm_start (param i32 i32) (result i32)
  (call $say (call $get_buffer_status (i32.const 9) @number (i32.const 4020)))
  (call $say (call $get_buffer_status (i32.const 6) @outside (i32.const 4020)))
  (call $say (call $get_buffer_status (i32.const 6) @number @outside))
  (i32.const 1))
