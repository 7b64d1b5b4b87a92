//! What a reload changed and what it kept, object by object. Pure: two snapshots in, names out.
//!
//! Asks the same questions as the code that keeps things ([`ListenerSocket`], [`upstream::keeps_connections`], the
//! identity of filters and certificates), so that what is shown is what happened.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_config::{HostPattern, Route};

use crate::snapshot::{FilterSpec, ListenerSocket, Snapshot};
use crate::upstream;

/// What one snapshot has, compared with the one before it.
#[derive(Default, Debug)]
pub(crate) struct Changes {
    pub(crate) listeners: Objects,
    /// Route tables, each under its host; `*` is that of all other hosts.
    pub(crate) hosts: Objects,
    pub(crate) upstreams: Objects,
    pub(crate) filters: Objects,
    /// Certificates with their keys, and authorities, each under its path.
    pub(crate) certificates: Objects,
    /// Settings of the whole gateway that differ.
    pub(crate) settings: Vec<&'static str>,
}

/// All objects of one kind, in order of name.
#[derive(Default, Debug)]
pub(crate) struct Objects {
    pub(crate) added: Vec<Arc<str>>,
    pub(crate) changed: Vec<Changed>,
    pub(crate) removed: Vec<Arc<str>>,
    pub(crate) kept: Vec<Arc<str>>,
}

/// An object that is not what it was.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Changed {
    pub(crate) name: Arc<str>,
    /// Settings, or names of routes.
    pub(crate) what: Vec<Arc<str>>,
    /// What of it goes on all the same.
    pub(crate) keeps: Vec<&'static str>,
}

impl Changes {
    /// From `old` to `new`.
    pub(crate) fn between(old: &Snapshot, new: &Snapshot) -> Self {
        Self {
            listeners: listeners(old, new),
            hosts: hosts(old, new),
            upstreams: upstreams(old, new),
            filters: filters(old, new),
            certificates: certificates(old, new),
            settings: old.config.differing_settings(&new.config),
        }
    }

    /// Each kind under its name.
    pub(crate) fn kinds(&self) -> [(&'static str, &Objects); 5] {
        [
            ("listeners", &self.listeners),
            ("hosts", &self.hosts),
            ("upstreams", &self.upstreams),
            ("filters", &self.filters),
            ("certificates", &self.certificates),
        ]
    }
}

impl Objects {
    /// `details` says what of an object changed and what it keeps; `None` is an object that is the same.
    fn compare<T>(
        old: impl Iterator<Item = (Arc<str>, T)>,
        new: impl Iterator<Item = (Arc<str>, T)>,
        details: impl Fn(&T, &T) -> Option<Details>,
    ) -> Self {
        let mut old: BTreeMap<_, _> = old.collect();
        let new: BTreeMap<_, _> = new.collect();
        let mut objects = Self::default();
        for (name, new) in new {
            match old.remove(&name).map(|old| details(&old, &new)) {
                None => objects.added.push(name),
                Some(None) => objects.kept.push(name),
                Some(Some((what, keeps))) => objects.changed.push(Changed { name, what, keeps }),
            }
        }
        objects.removed = old.into_keys().collect();
        objects
    }
}

type Details = (Vec<Arc<str>>, Vec<&'static str>);

fn words(words: Vec<&'static str>) -> Vec<Arc<str>> {
    words.into_iter().map(Arc::from).collect()
}

/// A listener that has another name and its old socket is a changed one.
fn listeners(old: &Snapshot, new: &Snapshot) -> Objects {
    let names = |snapshot: &Snapshot| -> HashSet<Arc<str>> {
        snapshot.config.listeners.iter().map(|listener| listener.name.clone()).collect()
    };
    let (old_names, new_names) = (names(old), names(new));
    let renamed: HashMap<_, _> = new
        .config
        .listeners
        .iter()
        .filter(|listener| !old_names.contains(&listener.name))
        .map(|listener| (ListenerSocket::of(listener), listener.name.clone()))
        .collect();
    let before = old.config.listeners.iter().map(|listener| {
        let name = match renamed.get(&ListenerSocket::of(listener)) {
            Some(name) if !new_names.contains(&listener.name) => name,
            _ => &listener.name,
        };
        (name.clone(), listener)
    });
    let after = new.config.listeners.iter().map(|listener| (listener.name.clone(), listener));
    Objects::compare(before, after, |old, new| {
        let what = old.differences(new);
        let keeps_socket = ListenerSocket::of(old) == ListenerSocket::of(new);
        (!what.is_empty()).then(|| (words(what), keeps_socket.then_some("socket").into_iter().collect()))
    })
}

fn upstreams(old: &Snapshot, new: &Snapshot) -> Objects {
    let all = |snapshot: &'_ Snapshot| {
        let names: Vec<_> = snapshot.config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        names.into_iter().enumerate().map(|(index, name)| (name, index))
    };
    Objects::compare(all(old), all(new), |&before, &after| {
        let (old_upstream, new_upstream) = (&old.config.upstreams[before], &new.config.upstreams[after]);
        let (old_addresses, new_addresses) = (&old.addresses[before], &new.addresses[after]);
        let (old_tls, new_tls) = (&old.tls.upstreams[before], &new.tls.upstreams[after]);
        let mut what = old_upstream.differences(new_upstream);
        if old_addresses != new_addresses && !what.contains(&"endpoints") {
            what.push("addresses");
        }
        if !old_tls.is_same(new_tls) && !what.contains(&"tls") && !what.contains(&"protocol") {
            what.push("certificates");
        }
        if what.is_empty() {
            return None;
        }
        let mut keeps = Vec::new();
        let rules = upstream::ConnectionRules::of;
        let names = |addresses: &[crate::snapshot::ResolvedEndpoint], tls| -> HashSet<_> {
            addresses
                .iter()
                .map(|endpoint| (endpoint.address, upstream::server_name(tls, endpoint)))
                .collect()
        };
        if upstream::keeps_connections((old_tls, rules(old_upstream)), (new_tls, rules(new_upstream)))
            && !names(old_addresses, old_tls).is_disjoint(&names(new_addresses, new_tls))
        {
            keeps.push("connections");
        }
        let known: HashSet<SocketAddr> = old_addresses.iter().map(|endpoint| endpoint.address).collect();
        let forgets = old_upstream.health_check.is_some() && new_upstream.health_check.is_none();
        if !forgets && new_addresses.iter().any(|endpoint| known.contains(&endpoint.address)) {
            keeps.push("health");
        }
        Some((words(what), keeps))
    })
}

fn filters(old: &Snapshot, new: &Snapshot) -> Objects {
    let all = |snapshot: &Snapshot| -> Vec<_> {
        snapshot.filters.iter().map(|filter| (filter.name.clone(), filter.clone())).collect()
    };
    let details = |old: &Arc<FilterSpec>, new: &Arc<FilterSpec>| {
        if Arc::ptr_eq(old, new) {
            return None;
        }
        let mut what = Vec::new();
        if old.live.is_ok() != new.live.is_ok() {
            what.push("live");
        }
        // A version is named by its module, and then by its manifest.
        let module = |spec: &FilterSpec| spec.version.split('-').next().map(str::to_owned);
        if module(old) != module(new) {
            what.push("module");
        }
        if old.manifest != new.manifest {
            what.push("manifest");
        }
        Some((words(what), Vec::new()))
    };
    Objects::compare(all(old).into_iter(), all(new).into_iter(), details)
}

fn certificates(old: &Snapshot, new: &Snapshot) -> Objects {
    let all = |snapshot: &Snapshot| snapshot.tls.files.clone().into_iter();
    Objects::compare(all(old), all(new), |old, new| {
        (!old.is_same(new)).then(|| (words(vec!["content"]), Vec::new()))
    })
}

/// The routes that are other ones than before are named, and those that are gone.
fn hosts(old: &Snapshot, new: &Snapshot) -> Objects {
    Objects::compare(by_host(old).into_iter(), by_host(new).into_iter(), |before, after| {
        let is_same =
            |(before, after): (&&Route, &&Route)| old.config.is_same_route(before, &new.config, after);
        if before.len() == after.len() && before.iter().zip(after).all(is_same) {
            return None;
        }
        let named = |routes: &[&'_ Route]| -> HashSet<Arc<str>> {
            routes.iter().map(|route| route.name.clone()).collect()
        };
        let find: HashMap<_, _> = before.iter().map(|route| (&*route.name, *route)).collect();
        let is_new =
            |route: &&&Route| find.get(&*route.name).is_none_or(|old_route| !is_same((old_route, *route)));
        let mut what: Vec<_> = after.iter().filter(is_new).map(|route| route.name.clone()).collect();
        let stay = named(after);
        what.extend(
            before.iter().filter(|route| !stay.contains(&route.name)).map(|route| route.name.clone()),
        );
        Some((what, Vec::new()))
    })
}

fn by_host(snapshot: &Snapshot) -> BTreeMap<Arc<str>, Vec<&Route>> {
    let mut hosts: BTreeMap<Arc<str>, Vec<&Route>> = BTreeMap::new();
    for route in &snapshot.config.routes {
        if route.hosts.is_empty() {
            hosts.entry("*".into()).or_default().push(route);
        }
        for host in &route.hosts {
            let name = match host {
                HostPattern::Exact(name) => name.clone(),
                HostPattern::Suffix(suffix) => format!("*{suffix}").into(),
            };
            hosts.entry(name).or_default().push(route);
        }
    }
    hosts
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
