;;; cites Envoy 1.40, "Attributes", recorded; encodings of ABI 0.2.1 "Properties"

;;; case metadata is an empty message with an empty map, whose it may be
;;; not host it is the embedder's
;;; send GET /
;;; record 0 
;;; record 0 00000000
;;; record 1
;;; record 0 
;;; record 0 00000000
;;; record 0 
;;; record 0 
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show_hex (call $get_property @"metadata" @out))
  (call $show_hex (call $get_property @"metadata\00filter_metadata" @out))
  (call $show_hex (call $get_property @"metadata\00filter_metadata\00nobody" @out))
  (call $show_hex (call $get_property @"xds\00cluster_metadata" @out))
  (call $show_hex (call $get_property @"xds\00cluster_metadata\00filter_metadata" @out))
  (call $show_hex (call $get_property @"xds\00route_metadata" @out))
  (call $show_hex (call $get_property @"xds\00listener_metadata" @out))
  (i32.const 0))

;;; case the node: a message, and its fields by name
;;; not host it is the embedder's
;;; send GET /
;;; record 1
;;; record 0 
;;; record 0 
;;; record 0 00000000
;;; record 0 
;;; record 0 
(func $on_request_headers (param i32 i32 i32) (result i32)
  (drop (call $get_property @"xds\00node" @out))
  (call $say (i32.gt_u (i32.load (i32.const 4004)) (i32.const 5)))
  (call $show_hex (call $get_property @"xds\00node\00id" @out))
  (call $show_hex (call $get_property @"xds\00node\00cluster" @out))
  (call $show_hex (call $get_property @"xds\00node\00metadata" @out))
  (call $show_hex (call $get_property @"xds\00node\00locality" @out))
  (call $show_hex (call $get_property @"xds\00node\00locality\00region" @out))
  (i32.const 0))

;;; case the node is there without a stream, too
;;; not host it is the embedder's
;;; send GET /
;;; record 0 
(func $on_configure (param i32 i32) (result i32)
  (call $show_hex (call $get_property @"xds\00node\00id" @out))
  (i32.const 1))

;;; case where the request goes, before it goes there
;;; not host it is the embedder's
;;; send GET /
;;; record 0 all
;;; record 0 origin
;;; record 8
;;; record 0 0000000000000000
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"xds\00route_name" @out))
  (call $show (call $get_property @"xds\00cluster_name" @out))
  (drop (call $get_property @"xds\00listener_direction" @out))
  (call $say (i32.load (i32.const 4004)))
  (call $show_hex (call $get_property @"upstream\00request_attempt_count" @out))
  (i32.const 0))

;;; case what has no form of its own is SERIALIZATION_FAILURE
;;; not host it is the embedder's
;;; send GET /
;;; record 3
;;; record 3
;;; record 3
;;; record 3
;;; record 3
;;; record 3
;;; record 3
;;; record 3
;;; record 3
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $say (call $get_property @"xds" @out))
  (call $say (call $get_property @"connection" @out))
  (call $say (call $get_property @"upstream" @out))
  (call $say (call $get_property @"source" @out))
  (call $say (call $get_property @"response" @out))
  (call $say (call $get_property @"filter_state" @out))
  (call $say (call $get_property @"upstream_filter_state" @out))
  (call $say (call $get_property @"xds\00upstream_host_metadata" @out))
  (call $say (call $get_property @"xds\00upstream_host_locality_metadata" @out))
  (i32.const 0))

;;; case what there is not yet is NOT_FOUND
;;; not host it is the embedder's
;;; send GET /
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $get_property @"upstream\00address" @out))
  (call $say (call $get_property @"upstream\00port" @out))
  (call $say (call $get_property @"upstream\00transport_failure_reason" @out))
  (call $say (call $get_property @"upstream_filter_state" @out))
  (call $say (call $get_property @"xds\00upstream_host_metadata" @out))
  (call $say (call $get_property @"request\00duration" @out))
  (call $say (call $get_property @"response\00code_details" @out))
  (i32.const 0))

;;; case without TLS there are no certificates, and the name that was asked for is empty
;;; not host it is the embedder's
;;; send GET /
;;; record 0 
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"connection\00requested_server_name" @out))
  (call $say (call $get_property @"connection\00tls_version" @out))
  (call $say (call $get_property @"connection\00subject_local_certificate" @out))
  (call $say (call $get_property @"connection\00subject_peer_certificate" @out))
  (call $say (call $get_property @"connection\00dns_san_local_certificate" @out))
  (call $say (call $get_property @"connection\00dns_san_peer_certificate" @out))
  (call $say (call $get_property @"connection\00uri_san_local_certificate" @out))
  (call $say (call $get_property @"connection\00uri_san_peer_certificate" @out))
  (call $say (call $get_property @"connection\00sha256_peer_certificate_digest" @out))
  (call $say (call $get_property @"connection\00termination_details" @out))
  (call $say (call $get_property @"connection\00transport_failure_reason" @out))
  (i32.const 0))

;;; case of the response, before it is there
;;; not host it is the embedder's
;;; send GET /
;;; record 0 0000000000000000
;;; record 0 0000000000000000
;;; record 0 00000000
;;; record 0 00000000
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show_hex (call $get_property @"response\00flags" @out))
  (call $show_hex (call $get_property @"response\00size" @out))
  (call $show_hex (call $get_property @"response\00headers" @out))
  (call $show_hex (call $get_property @"response\00trailers" @out))
  (call $show_hex (call $get_property @"response\00headers\00x-a" @out))
  (i32.const 0))

;;; case of the response, when its head is there
;;; not host it is the embedder's
;;; send GET /
;;; answer 200 | x-b: two | body=abc
;;; record 0 via_upstream
;;; record 0 200
;;; record 0 two
;;; record 0 
;;; record 0 0100000000000000
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"response\00code_details" @out))
  (call $show (call $get_property @"response\00headers\00:status" @out))
  (call $show (call $get_property @"response\00headers\00x-b" @out))
  (call $show (call $get_property @"upstream\00transport_failure_reason" @out))
  (call $show_hex (call $get_property @"upstream\00request_attempt_count" @out))
  (i32.const 0))

;;; case the gateway's end of the connection to the upstream, which has no TLS
;;; not host it is the embedder's
;;; send GET /
;;; record 127.0.0.1:
;;; record 1
;;; record 1
;;; record 1
;;; record 1
;;; record 1
(func $on_response_headers (param i32 i32 i32) (result i32)
  (if (i32.eqz (call $get_property @"upstream\00local_address" @out))
    (then (call $note (i32.load (i32.const 4000)) (i32.const 10))))
  (call $say (call $get_property @"upstream\00tls_version" @out))
  (call $say (call $get_property @"upstream\00subject_peer_certificate" @out))
  (call $say (call $get_property @"upstream\00uri_san_peer_certificate" @out))
  (call $say (call $get_property @"upstream\00dns_san_peer_certificate" @out))
  (call $say (call $get_property @"upstream\00sha256_peer_certificate_digest" @out))
  (i32.const 0))

;;; case header maps of properties have their pseudo-headers
;;; not host it is the embedder's
;;; send GET /p
;;; record 0 /p
;;; record 0 GET
;;; record 1
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"request\00headers\00:path" @out))
  (call $show (call $get_property @"request\00headers\00:method" @out))
  (drop (call $get_property @"request\00headers" @out))
  (call $say (i32.ge_u (i32.load (i32.load (i32.const 4000))) (i32.const 4)))
  (i32.const 0))

;;; case the names from before xds
;;; not host it is the embedder's
;;; differs they are NOT_FOUND in this version
;;; send GET /
;;; record 0 
;;; record 0 origin
;;; record 0 all
;;; record 0 0100000000000000
;;; record 0 
;;; record 0 
;;; record 0 
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $show (call $get_property @"node\00id" @out))
  (call $show (call $get_property @"cluster_name" @out))
  (call $show (call $get_property @"route_name" @out))
  (call $show_hex (call $get_property @"listener_direction" @out))
  (call $show_hex (call $get_property @"cluster_metadata" @out))
  (call $show_hex (call $get_property @"route_metadata" @out))
  (call $show_hex (call $get_property @"listener_metadata" @out))
  (i32.const 0))

;;; case a name that is known later is not the filter's to set
;;; not host it is the embedder's
;;; send GET /
;;; record 0
;;; record 0 c800000000000000
;;; record 0 via_upstream
(func $on_request_headers (param i32 i32 i32) (result i32)
  (call $say (call $set_property @"response\00code" @"12345678"))
  (drop (call $set_property @"response\00code_details" @"mine"))
  (i32.const 0))
(func $on_response_headers (param i32 i32 i32) (result i32)
  (call $show_hex (call $get_property @"response\00code" @out))
  (call $show (call $get_property @"response\00code_details" @out))
  (i32.const 0))
