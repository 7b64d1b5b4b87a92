//! Owns the labels of Istio's standard metrics and where their values come from.

use std::borrow::Cow;

use gateway_sdk::{Decimal, Properties, decimal};

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

/// What the host is asked for, in one call; the names are places in the list.
pub(crate) mod seen {
    pub(crate) const PATHS: [&[&str]; 14] = [
        &["connection", "uri_san_peer_certificate"],
        &["connection", "uri_san_local_certificate"],
        &["xds", "cluster_name"],
        &["xds", "route_name"],
        &["connection", "mtls"],
        &["response", "flags"],
        &["response", "grpc_status"],
        &["request", "duration"],
        &["request", "total_size"],
        &["response", "total_size"],
        &["request", "method"],
        &["request", "headers", "content-type"],
        &["response", "code"],
        &["response", "headers", "grpc-status"],
    ];
    pub(crate) const PEER: usize = 0;
    pub(crate) const LOCAL: usize = 1;
    pub(crate) const UPSTREAM: usize = 2;
    pub(crate) const ROUTE: usize = 3;
    pub(crate) const IS_MUTUAL: usize = 4;
    pub(crate) const FLAGS: usize = 5;
    pub(crate) const GRPC_STATUS: usize = 6;
    pub(crate) const DURATION: usize = 7;
    pub(crate) const REQUEST_BYTES: usize = 8;
    pub(crate) const RESPONSE_BYTES: usize = 9;
    pub(crate) const METHOD: usize = 10;
    pub(crate) const CONTENT_TYPE: usize = 11;
    pub(crate) const CODE: usize = 12;
    pub(crate) const GRPC_HEADER: usize = 13;
}

/// The values at [`seen`].
pub(crate) type Seen = Properties<{ seen::PATHS.len() }>;

/// What differs from request to request.
pub(crate) struct Values<'a> {
    source_principal: &'a str,
    destination_principal: &'a str,
    upstream: &'a str,
    route: &'a str,
    protocol: &'static str,
    method: &'static str,
    /// As Envoy: no response is code 0.
    code: Decimal,
    grpc_status: Option<Decimal>,
    flags: Cow<'static, str>,
    security: &'static str,
}

impl<'a> Values<'a> {
    pub(crate) fn of(settings: &Settings, seen: &'a Seen) -> Self {
        let text = |place| seen.get_str(place).filter(|value| !value.is_empty()).unwrap_or(UNKNOWN);
        let is_grpc = seen.get(seen::CONTENT_TYPE).is_some_and(|kind| kind.starts_with(b"application/grpc"));
        let known_method = METHODS.iter().find(|known| Some(known.as_bytes()) == seen.get(seen::METHOD));
        Self {
            source_principal: principal(text(seen::PEER)),
            destination_principal: principal(text(seen::LOCAL)),
            upstream: text(seen::UPSTREAM),
            route: text(seen::ROUTE),
            protocol: if is_grpc { "grpc" } else { "http" },
            method: known_method.copied().unwrap_or("other"),
            code: decimal(seen.get_number(seen::CODE).unwrap_or_default()),
            grpc_status: if is_grpc { grpc_status(seen) } else { None },
            flags: flags::text(seen.get_number(seen::FLAGS).unwrap_or_default()),
            security: match settings.reporter {
                Reporter::Source => UNKNOWN,
                _ if seen.get(seen::IS_MUTUAL) == Some(&[1]) => "mutual_tls",
                _ => "none",
            },
        }
    }

    fn grpc_status(&self) -> &str {
        self.grpc_status.as_ref().map_or(UNKNOWN, AsRef::as_ref)
    }

    /// Names them all in one text.
    pub(crate) fn varying(&self) -> String {
        [
            self.source_principal,
            self.destination_principal,
            self.upstream,
            self.route,
            self.protocol,
            self.method,
            self.code.as_ref(),
            self.grpc_status(),
            &self.flags,
            self.security,
        ]
        .join("\n")
    }

    /// In the order of [`NAMES`].
    pub(crate) fn all<'s>(&'s self, settings: &'s Settings) -> [&'s str; NAMES.len()] {
        NAMES.map(|name| match name {
            "reporter" => match settings.reporter {
                Reporter::Destination => "destination",
                Reporter::Source => "source",
                Reporter::Waypoint => "waypoint",
            },
            "source_principal" => self.source_principal,
            "destination_principal" => self.destination_principal,
            "request_protocol" => self.protocol,
            "request_method" => self.method,
            "response_code" => self.code.as_ref(),
            "grpc_response_status" => self.grpc_status(),
            "response_flags" => &self.flags,
            "connection_security_policy" => self.security,
            "route_name" => self.route,
            fixed => settings.labels.get(fixed).map_or_else(|| self.of_identities(fixed), String::as_str),
        })
    }

    /// What a mesh's identities say (`spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`), and the upstream's name.
    fn of_identities(&self, label: &str) -> &str {
        match label {
            "source_workload_namespace" => namespace(self.source_principal),
            "destination_workload_namespace" | "destination_service_namespace" => {
                namespace(self.destination_principal)
            }
            "destination_service" | "destination_service_name" => self.upstream,
            _ => UNKNOWN,
        }
    }
}

/// Istio leaves the scheme out.
fn principal(uri: &str) -> &str {
    uri.strip_prefix("spiffe://").unwrap_or(uri)
}

fn namespace(principal: &str) -> &str {
    let mut segments = principal.split('/').skip_while(|segment| *segment != "ns");
    segments.nth(1).filter(|namespace| !namespace.is_empty()).unwrap_or(UNKNOWN)
}

/// A status that a server makes up must not make series without end.
fn grpc_status(seen: &Seen) -> Option<Decimal> {
    let in_head = || seen.get_str(seen::GRPC_HEADER)?.parse().ok();
    let status = seen.get_number(seen::GRPC_STATUS).or_else(in_head);
    status.filter(|status| *status <= 16).map(decimal)
}
