;;; cites Envoy 1.40, "VM configuration": plugins with equal `vm_id`, configuration and code share a VM

;;; case one instance, and a context, a start and a configuration for each plugin
;;; config first
;;; beside second
;;; vm-config 123
;;; send GET /
;;; record initialize
;;; record create 1
;;; record 0 abi
;;; record start 1
;;; record 0 123
;;; record configure 1
;;; record 0 first
;;; record create 2
;;; record 0 beside
;;; record start 2
;;; record 0 123
;;; record configure 2
;;; record 0 second
(func $initialize (call $note @"initialize"))
(func $on_context_create (param i32 i32)
  (if (local.get 1) (then (return)))
  (call $tell @"create" (local.get 0))
  (call $show (call $get_property @"plugin_name" @out)))
(func $on_vm_start (param i32 i32) (result i32)
  (call $tell @"start" (local.get 0))
  (call $show (call $get_buffer_bytes (i32.const 6) (i32.const 0) (i32.const 99) @out))
  (i32.const 1))
(func $on_configure (param i32 i32) (result i32)
  (call $tell @"configure" (local.get 0))
  (call $show (call $get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const 99) @out))
  (i32.const 1))

;;; case streams of both are numbered together, each beneath its plugin
;;; not host its streams are those of one plugin
;;; beside second
;;; send GET /
;;; record 3 1
;;; record 4 2
(func $on_context_create (param i32 i32)
  (if (i32.eqz (local.get 1)) (then (return)))
  (if (i32.ge_u (i32.load (i32.const 3000)) (i32.const 2)) (then (return)))
  (i32.store (i32.const 3000) (i32.add (i32.load (i32.const 3000)) (i32.const 1)))
  (call $put_number (i64.extend_i32_u (local.get 0)))
  (call $put (i32.const 32))
  (call $say (local.get 1)))

;;; case the plugin's own names are those of the plugin whose stream it is
;;; not host its streams are those of one plugin
;;; beside second
;;; send GET /
;;; record 0 abi
;;; record 0 beside
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"plugin_name" @out))
  (i32.const 0))

;;; case each plugin has its own period of ticks
;;; beside second
;;; send GET /
;;; record tick 2
(func $on_configure (param i32 i32) (result i32)
  (if (i32.eq (local.get 0) (i32.const 2))
    (then (drop (call $set_tick_period_milliseconds (i32.const 20)))))
  (i32.const 1))
(func $on_tick (param i32)
  (if (i32.load (i32.const 3000)) (then (return)))
  (i32.store (i32.const 3000) (i32.const 1))
  (call $tell @"tick" (local.get 0)))

;;; case one plugin can let go of another's stream
;;; beside second
;;; send GET /
;;; client 200
;;; record 0
;;; record 0
(func $on_configure (param i32 i32) (result i32)
  (if (i32.eq (local.get 0) (i32.const 2))
    (then (drop (call $set_tick_period_milliseconds (i32.const 20)))))
  (i32.const 1))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (if (i32.load (i32.const 3000)) (then (return (i32.const 0))))
  (i32.store (i32.const 3000) (local.get 0))
  (i32.const 1))
(func $on_tick (param i32)
  (if (i32.eqz (i32.load (i32.const 3000))) (then (return)))
  (if (i32.load (i32.const 3004)) (then (return)))
  (i32.store (i32.const 3004) (i32.const 1))
  (call $say (call $set_effective_context (i32.load (i32.const 3000))))
  (call $say (call $continue_stream (i32.const 0))))

;;; case the other plugin's context can be made the effective one
;;; beside second
;;; send GET /
;;; record 0
;;; record 0 abi
(func $on_configure (param i32 i32) (result i32)
  (if (i32.eq (local.get 0) (i32.const 2)) (then
    (call $say (call $set_effective_context (i32.const 1)))
    (call $show (call $get_property @"plugin_name" @out))))
  (i32.const 1))

;;; case a trap of one fails both, and both start anew together
;;; beside second
;;; send GET /trap
;;; client 503
;;; send GET /
;;; client 200
;;; record start 1
;;; record start 2
;;; differs no VM is started again
(func $on_vm_start (param i32 i32) (result i32)
  (call $tell @"start" (local.get 0)) (i32.const 1))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $get_header_map_value (i32.const 0) @":path" @out))
  (if (i32.gt_u (i32.load (i32.const 4004)) (i32.const 1)) (then unreachable))
  (i32.const 0))
