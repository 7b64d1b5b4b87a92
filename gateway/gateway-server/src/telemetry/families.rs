//! Every metric the gateway itself exports: name, labels, help.
//!
//! Names are Envoy's where Envoy has one, so that dashboards and alerts made for Envoy keep working. This file owns the
//! names and nothing else; which series exist and who counts is the business of those who open them.

use super::metrics::{Counter, Family, Gauge, Histogram, TimeCounter};

macro_rules! families {
    ($( $measure:ident $constant:ident = $name:literal [$($label:literal),*] $help:literal; )*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub(crate) static $constant: Family<$measure> = Family::new($name, &[$($label),*], $help);
        )*

        /// The names above; a filter's metric may not take one of them.
        const NAMES: &[&str] = &[$($name),*];
    };
}

families! {
    Counter DOWNSTREAM_CX_TOTAL = "envoy_http_downstream_cx_total" ["envoy_http_conn_manager_prefix"]
        "Client connections accepted.";
    Gauge DOWNSTREAM_CX_ACTIVE = "envoy_http_downstream_cx_active" ["envoy_http_conn_manager_prefix"]
        "Client connections open now.";
    Counter DOWNSTREAM_CX_UPGRADES_TOTAL = "envoy_http_downstream_cx_upgrades_total" ["envoy_http_conn_manager_prefix"]
        "Requests that became a tunnel of another protocol.";
    Gauge DOWNSTREAM_CX_UPGRADES_ACTIVE = "envoy_http_downstream_cx_upgrades_active" ["envoy_http_conn_manager_prefix"]
        "Tunnels of another protocol open now.";
    Counter DOWNSTREAM_RQ_TOTAL = "envoy_http_downstream_rq_total" ["envoy_http_conn_manager_prefix"]
        "Requests received.";
    Gauge DOWNSTREAM_RQ_ACTIVE = "envoy_http_downstream_rq_active" ["envoy_http_conn_manager_prefix"]
        "Requests under way now.";
    Counter DOWNSTREAM_RQ_XX = "envoy_http_downstream_rq_xx"
        ["envoy_http_conn_manager_prefix", "envoy_response_code_class"]
        "Replies sent, by class of status code.";
    Histogram DOWNSTREAM_RQ_TIME = "envoy_http_downstream_rq_time" ["envoy_http_conn_manager_prefix"]
        "Time from the first byte of a request to the last of its reply, in milliseconds.";

    Histogram DOWNSTREAM_CX_LENGTH = "envoy_http_downstream_cx_length_ms" ["envoy_http_conn_manager_prefix"]
        "How long client connections were open, in milliseconds.";
    Counter DOWNSTREAM_CX_DESTROY = "envoy_http_downstream_cx_destroy" ["envoy_http_conn_manager_prefix"]
        "Client connections that were closed, by whichever side.";
    Counter DOWNSTREAM_CX_SSL = "envoy_http_downstream_cx_ssl_total" ["envoy_http_conn_manager_prefix"]
        "Client connections with a finished TLS handshake.";
    Counter DOWNSTREAM_CX_HTTP1 = "envoy_http_downstream_cx_http1_total" ["envoy_http_conn_manager_prefix"]
        "Client connections that speak HTTP/1.";
    Counter DOWNSTREAM_CX_HTTP2 = "envoy_http_downstream_cx_http2_total" ["envoy_http_conn_manager_prefix"]
        "Client connections that speak HTTP/2.";
    Counter DOWNSTREAM_CX_PROTOCOL_ERROR = "envoy_http_downstream_cx_protocol_error" ["envoy_http_conn_manager_prefix"]
        "Client connections that ended because what they sent is no HTTP.";
    Counter DOWNSTREAM_RQ_COMPLETED = "envoy_http_downstream_rq_completed" ["envoy_http_conn_manager_prefix"]
        "Requests that got a response.";
    Counter DOWNSTREAM_RQ_RX_RESET = "envoy_http_downstream_rq_rx_reset" ["envoy_http_conn_manager_prefix"]
        "Requests whose client went away before the end of the response.";
    Counter DOWNSTREAM_RQ_TIMEOUT = "envoy_http_downstream_rq_timeout" ["envoy_http_conn_manager_prefix"]
        "Requests whose head or body took too long to arrive.";
    Counter DOWNSTREAM_RQ_TOO_LARGE = "envoy_http_downstream_rq_too_large" ["envoy_http_conn_manager_prefix"]
        "Requests with a body over the limit.";

    Counter CONNECTIONS_CUT = "gateway_listener_connections_cut_total" ["listener", "reason"]
        "Client connections that the gateway ended by force, by reason: a reason code, or the kind of frame that there were too many of; those left at the end of a drain are not counted.";

    Counter LISTENER_CX_TOTAL = "envoy_listener_downstream_cx_total" ["envoy_listener_address"]
        "Client connections accepted, by address of the listener.";
    Gauge LISTENER_CX_ACTIVE = "envoy_listener_downstream_cx_active" ["envoy_listener_address"]
        "Client connections open now, by address of the listener.";
    Histogram LISTENER_CX_LENGTH = "envoy_listener_downstream_cx_length_ms" ["envoy_listener_address"]
        "How long client connections were open, in milliseconds, by address of the listener.";

    Counter UPSTREAM_CX_TOTAL = "envoy_cluster_upstream_cx_total" ["envoy_cluster_name"]
        "Connections opened to an upstream.";
    Gauge UPSTREAM_CX_ACTIVE = "envoy_cluster_upstream_cx_active" ["envoy_cluster_name"]
        "Connections to an upstream open now, idle ones included.";
    Counter UPSTREAM_CX_CONNECT_FAIL = "envoy_cluster_upstream_cx_connect_fail" ["envoy_cluster_name"]
        "Connection attempts to an upstream that failed, timeouts included.";
    Counter UPSTREAM_CX_CONNECT_TIMEOUT = "envoy_cluster_upstream_cx_connect_timeout" ["envoy_cluster_name"]
        "Connection attempts to an upstream that ran into the connect timeout.";
    Counter UPSTREAM_CX_OVERFLOW = "envoy_cluster_upstream_cx_overflow" ["envoy_cluster_name"]
        "Times that a request found all connections open that an upstream may have.";
    Counter UPSTREAM_RQ_PENDING_OVERFLOW = "envoy_cluster_upstream_rq_pending_overflow" ["envoy_cluster_name"]
        "Requests refused because a limit of the upstream was reached.";
    Histogram UPSTREAM_CX_CONNECT_MS = "envoy_cluster_upstream_cx_connect_ms" ["envoy_cluster_name"]
        "Time that successful connection attempts to an upstream took, TLS included, in milliseconds.";
    Histogram UPSTREAM_CX_LENGTH = "envoy_cluster_upstream_cx_length_ms" ["envoy_cluster_name"]
        "How long connections to an upstream were open, in milliseconds.";
    Counter UPSTREAM_CX_DESTROY = "envoy_cluster_upstream_cx_destroy" ["envoy_cluster_name"]
        "Connections to an upstream that were closed, by whichever side.";
    Counter UPSTREAM_RQ_TOTAL = "envoy_cluster_upstream_rq_total" ["envoy_cluster_name"]
        "Requests sent to an upstream, each retry counted.";
    Gauge UPSTREAM_RQ_ACTIVE = "envoy_cluster_upstream_rq_active" ["envoy_cluster_name"]
        "Requests to an upstream under way now.";
    Counter UPSTREAM_RQ_XX = "envoy_cluster_upstream_rq_xx" ["envoy_cluster_name", "envoy_response_code_class"]
        "Responses of an upstream, by class of status code.";
    Counter UPSTREAM_RQ_COMPLETED = "envoy_cluster_upstream_rq_completed" ["envoy_cluster_name"]
        "Requests that an upstream answered.";
    Histogram UPSTREAM_RQ_TIME = "envoy_cluster_upstream_rq_time" ["envoy_cluster_name"]
        "Time from sending a request to an upstream to the end of its response, in milliseconds.";
    Counter UPSTREAM_RQ_TIMEOUT = "envoy_cluster_upstream_rq_timeout" ["envoy_cluster_name"]
        "Requests that ran into the route timeout while waiting for an upstream.";
    Counter UPSTREAM_RQ_RETRY = "envoy_cluster_upstream_rq_retry" ["envoy_cluster_name"]
        "Retries sent to an upstream.";
    Counter UPSTREAM_RQ_RETRY_SUCCESS = "envoy_cluster_upstream_rq_retry_success" ["envoy_cluster_name"]
        "Retries of routes that got an answer which needed no further retry.";
    Counter UPSTREAM_RQ_RETRY_OVERFLOW = "envoy_cluster_upstream_rq_retry_overflow" ["envoy_cluster_name"]
        "Retries not made because the retry budget or a limit was used up.";
    Counter UPSTREAM_RQ_RETRY_LIMIT_EXCEEDED = "envoy_cluster_upstream_rq_retry_limit_exceeded" ["envoy_cluster_name"]
        "Requests whose retries all failed.";
    Counter UPSTREAM_RQ_RETRY_BACKOFF = "envoy_cluster_upstream_rq_retry_backoff_exponential" ["envoy_cluster_name"]
        "Retries made after a wait.";
    Counter UPSTREAM_RQ_PER_TRY_TIMEOUT = "envoy_cluster_upstream_rq_per_try_timeout" ["envoy_cluster_name"]
        "Tries that took longer than the route allows for one.";

    Counter HEALTH_CHECK_ATTEMPT = "envoy_cluster_health_check_attempt" ["envoy_cluster_name"]
        "Health checks of endpoints.";
    Counter HEALTH_CHECK_SUCCESS = "envoy_cluster_health_check_success" ["envoy_cluster_name"]
        "Health checks that passed.";
    Counter HEALTH_CHECK_FAILURE = "envoy_cluster_health_check_failure" ["envoy_cluster_name"]
        "Health checks that did not pass.";
    Counter LB_HEALTHY_PANIC = "envoy_cluster_lb_healthy_panic" ["envoy_cluster_name"]
        "Requests sent to an endpoint that should have got none, because too few others were left.";
    Counter EJECTIONS = "envoy_cluster_outlier_detection_ejections_enforced_total" ["envoy_cluster_name"]
        "Ejections of endpoints that failed again and again.";
    Counter EJECTIONS_OVERFLOW = "envoy_cluster_outlier_detection_ejections_overflow" ["envoy_cluster_name"]
        "Ejections not made because too many endpoints were ejected already.";
    Gauge EJECTIONS_ACTIVE = "envoy_cluster_outlier_detection_ejections_active" ["envoy_cluster_name"]
        "Endpoints ejected now.";
    Gauge MEMBERSHIP_TOTAL = "envoy_cluster_membership_total" ["envoy_cluster_name"]
        "Endpoints of an upstream, an address each.";
    Gauge MEMBERSHIP_HEALTHY = "envoy_cluster_membership_healthy" ["envoy_cluster_name"]
        "Endpoints that may get requests.";

    Counter ROUTE_REQUESTS = "gateway_route_requests_total" ["route", "code_class"]
        "Requests answered, by route and class of status code.";
    Counter REPLIES = "gateway_replies_total" ["reason"]
        "Replies made by the gateway itself rather than by an upstream, by reason code.";

    Counter FILTER_CALLS = "gateway_filter_calls_total" ["filter", "version", "callback"]
        "Calls into a filter.";
    TimeCounter FILTER_SELF_TIME = "gateway_filter_self_seconds_total" ["filter", "version", "callback"]
        "Time that calls into a filter took, host functions included.";
    Gauge FILTER_SELF_MAX = "gateway_filter_self_max_seconds" ["filter", "version", "callback"]
        "The longest call into a filter since its version began.";
    Counter FILTER_HOST_CALLS = "gateway_filter_host_calls_total" ["filter", "version", "callback"]
        "Host functions that a filter called.";
    Counter FILTER_WAITS = "gateway_filter_waits_total" ["filter", "version", "callback"]
        "Times that a filter held a stream after a call, and let it go.";
    TimeCounter FILTER_WAIT_TIME = "gateway_filter_wait_seconds_total" ["filter", "version", "callback"]
        "Time for which a filter held streams after calls.";
    Counter FILTER_TRAPS = "gateway_filter_traps_total" ["filter", "version", "reason"]
        "Filter instances that trapped, timeouts excluded.";
    Counter FILTER_TIMEOUTS = "gateway_filter_timeouts_total" ["filter", "version"]
        "Callbacks stopped because they used up their CPU budget.";
    Counter FILTER_LOCAL_REPLIES = "gateway_filter_local_replies_total" ["filter", "version"]
        "Replies that a filter sent itself.";
    Counter FILTER_REPORTS_DROPPED = "gateway_filter_trap_reports_dropped_total" ["filter", "version"]
        "Traps and timeouts that are counted but not in the log, since there were too many at once.";
    Gauge FILTER_MEMORY = "gateway_filter_memory_bytes" ["filter", "version"]
        "Linear memory of a filter's machines, all workers together.";
    Gauge FILTER_MEMORY_PEAK = "gateway_filter_memory_peak_bytes" ["filter", "version"]
        "Linear memory that one machine of a filter had at most.";
    Gauge FILTER_MEMORY_LIMIT = "gateway_filter_memory_limit_bytes" ["filter", "version"]
        "Linear memory that one machine of a filter may have.";
    Gauge FILTER_INSTANCES = "gateway_filter_instances" ["filter", "version"]
        "Machines of a filter, all workers together.";
    Counter FILTER_COPIES = "gateway_filter_copies_total" ["filter", "version"]
        "Machines made by copying a filter's image.";
    Counter FILTER_REPLACEMENTS = "gateway_filter_replacements_total" ["filter", "version"]
        "Machines that took the place of one that failed.";
    TimeCounter FILTER_REPLACEMENT_TIME = "gateway_filter_replacement_seconds_total" ["filter", "version"]
        "Time for which workers had no machine of a filter after one failed.";
    Gauge FILTER_REPLACEMENT_MAX = "gateway_filter_replacement_max_seconds" ["filter", "version"]
        "The longest time without one.";
    Counter FILTER_LOAD_FAILURES = "gateway_filter_load_failures_total" ["filter", "gate"]
        "Versions of a filter that did not pass a gate, by the gate; the last good version keeps serving.";
    Counter FILTER_COMPILATIONS = "gateway_filter_compilations_total" ["outcome"]
        "Modules that were to be compiled, by what came of it: cached, compiled, or why there is no code.";
    Counter FILTER_EVENTS = "gateway_filter_events_total" ["filter", "event"]
        "What happened to filters: loaded, rejected, canary, promoted, rolled_back, quarantined, released, missing, removed.";
    Counter FILTER_FAILED_STREAMS = "gateway_filter_failed_streams_total" ["filter", "reason", "policy"]
        "Requests that got a filter's failure policy (closed or open), by reason code.";
    Counter FILTER_LIMIT_HITS = "gateway_filter_limit_hits_total" ["filter", "limit"]
        "Times that a filter reached a limit of its manifest, by the limit's name there.";
    Gauge FILTER_QUARANTINED = "gateway_filter_quarantined" ["filter"]
        "1 while a filter is in quarantine, because too many of its calls failed.";
    Counter FILTER_QUARANTINES = "gateway_filter_quarantines_total" ["filter"]
        "Times that a filter was quarantined.";
    Counter ADMIN_CHANGES = "gateway_admin_changes_total" ["result"]
        "Changes asked for over the admin interface: done, refused (it cannot be made), denied (who asked may not).";
    Counter WEBHOOK_EVENTS = "gateway_webhook_events_total" ["result"]
        "Events for the webhook: delivered, failed (given up after all attempts), lost (too many were waiting).";
    Gauge FILTER_LIVE = "gateway_filter_live" ["filter", "version"]
        "1 for the version of a filter that serves now.";
    Gauge FILTER_VERSIONS_KEPT = "gateway_filter_versions_kept" []
        "1 while history and versions of filters are kept on disk, 0 while they cannot be written and are in memory alone.";

    Counter TLS_HANDSHAKES = "gateway_tls_handshakes_total" ["listener", "result"]
        "TLS handshakes of clients: success, timeout, closed (the client went away), client_certificate (none, or one that is not accepted), failure.";
    Gauge CERTIFICATE_EXPIRY = "gateway_certificate_expiry_timestamp_seconds" ["certificate"]
        "When a certificate in use expires, in seconds since the Unix epoch.";
    Gauge DAYS_UNTIL_FIRST_EXPIRY = "envoy_server_days_until_first_cert_expiring" []
        "Days until the first certificate in use expires.";

    Counter CONFIG_RELOADS = "gateway_config_reloads_total" ["result"]
        "Configuration changes taken up or refused.";
    Counter ACCESS_LOG_DROPPED = "gateway_access_log_dropped_total" []
        "Access log lines lost because the log could not be written fast enough, or at all.";
    Counter WORKER_PANICS = "gateway_worker_panics_total" []
        "Panics contained on a worker.";
    Counter METRIC_SERIES_DROPPED = "gateway_metric_series_dropped_total" ["family"]
        "New series refused because the family was full; they count under the label value `other`.";
    Gauge WORKER_CONNECTIONS = "gateway_worker_connections_active" ["worker"]
        "Client connections of a worker.";
    Counter WORKER_HANDED_OVER = "gateway_worker_connections_handed_over_total" ["worker"]
        "Client connections that a worker accepted and handed to a less loaded one.";
    TimeCounter WORKER_BUSY = "gateway_worker_busy_seconds_total" ["worker"]
        "Processor time that a worker used.";
    Gauge SERVER_CONCURRENCY = "envoy_server_concurrency" []
        "Number of workers.";
    Gauge SERVER_LIVE = "envoy_server_live" []
        "1 while the gateway serves, 0 from the moment it drains.";
    Gauge SERVER_UPTIME = "envoy_server_uptime" []
        "Seconds since the start.";
    Gauge BUILD_INFO = "gateway_build_info" ["version"]
        "1, with the version of the gateway that runs.";
}

/// Whether `name` is a family here or one of the sample names that a histogram here expands to.
pub(crate) fn is_reserved(name: &str) -> bool {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
    NAMES.contains(&name) || base.is_some_and(|base| NAMES.contains(&base))
}
