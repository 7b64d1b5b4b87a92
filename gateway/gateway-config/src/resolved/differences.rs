//! What differs between two configurations, in the words of the file. Where something is written makes no difference.
//!
//! Each comparison names every field of its type, so that a new field cannot be left out by oversight.

use super::{
    Certificate, ClientTrust, Config, Destination, Identity, Listener, ListenerLimits, ListenerTls, Retry,
    Route, RouteAction, RouteMatch, Upgrades, Upstream, UpstreamTls, UpstreamTrust,
};

/// The names of the fields that differ: `NAME FIELD`, or `NAME FIELD by HOW` where `==` says too much; then the fields
/// that are left out.
macro_rules! differences {
    ($Type:ident, $old:expr, $new:expr; $($name:literal $field:ident $(by $same:expr)?),+; $($left:ident),*) => {{
        let (old, new): (&$Type, &$Type) = ($old, $new);
        let $Type { $($field: _,)+ $($left: _,)* } = old;
        let mut names: Vec<&'static str> = Vec::new();
        $(if !differences!(@same old.$field, new.$field $(, $same)?) { names.push($name); })+
        names
    }};
    (@same $old:expr, $new:expr) => { $old == $new };
    (@same $old:expr, $new:expr, $same:expr) => { $same(&$old, &$new) };
}

impl Config {
    /// Which settings of the whole gateway differ: those that belong to no listener, route or upstream.
    pub fn differing_settings(&self, new: &Self) -> Vec<&'static str> {
        differences!(Config, self, new;
            "workers" workers, "admin" admin, "admin changes" admin_changes, "events" webhook, "drain" drain, "accessLog" access_log, "filters" filters;
            listeners, routes, upstreams, warnings)
    }

    /// Whether `route`, one of this configuration's, does the same as `other`, one of `others`'.
    pub fn is_same_route(&self, route: &Route, others: &Self, other: &Route) -> bool {
        let is_same_action = |old: &RouteAction, new: &RouteAction| match (old, new) {
            (RouteAction::Forward(old), RouteAction::Forward(new)) => all_same(old, new, |old, new| {
                let is_same_name = |old: &usize, new: &usize| {
                    self.upstreams.get(*old).map(|upstream| &upstream.name)
                        == others.upstreams.get(*new).map(|upstream| &upstream.name)
                };
                differences!(Destination, old, new;
                    "to" upstream by is_same_name, "weight" weight, "requestHeaders" request_headers,
                    "responseHeaders" response_headers;)
                .is_empty()
            }),
            (old, new) => old == new,
        };
        differences!(Route, route, other;
            "name" name, "hosts" hosts, "match" matches by same_matches, "to" action by is_same_action,
            "rewrite" rewrite, "maxBodyBytes" max_body_bytes, "cors" cors, "timeout" timeout,
            "retry" retry by same_retry, "upgrades" upgrades by same_upgrades,
            "interimResponses" interim_responses, "requestHeaders" request_headers,
            "responseHeaders" response_headers, "compression" compression;
            timeout_place, place)
        .is_empty()
    }
}

impl Listener {
    /// Which settings of it differ.
    pub fn differences(&self, new: &Self) -> Vec<&'static str> {
        let mut names = differences!(Listener, self, new;
            "name" name, "bind" bind, "tls" tls by same_listener_tls, "limits" limits by same_limits,
            "compression" compression, "paths" paths, "proxyProtocol" proxy_protocol;
            identity, place);
        names.extend(differences!(Identity, &self.identity, &new.identity;
            "trustedPeers" trusted_peers, "trustedHops" trusted_hops, "clientCertHeader" client_cert_header;));
        names
    }
}

impl Upstream {
    /// Which settings of it differ.
    pub fn differences(&self, new: &Self) -> Vec<&'static str> {
        differences!(Upstream, self, new;
            "name" name, "endpoints" endpoints, "protocol" protocol,
            "proxyProtocol" proxy_protocol, "connectTimeout" connect_timeout,
            "idle" idle, "tls" tls by same_upstream_tls, "balancer" balancer, "outlier" outlier,
            "healthCheck" health_check, "panicThreshold" panic_threshold, "limits" limits, "pool" pool,
            "tcpKeepalive" tcp_keepalive, "retryBudget" retry_budget;
            connect_timeout_place, idle_place, place)
    }
}

fn all_same<T>(old: &[T], new: &[T], is_same: impl Fn(&T, &T) -> bool) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_same(old, new))
}

fn both<T>(old: &Option<T>, new: &Option<T>, is_same: impl Fn(&T, &T) -> bool) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(old), Some(new)) => is_same(old, new),
        _ => false,
    }
}

fn same_matches(old: &[RouteMatch], new: &[RouteMatch]) -> bool {
    all_same(old, new, |old, new| {
        differences!(RouteMatch, old, new;
            "path" path, "method" method, "headers" headers, "query" query, "cookies" cookies,
            "filterState" filter_state,
            "clients" clients, "not" not by same_matches;
            place)
        .is_empty()
    })
}

fn same_retry(old: &Option<Retry>, new: &Option<Retry>) -> bool {
    both(old, new, |old, new| {
        differences!(Retry, old, new;
            "on" on, "attempts" attempts, "perTryTimeout" per_try_timeout, "base" backoff_base,
            "max" backoff_max, "methods" methods, "replayBytes" replay_bytes;
            per_try_timeout_place, place)
        .is_empty()
    })
}

fn same_upgrades(old: &Upgrades, new: &Upgrades) -> bool {
    differences!(Upgrades, old, new; "upgrades" protocols, "upgradeIdleTimeout" idle; idle_place).is_empty()
}

fn same_limits(old: &ListenerLimits, new: &ListenerLimits) -> bool {
    differences!(ListenerLimits, old, new;
        "headBytes" head_bytes, "headers" headers, "uriBytes" uri_bytes, "headRead" head_read, "idle" idle,
        "bodyRate" body_rate_bytes, "bodyGrace" body_grace, "writeStall" write_stall,
        "http2Streams" http2_streams;
        head_read_place, idle_place, body_grace_place, write_stall_place)
    .is_empty()
}

fn same_listener_tls(old: &Option<ListenerTls>, new: &Option<ListenerTls>) -> bool {
    let is_same_trust = |old: &Option<ClientTrust>, new: &Option<ClientTrust>| {
        both(old, new, |old, new| {
            differences!(ClientTrust, old, new; "clientCa" ca, "clientCert" certificate; place).is_empty()
        })
    };
    let is_same_chain = |old: &[Certificate], new: &[Certificate]| all_same(old, new, same_certificate);
    both(old, new, |old, new| {
        differences!(ListenerTls, old, new;
            "certificates" certificates by is_same_chain, "minVersion" min_version,
            "clientCa" clients by is_same_trust;)
        .is_empty()
    })
}

fn same_upstream_tls(old: &Option<UpstreamTls>, new: &Option<UpstreamTls>) -> bool {
    let is_same_trust = |old: &UpstreamTrust, new: &UpstreamTrust| match (old, new) {
        (UpstreamTrust::File { ca: old, place: _ }, UpstreamTrust::File { ca: new, place: _ }) => old == new,
        (old, new) => old == new,
    };
    let is_same_certificate =
        |old: &Option<Certificate>, new: &Option<Certificate>| both(old, new, same_certificate);
    both(old, new, |old, new| {
        differences!(UpstreamTls, old, new;
            "sni" sni, "ca" trust by is_same_trust, "cert" certificate by is_same_certificate;
            place)
        .is_empty()
    })
}

fn same_certificate(old: &Certificate, new: &Certificate) -> bool {
    differences!(Certificate, old, new; "cert" cert, "key" key; place).is_empty()
}

#[cfg(test)]
#[path = "differences_tests.rs"]
mod tests;
