  (memory (export "memory") 2)
  (table 1 funcref)
  (func (export "proxy_abi_version_0_2_1"))
  ;; The script lies at 0x8000 and ends at $end.
  (global $pc (mut i32) (i32.const 0x8000))
  (global $end (mut i32) (i32.const 0x8000))
  (global $len (mut i32) (i32.const 0))
  (global $allocator (mut i32) (i32.const 0))
  (global $turn (mut i32) (i32.const 0))
  ;; A callback is under way, or an allocation.
  (global $in_callback (mut i32) (i32.const 0))
  (global $in_allocator (mut i32) (i32.const 0))

  (func $promise_broken (unreachable))
  (func $checked (param i32)
    (if (i32.gt_u (local.get 0) (i32.const 12)) (then (call $promise_broken))))
  (func $unchecked (param i32))
  (func $byte (result i32)
    (if (i32.ge_u (global.get $pc) (global.get $end)) (then (return (i32.const 0))))
    (i32.load8_u (global.get $pc))
    (global.set $pc (i32.add (global.get $pc) (i32.const 1))))
  ;; One of the numbers, or any of 15 bits.
  (func $num64 (result i64)
    (local $byte i32)
    (local.set $byte (call $byte))
    (if (result i64) (i32.lt_u (local.get $byte) (i32.const 0x80))
      (then (i64.load offset=0x1000 (i32.mul (i32.and (local.get $byte) (i32.const 31)) (i32.const 8))))
      (else (i64.extend_i32_u
        (i32.or (i32.shl (i32.and (local.get $byte) (i32.const 0x7f)) (i32.const 8)) (call $byte))))))
  (func $num (result i32) (i32.wrap_i64 (call $num64)))
  ;; One of the texts, bytes of the script itself, or any pointer with any length.
  (func $str (result i32)
    (local $byte i32)
    (local.set $byte (call $byte))
    (if (i32.lt_u (local.get $byte) (i32.const 0x80)) (then
      (local.set $byte (i32.mul (i32.and (local.get $byte) (i32.const 31)) (i32.const 8)))
      (global.set $len (i32.load offset=0x1804 (local.get $byte)))
      (return (i32.load offset=0x1800 (local.get $byte)))))
    (if (i32.lt_u (local.get $byte) (i32.const 0xf0)) (then
      (global.set $len (i32.sub (local.get $byte) (i32.const 0x80)))
      (local.set $byte (global.get $pc))
      (global.set $pc (i32.add (global.get $pc) (global.get $len)))
      (return (local.get $byte))))
    (global.set $len (call $num))
    (call $num))
  ;; A place in the first bytes of memory, or any.
  (func $place (result i32)
    (local $byte i32)
    (local.set $byte (call $byte))
    (if (result i32) (i32.lt_u (local.get $byte) (i32.const 0xc0))
      (then (i32.add (i32.const 0x100) (i32.mul (i32.and (local.get $byte) (i32.const 15)) (i32.const 4))))
      (else (call $num))))

  (func (export "malloc") (param i32) (result i32)
    (local $way i32)
    (if (global.get $in_allocator) (then (call $promise_broken)))
    (global.set $in_allocator (i32.const 1))
    (local.set $way (global.get $allocator))
    (global.set $turn (i32.add (global.get $turn) (i32.const 1)))
    ;; One way after the other.
    (if (i32.eq (local.get $way) (i32.const 9)) (then (local.set $way (i32.rem_u (global.get $turn) (i32.const 9)))))
    (if (i32.eq (local.get $way) (i32.const 4)) (then (drop (memory.grow (i32.const 1)))))
    (if (i32.eq (local.get $way) (i32.const 6)) (then (unreachable)))
    (if (i32.eq (local.get $way) (i32.const 7)) (then
      (drop (call $f{add} (i32.const 0) (i32.const 0x2000) (i32.const 3) (i32.const 0x2000) (i32.const 3)))
      (drop (call $f{log} (i32.const 2) (i32.const 0x2000) (i32.const 3)))
      (drop (call $script (i32.const 6) (i32.const 0) (i32.const 8) (i32.const 0x100) (i32.const 0x104)))))
    (global.set $in_allocator (i32.const 0))
    (if (i32.eq (local.get $way) (i32.const 1)) (then (return (i32.const 0))))
    (if (i32.eq (local.get $way) (i32.const 2)) (then (return (i32.const 0xfe))))
    (if (i32.eq (local.get $way) (i32.const 3)) (then (return (i32.const -4))))
    ;; Over what is left of the script, and over its data.
    (if (i32.eq (local.get $way) (i32.const 5)) (then (return (global.get $pc))))
    (if (i32.eq (local.get $way) (i32.const 8)) (then (return (i32.const 0x1ffff))))
    (i32.const 0x10000))

  ;; The plugin's context is made first: then the script is read.
  (func (export "proxy_on_context_create") (param i32 i32)
    (local $len i32)
    (if (local.get 1) (then (drop (call $run)) (return)))
    (if (call $script (i32.const 6) (i32.const 0) (i32.const 0x4000) (i32.const 0x100) (i32.const 0x104)) (then (unreachable)))
    (local.set $len (i32.load (i32.const 0x104)))
    (memory.copy (i32.const 0x8000) (i32.load (i32.const 0x100)) (local.get $len))
    (global.set $end (i32.add (i32.const 0x8000) (local.get $len))))

  (func $run (result i32)
    (local $op i32) (local $answer i32)
    (if (global.get $in_callback) (then (call $promise_broken)))
    (global.set $in_callback (i32.const 1))
    ;; What is not said is yes: a plugin that does not start shows little.
    (local.set $answer (i32.const 1))
    (block $over
      (loop $next
        (br_if $over (i32.ge_u (global.get $pc) (global.get $end)))
        (local.set $op (call $byte))
        (if (i32.ge_u (local.get $op) (i32.const {return})) (then
          (local.set $answer (call $byte))
          (br $over)))
        (if (i32.eq (local.get $op) (i32.const {set_allocator})) (then
          (global.set $allocator (i32.rem_u (call $byte) (i32.const 10)))
          (br $next)))
        (if (i32.eq (local.get $op) (i32.const {grow})) (then
          (drop (memory.grow (i32.and (call $byte) (i32.const 127))))
          (br $next)))
        {dispatch}
        (br $next)))
    (global.set $in_callback (i32.const 0))
    (local.get $answer))
