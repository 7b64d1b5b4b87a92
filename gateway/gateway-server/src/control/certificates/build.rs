//! From good certificates and settings to what listeners and upstreams speak.
//!
//! Owns what must outlive a reload: ticket keys, so that sessions go on, and the TLS of upstreams, so that their pooled
//! connections do. Reads no file but the system's store of authorities.

use std::collections::{BTreeMap, HashMap};
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use gateway_config::{ClientCertificate, Config, Listener, Place, Upstream, UpstreamProtocol, UpstreamTrust};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;

use super::{CertificateProblem, Files};
use crate::snapshot::SnapshotTls;
use crate::tls::{
    Authorities, ClientPolicy, ClientTls, FileContent, ServerTls, SiteCertificate, Sites, Transport, Trust,
    provider,
};

/// Makes the TLS of listeners and upstreams.
pub(super) struct Builder {
    provider: Arc<CryptoProvider>,
    /// Read once: the system's own store changes with its packages.
    system: Option<Result<Arc<RootCertStore>, String>>,
    tickets: HashMap<Arc<str>, Tickets>,
    upstreams: HashMap<Arc<str>, Made>,
}

/// The ticket keys of a listener, good for one way of treating clients.
struct Tickets {
    clients: Option<(Arc<Authorities>, ClientCertificate)>,
    producer: Arc<dyn ProducesTickets>,
}

/// The TLS of an upstream and what it was made of. As long as that stays, so do the pooled connections.
struct Made {
    from: MadeFrom,
    transport: Transport<ClientTls>,
}

struct MadeFrom {
    protocol: UpstreamProtocol,
    server_name: Option<Arc<str>>,
    trust: Discriminant<UpstreamTrust>,
    has_certificate: bool,
    certificate: Option<Arc<SiteCertificate>>,
    authorities: Option<Arc<Authorities>>,
}

impl PartialEq for MadeFrom {
    fn eq(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.server_name == other.server_name
            && self.trust == other.trust
            && self.has_certificate == other.has_certificate
            && same(self.certificate.as_ref(), other.certificate.as_ref())
            && same(self.authorities.as_ref(), other.authorities.as_ref())
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self { provider: provider(), system: None, tickets: HashMap::new(), upstreams: HashMap::new() }
    }
}

impl Builder {
    pub(super) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    pub(super) fn build(
        &mut self,
        config: &Config,
        files: &Files,
        contents: BTreeMap<Arc<str>, FileContent>,
    ) -> SnapshotTls {
        SnapshotTls {
            listeners: config.listeners.iter().map(|listener| self.listener(listener, files)).collect(),
            upstreams: config.upstreams.iter().map(|upstream| self.upstream(upstream, files)).collect(),
            files: contents,
        }
    }

    /// Forgets what `config` does not name.
    pub(super) fn keep_only(&mut self, config: &Config) {
        self.tickets.retain(|name, _| config.listeners.iter().any(|listener| listener.name == *name));
        let named =
            |name: &Arc<str>| config.upstreams.binary_search_by(|upstream| upstream.name.cmp(name)).is_ok();
        self.upstreams.retain(|name, _| named(name));
    }

    fn listener(&mut self, listener: &Listener, files: &Files) -> Transport<ServerTls> {
        let Some(settings) = &listener.tls else { return Transport::Plain };
        let certificates: Vec<_> = settings.certificates.iter().map(|pair| files.good_pair(pair)).collect();
        let policy = match &settings.clients {
            None => None,
            Some(trust) => match files.good_authorities(&trust.ca) {
                Some(authorities) => Some(ClientPolicy { authorities, certificate: trust.certificate }),
                // Nobody could be told from anybody: closed, not open.
                None => return Transport::Unusable,
            },
        };
        let made = self.tickets(&listener.name, policy.as_ref()).and_then(|tickets| {
            let sites = Sites::new(&certificates);
            ServerTls::new(&self.provider, settings.min_version, sites, policy.as_ref(), tickets)
        });
        usable(made, &listener.place, "listener", &listener.name)
    }

    /// New keys for new rules: a session that was begun under other rules is not resumed.
    fn tickets(
        &mut self,
        listener: &Arc<str>,
        policy: Option<&ClientPolicy>,
    ) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        if let Some(known) = self.tickets.get(listener) {
            let same = match (&known.clients, policy) {
                (None, None) => true,
                (Some((authorities, certificate)), Some(policy)) => {
                    Arc::ptr_eq(authorities, &policy.authorities) && *certificate == policy.certificate
                }
                _ => false,
            };
            if same {
                return Ok(known.producer.clone());
            }
        }
        let producer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        let clients = policy.map(|policy| (policy.authorities.clone(), policy.certificate));
        self.tickets.insert(listener.clone(), Tickets { clients, producer: producer.clone() });
        Ok(producer)
    }

    fn upstream(&mut self, upstream: &Upstream, files: &Files) -> Transport<ClientTls> {
        let Some(settings) = &upstream.tls else { return Transport::Plain };
        let certificate = settings.certificate.as_ref().and_then(|pair| files.good_pair(pair));
        let authorities = match &settings.trust {
            UpstreamTrust::File { ca, .. } => files.good_authorities(ca),
            UpstreamTrust::System | UpstreamTrust::Anyone => None,
        };
        let from = MadeFrom {
            protocol: upstream.protocol,
            server_name: settings.sni.clone(),
            trust: discriminant(&settings.trust),
            has_certificate: settings.certificate.is_some(),
            certificate,
            authorities,
        };
        if let Some(known) = self.upstreams.get(&upstream.name).filter(|known| known.from == from) {
            return known.transport.clone();
        }
        let transport = self.new_upstream(upstream, settings, &from);
        self.upstreams.insert(upstream.name.clone(), Made { from, transport: transport.clone() });
        transport
    }

    fn new_upstream(
        &mut self,
        upstream: &Upstream,
        settings: &gateway_config::UpstreamTls,
        from: &MadeFrom,
    ) -> Transport<ClientTls> {
        if from.has_certificate && from.certificate.is_none() {
            return Transport::Unusable;
        }
        let place = &settings.place;
        let trust = match (&settings.trust, &from.authorities) {
            (UpstreamTrust::File { .. }, None) => return Transport::Unusable,
            (UpstreamTrust::File { .. }, Some(authorities)) => Trust::Roots(authorities.roots.clone()),
            (UpstreamTrust::System, _) => match self.system_roots() {
                Ok(roots) => Trust::Roots(roots),
                Err(error) => {
                    let at = CertificateProblem { place: place.clone(), message: error };
                    tracing::error!(upstream = %upstream.name, "{at}");
                    return Transport::Unusable;
                }
            },
            (UpstreamTrust::Anyone, _) => Trust::Anyone,
        };
        let certificate = from.certificate.as_deref();
        let made =
            ClientTls::new(&self.provider, trust, certificate, settings.sni.clone(), upstream.protocol);
        usable(made, place, "upstream", &upstream.name)
    }

    /// The authorities that this system trusts.
    pub(super) fn system_roots(&mut self) -> Result<Arc<RootCertStore>, String> {
        self.system
            .get_or_insert_with(|| {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!("some certificates that the system trusts cannot be read: {error}");
                }
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(
                        "this system trusts no certificates: install `ca-certificates`, or give `ca`".into(),
                    );
                }
                Ok(Arc::new(roots))
            })
            .clone()
    }
}

fn same<T>(left: Option<&Arc<T>>, right: Option<&Arc<T>>) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => Arc::ptr_eq(left, right),
        _ => false,
    }
}

fn usable<T>(made: Result<T, rustls::Error>, place: &Place, kind: &str, name: &str) -> Transport<T> {
    match made {
        Ok(tls) => Transport::Tls(Arc::new(tls)),
        Err(error) => {
            let message = format!("TLS of {kind} {name} cannot be set up: {error}");
            tracing::error!("{}", CertificateProblem { place: place.clone(), message });
            Transport::Unusable
        }
    }
}
