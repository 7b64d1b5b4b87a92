;;; cites ABI 0.1.0

;;; case get_configuration answers the VM's when it starts, the plugin's when it is configured
;;; abi 0.1.0
;;; config plugin
;;; vm-config machine
;;; send GET /
;;; record 0 machine
;;; record 0 plugin
(func $on_vm_start (param i32 i32) (result i32)
  (call $show (call $get_configuration @out))
  (i32.const 1))
(func $on_configure (param i32 i32) (result i32)
  (call $show (call $get_configuration @out))
  (i32.const 1))

;;; case continue_request
;;; abi 0.1.0
;;; send GET /
;;; client 200
;;; record 0
(func $on_request_headers (param i32 i32) (result i32)
  (call $say (call $continue_request))
  (i32.const 1))

;;; case continue_response
;;; differs the head goes on and its body never does: the client waits
;;; abi 0.1.0
;;; send GET /
;;; client 200
;;; record 0
(func $on_response_headers (param i32 i32) (result i32)
  (call $say (call $continue_response))
  (i32.const 1))

;;; case clear_route_cache
;;; abi 0.1.0
;;; send GET /
;;; client 200
;;; record 0
(func $on_request_headers (param i32 i32) (result i32)
  (call $say (call $clear_route_cache))
  (i32.const 0))

;;; case functions of later versions are there, too
;;; cites leniency: modules declare 0.1.0 and import them
;;; abi 0.1.0
;;; send GET /
;;; client 200
;;; record 0
;;; differs it registers imports by version and refuses the module
(func $on_request_headers (param i32 i32) (result i32)
  (call $say (call $continue_stream (i32.const 0)))
  (i32.const 0))
