;;; cites ABI 0.2.1 "proxy_get_buffer_bytes"

;;; case the whole body, a part, and what lies beyond it
;;; send POST / | body=0123456789
;;; record 0 0123456789
;;; record 0 234
;;; record 0 89
;;; record 0 
;;; record 0 
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1) @out))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 2) (i32.const 3) @out))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 8) (i32.const 100) @out))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 10) (i32.const 1) @out))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 11) (i32.const 1) @out))
  (i32.const 0))

;;; case a start and length that overflow together are no error
;;; cites Envoy 1.40, recorded (the ABI text says BAD_ARGUMENT)
;;; send POST / | body=0123456789
;;; record 0 
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const -1) (i32.const -1) @out))
  (i32.const 0))

;;; case the response's body
;;; send GET /
;;; answer 200 | body=answer
;;; record 0 answer
(func $on_response_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $show (call $get_buffer_bytes (i32.const 1) (i32.const 0) (i32.const -1) @out))
  (i32.const 0))

;;; case buffers that are not there: empty for streams, NOT_FOUND for callouts and configuration
;;; cites Envoy 1.40, recorded
;;; config c
;;; send GET /
;;; record 0 
;;; record 0 
;;; record 0 
;;; record 0 
;;; record 1
;;; record 0 
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 9) @out))
  (call $show (call $get_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 9) @out))
  (call $show (call $get_buffer_bytes (i32.const 2) (i32.const 0) (i32.const 9) @out))
  (call $show (call $get_buffer_bytes (i32.const 3) (i32.const 0) (i32.const 9) @out))
  (call $show (call $get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 9) @out))
  (call $show (call $get_buffer_bytes (i32.const 5) (i32.const 0) (i32.const 9) @out))
  (call $show (call $get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const 9) @out))
  (i32.const 0))

;;; case the VM's configuration at any time
;;; cites Envoy 1.40, recorded
;;; vm-config vm text
;;; send GET /
;;; record 0 vm text
;;; record 0 vm text
(func $on_vm_start (param i32 i32) (result i32)
  (call $show (call $get_buffer_bytes (i32.const 6) (i32.const 0) (i32.const -1) @out))
  (i32.const 1))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_buffer_bytes (i32.const 6) (i32.const 0) (i32.const -1) @out))
  (i32.const 0))

;;; case the plugin's configuration while configuring
;;; config plugin text
;;; send GET /
;;; record 1
;;; record 0 plugin text
(func $on_vm_start (param i32 i32) (result i32)
  (call $show (call $get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const -1) @out))
  (i32.const 1))
(func $on_configure (param i32 i32) (result i32)
  (call $show (call $get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const -1) @out))
  (i32.const 1))

;;; case an unknown buffer is BAD_ARGUMENT, pointers outside of memory INVALID_MEMORY_ACCESS
;;; send POST / | body=0123456789
;;; record 2
;;; record 2
;;; record 6
;;; record 6
(func $on_request_body (param i32 i32 i32) (result i32)
  (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
  (call $show (call $get_buffer_bytes (i32.const 9) (i32.const 0) (i32.const 9) @out))
  (call $show (call $get_buffer_bytes (i32.const -1) (i32.const 0) (i32.const 9) @out))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 9) @outside (i32.const 4004)))
  (call $show (call $get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 4000) @outside))
  (i32.const 0))
