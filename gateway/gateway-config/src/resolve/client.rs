//! Who a client is and what its paths mean, as a listener says it; and whether upstreams are told by the PROXY protocol.

use gateway_wire::path::{Policy, canonical};
use ipnet::IpNet;

use super::{all, mark_of, some_items};
use crate::diagnostic::{Mark, Report, quoted};
use crate::match_text::Network;
use crate::read::{Field, List, Marked, OneOrMany};
use crate::resolved::{ClientCertHeader, Identity, Listener, ListenerTls, ProxyVersion, UpstreamProtocol};
use crate::schema;
use crate::values::OneOf;

/// What a listener says about whom it believes.
pub(super) struct Written {
    pub(super) trusted_peers: Field<OneOrMany<Network>>,
    pub(super) trusted_hops: Field<schema::HopCount>,
    pub(super) client_cert_header: Field<OneOf<ClientCertHeader>>,
}

pub(super) fn identity(written: Written, tls: Option<&ListenerTls>, report: &mut Report<'_>) -> Identity {
    let has_peers = !written.trusted_peers.is_absent();
    if let (Some(mark), false) = (mark_of(&written.trusted_hops), has_peers) {
        let help =
            "name the proxies, for example `trustedPeers: 10.0.0.0/8`; `[0.0.0.0/0, \"::/0\"]` is everybody";
        let message = "`trustedHops` without `trustedPeers`: nobody is believed";
        report.error(mark, message, Some(help.to_owned()));
    }
    let cert_mark = mark_of(&written.client_cert_header);
    let client_cert_header = written.client_cert_header.or(OneOf(ClientCertHeader::Drop)).0;
    let asks_clients = tls.is_some_and(|tls| tls.clients.is_some());
    if let Some(mark) = cert_mark {
        match client_cert_header {
            ClientCertHeader::Set | ClientCertHeader::Append if !asks_clients => {
                let help = "certificates of clients need `tls` with `clientCa`".to_owned();
                report.error(
                    mark,
                    "`clientCertHeader` tells of certificates that no client is asked for",
                    Some(help),
                );
            }
            ClientCertHeader::Forward if !has_peers => {
                let help = "name the proxies whose header goes on, for example `trustedPeers: 10.0.0.0/8`"
                    .to_owned();
                report.error(
                    mark,
                    "`clientCertHeader: forward` without `trustedPeers`: nobody is believed",
                    Some(help),
                );
            }
            _ => {}
        }
    }
    Identity {
        trusted_peers: networks(written.trusted_peers, "`trustedPeers`", report),
        trusted_hops: written.trusted_hops.given().and_then(|hops| usize::try_from(hops.value.0).ok()),
        client_cert_header,
    }
}

/// Where connections begin with a header of the PROXY protocol.
pub(super) fn proxy_protocol(written: Field<schema::ProxyProtocol>, report: &mut Report<'_>) -> Vec<IpNet> {
    written
        .given()
        .map_or_else(Vec::new, |written| networks(written.value.from, "`proxyProtocol.from`", report))
}

/// A connection of HTTP/2 is shared by clients, and the PROXY protocol tells of one.
pub(super) fn proxy_version(
    written: Field<OneOf<ProxyVersion>>,
    protocol: UpstreamProtocol,
    report: &mut Report<'_>,
) -> Option<ProxyVersion> {
    let mark = mark_of(&written);
    if let (Some(mark), UpstreamProtocol::Http2 | UpstreamProtocol::Auto) = (mark, protocol) {
        let message = "`proxyProtocol` tells of one client, and connections of HTTP/2 are shared by many";
        let help = "leave `protocol` out, or tell by headers: `x-forwarded-for` is always sent".to_owned();
        report.error(mark, message, Some(help));
    }
    written.given().map(|version| version.value.0)
}

fn networks(written: Field<OneOrMany<Network>>, what: &str, report: &mut Report<'_>) -> Vec<IpNet> {
    let list = match written {
        Field::Absent => return Vec::new(),
        Field::Bad => Field::Bad,
        Field::Given(Marked { mark, value: OneOrMany(items) }) => {
            Field::Given(Marked { mark, value: List(items) })
        }
    };
    let items = some_items(list, what, "name the networks of the proxies, such as `10.0.0.0/8`", report);
    let networks = items.and_then(all).unwrap_or_default();
    networks.into_iter().map(|Network(network)| network).collect()
}

pub(super) fn paths(written: Field<schema::Paths>) -> Policy {
    let Some(written) = written.given() else { return Policy::STRICT };
    let schema::Paths { duplicate_slashes, encoded_slashes, backslashes } = written.value;
    Policy {
        duplicate_slashes: duplicate_slashes.or(OneOf(Policy::STRICT.duplicate_slashes)).0,
        encoded_slashes: encoded_slashes.or(OneOf(Policy::STRICT.encoded_slashes)).0,
        backslashes: backslashes.or(OneOf(Policy::STRICT.backslashes)).0,
    }
}

/// Warns of a path that no listener leaves as it is: requests for it never come.
pub(super) fn warn_of_path(path: &str, mark: Mark, listeners: &[Listener], report: &mut Report<'_>) {
    let stays = |listener: &Listener| canonical(path, listener.paths).is_ok_and(|form| form == path);
    if listeners.is_empty() || listeners.iter().any(stays) {
        return;
    }
    let help = match canonical(path, listeners[0].paths) {
        Ok(form) => format!("write {}, or change `paths` of a listener", quoted(&form)),
        Err(refusal) => {
            format!("a path that {refusal} is refused unless `paths` of a listener says otherwise")
        }
    };
    report.warn(mark, format!("no listener lets the path {} through as it is", quoted(path)), Some(help));
}
