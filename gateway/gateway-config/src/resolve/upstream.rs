//! Upstreams in order of name, so that routes can point at them by index.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::resilience::retry_budget;
use super::{all, duration, place_of, tls};
use crate::address::Address;
use crate::diagnostic::{Mark, Report, quoted};
use crate::read::{Field, Marked, Named, OneOrMany, ShortOr};
use crate::resolved::{Endpoint, Upstream};
use crate::schema;
use crate::values::{Name, Whole};

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
    let (endpoints, connect_timeout, idle, tls, budget) = match written.given()?.value {
        ShortOr::Short(Address(address)) => {
            (Some(vec![Endpoint { address, weight: 1 }]), Field::Absent, Field::Absent, None, Field::Absent)
        }
        ShortOr::Long(written) => (
            written.endpoints.given().and_then(|list| endpoints(list, mark, &name, report)),
            written.connect_timeout,
            written.idle,
            tls::of_upstream(written.tls, base_dir, report),
            written.retry_budget,
        ),
    };
    Some(Upstream {
        name: name.into(),
        endpoints: endpoints?,
        connect_timeout_place: place_of(&connect_timeout, report),
        connect_timeout: duration(connect_timeout, DEFAULT_CONNECT_TIMEOUT),
        idle_place: place_of(&idle, report),
        idle: duration(idle, DEFAULT_IDLE),
        tls,
        retry_budget: retry_budget(budget),
        place: report.place(mark),
    })
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
