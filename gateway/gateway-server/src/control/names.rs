//! Host names of endpoints to addresses: at load, and again every [`RESOLVE_INTERVAL`].

use std::collections::HashMap;
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
}

impl Names {
    /// Looks up every name of `config`. A name that cannot be looked up keeps the addresses it had.
    pub(crate) async fn resolve(&mut self, config: &Config) -> Vec<Vec<ResolvedEndpoint>> {
        let wanted = names(config);
        self.known.retain(|name, _| wanted.contains(name));
        let mut lookups = tokio::task::JoinSet::new();
        for name in wanted {
            lookups.spawn_local(async move {
                let found = tokio::net::lookup_host((&*name.0, name.1)).await;
                let found = found.map(|addresses| addresses.take(MAX_ADDRESSES_PER_NAME).collect::<Vec<_>>());
                (name, found)
            });
        }
        let all = async {
            while let Some(lookup) = lookups.join_next().await {
                if let Ok((name, found)) = lookup {
                    self.learn(name, found);
                }
            }
        };
        if tokio::time::timeout(RESOLVE_TIMEOUT, all).await.is_err() {
            tracing::warn!(
                "name resolution took longer than {RESOLVE_TIMEOUT:?}; unanswered names keep their addresses"
            );
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

    fn learn(&mut self, name: Name, found: std::io::Result<Vec<SocketAddr>>) {
        match found {
            Ok(mut addresses) if !addresses.is_empty() => {
                // Resolvers rotate their answers; order is no change.
                addresses.sort_unstable();
                addresses.dedup();
                self.known.insert(name, addresses);
            }
            Ok(_) => tracing::warn!(host = %name.0, "the name has no address; the last known ones stay"),
            Err(error) => {
                tracing::warn!(host = %name.0, "the name cannot be resolved: {error}; the last known addresses stay");
            }
        }
    }
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
