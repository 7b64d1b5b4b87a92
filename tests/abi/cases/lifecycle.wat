;;; cites Envoy 1.40, recorded

;;; case the plugin: created, started, configured
;;; config 123
;;; vm-config 12345
;;; send GET /
;;; record create 1 0
;;; record start 1 5
;;; record configure 1 3
(func $ids (param i32 i32)
  (call $put_number (i64.extend_i32_u (local.get 0))) (call $put (i32.const 32)) (call $say (local.get 1)))
(func $on_context_create (param i32 i32)
  (if (local.get 1) (then (return)))
  (call $put_bytes @"create ") (call $ids (local.get 0) (local.get 1)))
(func $on_vm_start (param i32 i32) (result i32)
  (call $put_bytes @"start ") (call $ids (local.get 0) (local.get 1)) (i32.const 1))
(func $on_configure (param i32 i32) (result i32)
  (call $put_bytes @"configure ") (call $ids (local.get 0) (local.get 1)) (i32.const 1))

;;; case a stream: created beneath the plugin, request, response, log, done, delete
;;; cites Envoy 1.40, recorded (the ABI text puts done before log)
;;; send POST / | te: trailers | trailer: x-t | body=abc | trailer=x-t: one
;;; answer 200 | body=def | trailer=x-u: two
;;; client 200
;;; client-trailer x-u: two
;;; record parent 1
;;; record request headers 0
;;; record request trailers 1
;;; record response headers 0
;;; record response trailers 1
;;; record log
;;; record done
;;; record delete
(func $on_context_create (param i32 i32)
  (if (i32.and (i32.ne (local.get 1) (i32.const 0)) (i32.eqz (i32.load (i32.const 3000)))) (then
    (i32.store (i32.const 3000) (i32.const 1))
    (call $tell @"parent" (local.get 1)))))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $tell @"request headers" (local.get 2)) (i32.const 0))
(func $on_request_trailers (param i32 i32) (result i32)
  (call $tell @"request trailers" (local.get 1)) (i32.const 0))
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $tell @"response headers" (local.get 2)) (i32.const 0))
(func $on_response_trailers (param i32 i32) (result i32)
  (call $tell @"response trailers" (local.get 1)) (i32.const 0))
(func $on_log (param i32) (call $note @"log"))
(func $on_done (param i32) (result i32) (call $note @"done") (i32.const 1))
(func $on_delete (param i32) (call $note @"delete"))

;;; case _initialize comes before everything else
;;; send GET /
;;; record initialize
;;; record start
(func $initialize  (call $note @"initialize"))
(func $on_vm_start (param i32 i32) (result i32) (call $note @"start") (i32.const 1))

;;; case _start comes before everything else
;;; send GET /
;;; record command
;;; record start
(func $start  (call $note @"command"))
(func $on_vm_start (param i32 i32) (result i32) (call $note @"start") (i32.const 1))

;;; case a VM that does not start is refused
;;; refused proxy_on_vm_start refused to start
(func $on_vm_start (param i32 i32) (result i32) (i32.const 0))

;;; case a configuration that is not accepted is refused
;;; refused proxy_on_configure refused to start
(func $on_configure (param i32 i32) (result i32) (i32.const 0))

;;; case a host function before the plugin exists is refused
;;; refused proxy_set_tick_period_milliseconds was called before the plugin exists
(func $initialize  (drop (call $set_tick_period_milliseconds (i32.const 5))))

;;; case logging before the plugin exists is fine
;;; send GET /
;;; client 200
;;; record 0
(func $initialize  (call $say (call $log (i32.const 0) @"early")))

;;; case the guest's environment, and no arguments
;;; cites WASI preview 1 "environ_get", "args_sizes_get"
;;; env COLOUR=blue
;;; send GET /
;;; record 1
;;; record 12
;;; record COLOUR=blue
;;; record 0
(func $on_vm_start (param i32 i32) (result i32)
  (drop (call $environ_sizes_get (i32.const 3000) (i32.const 3004)))
  (call $say (i32.load (i32.const 3000)))
  (call $say (i32.load (i32.const 3004)))
  (drop (call $environ_get (i32.const 3008) (i32.const 3100)))
  (call $note (i32.load (i32.const 3008)) (i32.const 11))
  (drop (call $args_sizes_get (i32.const 3000) (i32.const 3004)))
  (call $say (i32.load (i32.const 3000)))
  (i32.const 1))
