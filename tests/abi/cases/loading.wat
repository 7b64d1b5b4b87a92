;;; cites ABI 0.2.1 "Module"; Envoy 1.40, recorded

;;; case without a marker: refused
;;; raw
;;; refused no Proxy-Wasm ABI marker
(module (memory (export "memory") 1)
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))

;;; case with a marker that is unknown: refused by its name
;;; raw
;;; refused proxy_abi_version_9_9_9
(module (memory (export "memory") 1) (func (export "proxy_abi_version_9_9_9"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))

;;; case an import that no host has: refused by its name
;;; raw
;;; refused imports env.proxy_make_coffee, which is not offered
(module (import "env" "proxy_make_coffee" (func (param i32) (result i32)))
  (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))

;;; case without an allocator: refused
;;; raw
;;; refused exports neither proxy_on_memory_allocate nor malloc
(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))

;;; case each marker is taken: 0.1.0
;;; abi 0.1.0
;;; send GET /
;;; client 200

;;; case each marker is taken: 0.2.0
;;; abi 0.2.0
;;; send GET /
;;; client 200

;;; case each marker is taken: 0.2.1
;;; abi 0.2.1
;;; send GET /
;;; client 200

;;; case a marker of 0.1.0 with the newer callbacks, as real modules have it
;;; raw
;;; send GET /
;;; client 200
;;; differs it refuses the module for its signature
(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_1_0"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))

;;; case the same import twice, and both allocators, as compiled Go has it
;;; raw
;;; send GET /
;;; client 200
(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "_initialize"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))

;;; case a start section alone, malloc and wasi_unstable, as AssemblyScript has it
;;; differs the process ends with a segmentation fault when a start section logs
;;; raw
;;; send GET /
;;; client 200
(module
  (import "wasi_unstable" "proc_exit" (func (param i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
  (func $begin (drop (call $log (i32.const 2) (i32.const 0) (i32.const 0))))
  (start $begin)
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))

;;; case the two functions of emscripten, as old C++ has it
;;; raw
;;; send GET /
;;; client 200
(module
  (import "env" "pthread_equal" (func (param i32 i32) (result i32)))
  (import "env" "emscripten_notify_memory_growth" (func (param i32)))
  (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "_start"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))
