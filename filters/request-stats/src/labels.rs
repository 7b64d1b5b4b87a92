//! Owns the labels of Istio's standard metrics and where their values come from.

use gateway_sdk::prelude::*;

use crate::{Reporter, Settings, flags};

/// What is not known.
pub(crate) const UNKNOWN: &str = "unknown";

/// The labels of Istio's HTTP metrics, in its order.
pub(crate) const NAMES: [&str; 27] = [
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
    "request_protocol",
    "response_code",
    "grpc_response_status",
    "response_flags",
    "connection_security_policy",
    "route_name",
    "request_method",
];

/// Those that an operator may set; the others are seen in each request.
pub(crate) const FIXED: [&str; 17] = [
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
];

/// Methods that are told apart; anything else a client makes up reads `other`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"];

/// What differs from request to request.
pub(crate) struct Values {
    source_principal: String,
    destination_principal: String,
    upstream: String,
    route: String,
    protocol: &'static str,
    method: &'static str,
    code: String,
    grpc_status: String,
    flags: String,
    security: &'static str,
}

impl Values {
    pub(crate) fn of(settings: &Settings, exchange: &Exchange, cx: &Context) -> Self {
        let text = |path: &[&str]| cx.property_str(path).filter(|value| !value.is_empty());
        let or_unknown = |value: Option<String>| value.unwrap_or_else(|| UNKNOWN.to_owned());
        let content_type = exchange.request().get("content-type").unwrap_or_default();
        let is_grpc = content_type.starts_with(b"application/grpc");
        let method = exchange.request().get(":method").unwrap_or_default();
        let known_method = METHODS.iter().find(|known| known.as_bytes() == method);
        let mutual = cx.property(&["connection", "mtls"]).ok().flatten().is_some_and(|mtls| mtls == [1]);
        Self {
            source_principal: or_unknown(text(&["connection", "uri_san_peer_certificate"]).map(principal)),
            destination_principal: or_unknown(
                text(&["connection", "uri_san_local_certificate"]).map(principal),
            ),
            upstream: or_unknown(text(&["xds", "cluster_name"])),
            route: or_unknown(cx.route_name()),
            protocol: if is_grpc { "grpc" } else { "http" },
            method: known_method.copied().unwrap_or("other"),
            // As Envoy: no response is code 0.
            code: exchange.status().map_or_else(|| "0".to_owned(), |status| status.as_str().to_owned()),
            grpc_status: grpc_status(is_grpc, exchange, cx),
            flags: flags::text(cx.property_number(&["response", "flags"]).unwrap_or_default()),
            security: match settings.reporter {
                Reporter::Source => UNKNOWN,
                _ if mutual => "mutual_tls",
                _ => "none",
            },
        }
    }

    /// Names them all in one text.
    pub(crate) fn varying(&self) -> String {
        [
            self.source_principal.as_str(),
            &self.destination_principal,
            &self.upstream,
            &self.route,
            self.protocol,
            self.method,
            &self.code,
            &self.grpc_status,
            &self.flags,
            self.security,
        ]
        .join("\n")
    }

    /// In the order of [`NAMES`].
    pub(crate) fn all<'a>(&'a self, settings: &'a Settings) -> [&'a str; NAMES.len()] {
        NAMES.map(|name| match name {
            "reporter" => match settings.reporter {
                Reporter::Destination => "destination",
                Reporter::Source => "source",
                Reporter::Waypoint => "waypoint",
            },
            "source_principal" => &self.source_principal,
            "destination_principal" => &self.destination_principal,
            "request_protocol" => self.protocol,
            "request_method" => self.method,
            "response_code" => &self.code,
            "grpc_response_status" => &self.grpc_status,
            "response_flags" => &self.flags,
            "connection_security_policy" => self.security,
            "route_name" => &self.route,
            fixed => settings.labels.get(fixed).map_or_else(|| self.of_identities(fixed), String::as_str),
        })
    }

    /// What a mesh's identities say (`spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`), and the upstream's name.
    fn of_identities(&self, label: &str) -> &str {
        match label {
            "source_workload_namespace" => namespace(&self.source_principal),
            "destination_workload_namespace" | "destination_service_namespace" => {
                namespace(&self.destination_principal)
            }
            "destination_service" | "destination_service_name" => &self.upstream,
            _ => UNKNOWN,
        }
    }
}

/// Istio leaves the scheme out.
fn principal(uri: String) -> String {
    uri.strip_prefix("spiffe://").map(str::to_owned).unwrap_or(uri)
}

fn namespace(principal: &str) -> &str {
    let mut segments = principal.split('/').skip_while(|segment| *segment != "ns");
    segments.nth(1).filter(|namespace| !namespace.is_empty()).unwrap_or(UNKNOWN)
}

/// A status that a server makes up must not make series without end.
fn grpc_status(is_grpc: bool, exchange: &Exchange, cx: &Context) -> String {
    if !is_grpc {
        return UNKNOWN.to_owned();
    }
    let of_host = cx.property_number(&["response", "grpc_status"]);
    let in_head = || std::str::from_utf8(exchange.response().get("grpc-status")?).ok()?.parse().ok();
    let status = of_host.or_else(in_head).filter(|status| *status <= 16);
    status.map_or_else(|| UNKNOWN.to_owned(), |status| status.to_string())
}
