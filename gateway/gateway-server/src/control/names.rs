//! Host names of endpoints to addresses: at load, and again every [`RESOLVE_INTERVAL`].

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::{Config, EndpointAddress};

use crate::snapshot::ResolvedEndpoint;

/// How often names are looked up again.
pub(crate) const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
/// Longest wait for all names together; names that take longer keep their last addresses.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of one name that are used.
const MAX_ADDRESSES_PER_NAME: usize = 256;

type Name = (Arc<str>, u16);

/// The last known addresses of every name.
#[derive(Default)]
pub(crate) struct Names {
    known: HashMap<Name, Vec<SocketAddr>>,
    /// Names that cannot be looked up and why, so that it is said once and not at every interval.
    failing: HashMap<Name, String>,
}

impl Names {
    /// Looks up every name of `config`. A name that cannot be looked up keeps the addresses it had.
    pub(crate) async fn resolve(&mut self, config: &Config) -> Vec<Vec<ResolvedEndpoint>> {
        let wanted = names(config);
        self.known.retain(|name, _| wanted.contains(name));
        self.failing.retain(|name, _| wanted.contains(name));
        let mut unanswered: BTreeSet<Name> = wanted.iter().cloned().collect();
        let mut lookups = tokio::task::JoinSet::new();
        for name in wanted {
            lookups.spawn_local(async move {
                let found = tokio::net::lookup_host((&*name.0, name.1)).await;
                let found = found.map(|addresses| addresses.take(MAX_ADDRESSES_PER_NAME).collect::<Vec<_>>());
                (name, found.map_err(|error| error.to_string()))
            });
        }
        let all = async {
            while let Some(lookup) = lookups.join_next().await {
                if let Ok((name, found)) = lookup {
                    unanswered.remove(&name);
                    self.learn(config, name, found);
                }
            }
        };
        // Those without an answer are seen to below.
        let _ = tokio::time::timeout(RESOLVE_TIMEOUT, all).await;
        for name in unanswered {
            self.learn(config, name, Err(format!("no answer within {RESOLVE_TIMEOUT:?}")));
        }
        self.addresses(config)
    }

    /// What is known now.
    pub(crate) fn addresses(&self, config: &Config) -> Vec<Vec<ResolvedEndpoint>> {
        let endpoints = |upstream: &gateway_config::Upstream| {
            let resolved = upstream.endpoints.iter().flat_map(|endpoint| {
                let (addresses, host) = match &endpoint.address {
                    EndpointAddress::Socket(address) => (vec![*address], None),
                    EndpointAddress::Name { host, port } => {
                        let known = self.known.get(&(host.clone(), *port));
                        (known.cloned().unwrap_or_default(), Some(host.clone()))
                    }
                };
                addresses.into_iter().map(move |address| ResolvedEndpoint {
                    address,
                    host: host.clone(),
                    weight: endpoint.weight,
                })
            });
            resolved.collect()
        };
        config.upstreams.iter().map(endpoints).collect()
    }

    fn learn(&mut self, config: &Config, name: Name, found: Result<Vec<SocketAddr>, String>) {
        let error = match found {
            Ok(mut addresses) if !addresses.is_empty() => {
                // Resolvers rotate their answers; order is no change.
                addresses.sort_unstable();
                addresses.dedup();
                if self.failing.remove(&name).is_some() {
                    tracing::info!(host = %name.0, "the name is resolved again");
                }
                self.known.insert(name, addresses);
                return;
            }
            Ok(_) => "it has no address".to_owned(),
            Err(error) => error,
        };
        if let Some(warning) = self.fail(config, name, error) {
            tracing::warn!("{warning}");
        }
    }

    /// What to say of a name that cannot be looked up; nothing if it was said already.
    fn fail(&mut self, config: &Config, name: Name, error: String) -> Option<String> {
        if self.failing.get(&name) == Some(&error) {
            return None;
        }
        let upstreams = upstreams_of(config, &name);
        let plural = if upstreams.len() == 1 { "" } else { "s" };
        let consequence = if self.known.contains_key(&name) {
            "its last known addresses stay in use"
        } else {
            "no request can be sent there until it is resolved"
        };
        let warning = format!(
            "{} of upstream{plural} {} cannot be resolved: {error}; {consequence}; tried again every {RESOLVE_INTERVAL:?}",
            name.0,
            upstreams.join(", ")
        );
        self.failing.insert(name, error);
        Some(warning)
    }
}

fn upstreams_of<'c>(config: &'c Config, name: &Name) -> Vec<&'c str> {
    let has_name = |upstream: &&gateway_config::Upstream| {
        upstream.endpoints.iter().any(|endpoint| match &endpoint.address {
            EndpointAddress::Name { host, port } => *host == name.0 && *port == name.1,
            EndpointAddress::Socket(_) => false,
        })
    };
    config.upstreams.iter().filter(has_name).map(|upstream| &*upstream.name).collect()
}

fn names(config: &Config) -> Vec<Name> {
    let mut names: Vec<Name> = config
        .upstreams
        .iter()
        .flat_map(|upstream| &upstream.endpoints)
        .filter_map(|endpoint| match &endpoint.address {
            EndpointAddress::Name { host, port } => Some((host.clone(), *port)),
            EndpointAddress::Socket(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether any endpoint has to be looked up at all.
pub(crate) fn has_names(config: &Config) -> bool {
    !names(config).is_empty()
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
