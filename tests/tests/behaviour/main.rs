//! What the gateway does, seen from outside: over real sockets, one gateway per test.
//!
//! One program for all subjects, because linking the gateway takes longer than most of these tests. A file per subject;
//! each test is a sentence.

mod access_log;
mod balance;
mod balancing;
mod broken_filter_files;
mod compression;
mod ejection;
mod envoy_filter;
mod examples;
mod exchanges;
mod failing_upstreams;
mod filter_bodies;
mod filter_files;
mod filter_services;
mod filters;
mod grpc;
mod health_checks;
mod hostile;
mod identity;
mod interim_responses;
mod limits;
mod malformed;
mod metrics;
mod paths;
mod proxy_protocol;
mod proxying;
mod reload;
mod reload_changes;
mod retries;
mod route_actions;
mod routing;
mod shutdown;
mod stale_connections;
mod stamps;
mod tls;
mod tls_clients;
mod tls_files;
mod tls_routing;
mod tls_upstreams;
mod upgrades;
mod upgrades_over_http2;
mod upstream_http2;
mod upstream_http2_resilience;
mod upstream_limits;
