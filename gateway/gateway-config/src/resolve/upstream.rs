//! Upstreams in order of name, so that routes can point at them by index.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{all, duration, mark_of, place_of, tls};
use crate::address::Address;
use crate::diagnostic::{Mark, Report, quoted};
use crate::read::{Field, Marked, Named, OneOrMany, ShortOr};
use crate::resolved::{Endpoint, Upstream, UpstreamProtocol};
use crate::schema;
use crate::values::{Name, OneOf, Whole};

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_IDLE: Duration = Duration::from_secs(60);

/// What routes need of the upstreams, and the upstreams.
pub(super) struct Upstreams {
    /// Every name written, also of upstreams that are wrong: a route to one of those is no second mistake.
    pub(super) names: BTreeMap<String, usize>,
    /// `None` if one of them is wrong.
    pub(super) resolved: Option<Vec<Upstream>>,
}

pub(super) fn upstreams(
    written: Field<Named<Name, ShortOr<Address, schema::Upstream>>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Upstreams {
    let Named(mut entries) = written.or(Named(Vec::new()));
    entries.sort_by(|(left, _), (right, _)| left.value.cmp(&right.value));
    let names = entries.iter().enumerate().map(|(index, (name, _))| (name.value.0.clone(), index)).collect();
    let resolved: Vec<_> =
        entries.into_iter().map(|(name, upstream)| one(name, upstream, base_dir, report)).collect();
    Upstreams { names, resolved: resolved.into_iter().collect() }
}

fn one(
    Marked { mark, value: Name(name) }: Marked<Name>,
    written: Field<ShortOr<Address, schema::Upstream>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Upstream> {
    let (endpoints, protocol, connect_timeout, idle, tls) = match written.given()?.value {
        ShortOr::Short(Address(address)) => (
            Some(vec![Endpoint { address, weight: 1 }]),
            UpstreamProtocol::Http1,
            Field::Absent,
            Field::Absent,
            None,
        ),
        ShortOr::Long(written) => (
            written.endpoints.given().and_then(|list| endpoints(list, mark, &name, report)),
            protocol(written.protocol, matches!(written.tls, Field::Absent), report),
            written.connect_timeout,
            written.idle,
            tls::of_upstream(written.tls, base_dir, report),
        ),
    };
    Some(Upstream {
        name: name.into(),
        endpoints: endpoints?,
        protocol,
        connect_timeout_place: place_of(&connect_timeout, report),
        connect_timeout: duration(connect_timeout, DEFAULT_CONNECT_TIMEOUT),
        idle_place: place_of(&idle, report),
        idle: duration(idle, DEFAULT_IDLE),
        tls,
        place: report.place(mark),
    })
}

fn protocol(
    written: Field<OneOf<UpstreamProtocol>>,
    is_plain: bool,
    report: &mut Report<'_>,
) -> UpstreamProtocol {
    let mark = mark_of(&written);
    let protocol = written.or(OneOf(UpstreamProtocol::Http1)).0;
    if let (Some(mark), UpstreamProtocol::Auto, true) = (mark, protocol, is_plain) {
        let message = "`protocol: auto` without `tls`: nothing would say what the endpoints speak".to_owned();
        let help = "write `http2` if they speak HTTP/2 without TLS (h2c), else `http1`".to_owned();
        report.error(mark, message, Some(help));
    }
    protocol
}

fn endpoints(
    Marked { value: OneOrMany(items), .. }: Marked<OneOrMany<ShortOr<Address, schema::Endpoint>>>,
    name_mark: Mark,
    name: &str,
    report: &mut Report<'_>,
) -> Option<Vec<Endpoint>> {
    if items.is_empty() {
        let help = "write at least one address, for example `endpoints: [10.0.0.1:9080]`".to_owned();
        report.error(name_mark, format!("upstream {} has no endpoints", quoted(name)), Some(help));
        return None;
    }
    let mut endpoints = Vec::new();
    for item in all(items)? {
        endpoints.push(match item {
            ShortOr::Short(Address(address)) => Endpoint { address, weight: 1 },
            ShortOr::Long(written) => Endpoint {
                address: written.address.given()?.value.0,
                weight: written.weight.or(Whole(1)).0 as u32,
            },
        });
    }
    Some(endpoints)
}
