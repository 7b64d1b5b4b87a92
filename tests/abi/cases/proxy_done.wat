;;; cites ABI 0.2.1 "proxy_done"; Envoy 1.40, recorded

;;; case while nothing is asked to end it is NOT_FOUND
;;; send GET /
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $done))
  (i32.const 0))

;;; case a stream's answer to being done does not matter
;;; send GET /
;;; record done
;;; record 1
;;; record delete
(func $on_done (param i32) (result i32)
  (call $note @"done")
  (call $say (call $done))
  (i32.const 0))
(func $on_delete (param i32) (call $note @"delete"))
