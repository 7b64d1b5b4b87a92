;;; cites ABI 0.2.1 "proxy_call_foreign_function"; Envoy 1.40, recorded

;;; case an unknown name is NOT_FOUND
;;; send GET /
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $call_foreign_function @"nothing" @none @out))
  (i32.const 0))

;;; case what is compressed is uncompressed again; what was not is SERIALIZATION_FAILURE
;;; not host the kit's embedder has no zlib
;;; send GET /
;;; record 0
;;; record 0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
;;; record 3
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $call_foreign_function @"compress" @"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" @out))
  (call $show (call $call_foreign_function @"uncompress" (i32.load (i32.const 4000)) (i32.load (i32.const 4004)) @out))
  (call $show (call $call_foreign_function @"uncompress" @"garbage" @out))
  (i32.const 0))

;;; case verify_signature without a key, or with bytes that are no message, is BAD_ARGUMENT
;;; send GET /
;;; record 2
;;; record 2
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $call_foreign_function @"verify_signature" @none @out))
  (call $show (call $call_foreign_function @"verify_signature" @bytes{0a ff} @out))
  (i32.const 0))

;;; case clear_route_cache
;;; send GET /
;;; client 200
;;; record 0
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $call_foreign_function @"clear_route_cache" @none @out))
  (i32.const 0))

;;; case declare_property: once; and a property that is read only is set once
;;; send GET /
;;; record 0
;;; record 2
;;; record 0
;;; record 2
;;; record 0 first
(func $on_configure (param i32 i32) (result i32)
  (call $say (call $call_foreign_function @"declare_property" @bytes{0a 04 6d 69 6e 65 10 01} @out))
  (call $say (call $call_foreign_function @"declare_property" @bytes{0a 04 6d 69 6e 65 10 01} @out))
  (i32.const 1))
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_property @"mine" @"first"))
  (call $say (call $set_property @"mine" @"second"))
  (call $show (call $get_property @"mine" @out))
  (i32.const 0))

;;; case set_envoy_filter_state: there afterwards
;;; not host it is the embedder's
;;; send GET /
;;; record 0
;;; record 0 value
;;; record 0
;;; differs it takes the keys of its own objects alone; here any key is text
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $call_foreign_function @"set_envoy_filter_state" @bytes{0a 04 6d 69 6e 65 12 05 76 61 6c 75 65} @out))
  (call $show (call $get_property @"filter_state\00mine" @out))
  (call $say (call $call_foreign_function @"set_envoy_filter_state" @"\0a\17envoy.tcp_proxy.cluster\12\06origin" @out))
  (i32.const 0))

;;; case pointers outside of memory are INVALID_MEMORY_ACCESS
;;; send GET /
;;; record 6
;;; record 6
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $call_foreign_function @outside (i32.const 3) @none @out))
  (call $say (call $call_foreign_function @"clear_route_cache" @outside (i32.const 3) @out))
  (i32.const 0))
