;;; cites Envoy 1.40, recorded; the filter's failure policy

;;; case in request headers: 503, and the next request finds a new VM
;;; send GET /trap
;;; client 503
;;; origin-none
;;; send GET /
;;; client 200
;;; differs its VM stays dead with the default policy
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $get_header_map_value (i32.const 0) @":path" @out))
  (if (i32.eq (i32.load (i32.const 4004)) (i32.const 5)) (then unreachable))
  (i32.const 0))

;;; case in the request's body: 503
;;; send POST / | body=abc
;;; client 503
;;; origin-none
(func $on_request_body (param i32 i32 i32) (result i32) unreachable)

;;; case in response headers: 503
;;; send GET /
;;; client 503
(func $on_response_headers (param i32 i32 i32) (result i32) unreachable)

;;; case while logging: the client has its response, and the next request finds a new VM
;;; send GET /
;;; client 200
;;; send GET /
;;; client 200
;;; differs its VM stays dead with the default policy
(func $on_log (param i32) unreachable)

;;; case at start: refused
;;; refused proxy_on_vm_start
(func $on_vm_start (param i32 i32) (result i32) unreachable)

;;; case while configuring: refused
;;; refused proxy_on_configure
(func $on_configure (param i32 i32) (result i32) unreachable)

;;; case a guest that ends itself is a trap
;;; differs the call returns, and the guest goes on
;;; cites WASI preview 1 "proc_exit"
;;; send GET /
;;; client 503

(func $on_request_headers (param i32 i32 i32) (result i32) (call $exit (i32.const 0))
  (drop (call $send_local_response (i32.const 418) @none @none @none (i32.const -1)))
  (i32.const 1))

;;; case an endless recursion is a trap
;;; send GET /
;;; client 503
(func $deep (param i32) (result i32) (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
(func $on_request_headers (param i32 i32 i32) (result i32) (drop (call $deep (i32.const 0))) (i32.const 0))

;;; case an endless loop ends, and the next request is served
;;; cites the filter's CPU budget
;;; not other it has no such budget: its worker would be lost
;;; send GET /trap
;;; client 503
;;; send GET /
;;; client 200
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $get_header_map_value (i32.const 0) @":path" @out))
  (if (i32.eq (i32.load (i32.const 4004)) (i32.const 5)) (then (loop $for_ever (br $for_ever))))
  (i32.const 0))
