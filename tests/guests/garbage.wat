;; Answers the request headers callback with the action 77, which the ABI does not have, if the request carries the header
;; `x-do`; other requests pass. No SDK can express this.
(module
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "x-do")
  (func (export "proxy_abi_version_0_2_1"))
  ;; Each allocation gets the second page: values are not kept.
  (func (export "proxy_on_memory_allocate") (param i32) (result i32)
    (i32.const 65536))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
    (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    ;; Status 0 is "found": 77. Map 0 is the request headers; the value's place and size go to 0 and 4.
    (select
      (i32.const 0)
      (i32.const 77)
      (call $get_header
        (i32.const 0) (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 4))))
  (func (export "proxy_on_done") (param i32) (result i32)
    (i32.const 1)))
