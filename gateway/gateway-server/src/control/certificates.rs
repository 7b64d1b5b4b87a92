//! Certificates and keys from disk, and the TLS settings that are made of them.
//!
//! Owns what every file held when it was last good: a file that is torn, half of a pair or gone changes nothing but the
//! log. Which connections use the result is not known here.

mod build;
mod file;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use gateway_config::{Certificate, Config, Place, UpstreamTrust};

use crate::snapshot::SnapshotTls;
use crate::telemetry::{Gauge, Registry, families};
use crate::tls::{Authorities, FileContent, SiteCertificate};
use build::Builder;
use file::{FileError, News, Watched};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A file that cannot be used, as the operator is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateProblem {
    /// Where the configuration names the file.
    pub place: Place,
    /// What is wrong with which file, and what to do.
    pub message: String,
}

impl std::fmt::Display for CertificateProblem {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { file, line, column, .. } = &self.place;
        write!(out, "{file}:{line}:{column}: {}", self.message)
    }
}

/// Everything that TLS needs from disk, and what was made of it.
#[derive(Default)]
pub(crate) struct Certificates {
    files: Files,
    builder: Builder,
    is_ahead: bool,
    gauges: HashMap<PathBuf, Gauge>,
    first_expiry: Option<Gauge>,
}

/// What the files hold.
#[derive(Default)]
struct Files {
    pairs: HashMap<Pair, Watched<SiteCertificate>>,
    authorities: HashMap<PathBuf, Watched<Authorities>>,
}

/// Paths of certificate and key.
type Pair = (PathBuf, PathBuf);

impl Files {
    /// The last good one.
    fn good_pair(&self, certificate: &Certificate) -> Option<Arc<SiteCertificate>> {
        self.pairs.get(&(certificate.cert.clone(), certificate.key.clone()))?.good.clone()
    }

    /// The last good ones.
    fn good_authorities(&self, path: &PathBuf) -> Option<Arc<Authorities>> {
        self.authorities.get(path)?.good.clone()
    }
}

impl Certificates {
    /// Reads what changed of the files that `config` names. True when there is new content that is good; what is wrong
    /// is logged, once.
    pub(crate) fn look(&mut self, config: &Config) -> bool {
        let mut is_new = false;
        for certificate in pairs_of(config) {
            let provider = self.builder.provider();
            let pair = (certificate.cert.clone(), certificate.key.clone());
            let watched = self.files.pairs.entry(pair).or_default();
            let news = watched.look(
                &[&certificate.cert, &certificate.key],
                |files| SiteCertificate::read(&files[0], &files[1], provider),
                SiteCertificate::is_same,
            );
            if news != News::Nothing {
                tell(watched, certificate, &certificate.place);
            }
            is_new |= news == News::Content;
        }
        for (path, place) in authorities_of(config) {
            let watched = self.files.authorities.entry(path.clone()).or_default();
            let read = |files: &[Vec<u8>]| Authorities::read(&files[0]);
            let news = watched.look(&[path], read, Authorities::is_same);
            if let Some(error) = watched.problem.as_ref().filter(|_| news == News::Problem) {
                let kept = kept(watched.good.is_some());
                tracing::error!("{}{kept}", problem_of_authorities(path, place, error));
            }
            is_new |= news == News::Content;
        }
        self.is_ahead |= is_new;
        is_new
    }

    /// Whether there is good content that the workers do not have yet.
    pub(crate) const fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// Files that `config` names and `serving` does not, and that have never been good.
    pub(crate) fn newly_unusable(&self, config: &Config, serving: &Config) -> Vec<CertificateProblem> {
        let known: HashSet<_> = pairs_of(serving).map(|pair| (&pair.cert, &pair.key)).collect();
        let pairs = pairs_of(config).filter(|pair| !known.contains(&(&pair.cert, &pair.key)));
        let known: HashSet<_> = authorities_of(serving).map(|(path, _)| path).collect();
        let authorities = authorities_of(config).filter(|(path, _)| !known.contains(path));
        self.problems(pairs, authorities)
    }

    fn problems<'a>(
        &self,
        pairs: impl Iterator<Item = &'a Certificate>,
        authorities: impl Iterator<Item = (&'a PathBuf, &'a Place)>,
    ) -> Vec<CertificateProblem> {
        let mut problems: Vec<_> = pairs
            .filter_map(|certificate| {
                let pair = (certificate.cert.clone(), certificate.key.clone());
                let watched = self.files.pairs.get(&pair).filter(|watched| watched.good.is_none())?;
                Some(problem_of_pair(certificate, watched.problem.as_ref()?))
            })
            .collect();
        problems.extend(authorities.filter_map(|(path, place)| {
            let watched = self.files.authorities.get(path).filter(|watched| watched.good.is_none())?;
            Some(problem_of_authorities(path, place, watched.problem.as_ref()?))
        }));
        problems.dedup();
        problems
    }

    /// What the listeners and upstreams of `config` speak, from what is good now.
    pub(crate) fn build(&mut self, config: &Config) -> SnapshotTls {
        self.builder.build(config, &self.files, self.contents(config))
    }

    fn contents(&self, config: &Config) -> BTreeMap<Arc<str>, FileContent> {
        let name = |path: &PathBuf| Arc::from(path.display().to_string());
        let pairs =
            pairs_of(config).map(|pair| (name(&pair.cert), FileContent::Pair(self.files.good_pair(pair))));
        let authorities = authorities_of(config)
            .map(|(path, _)| (name(path), FileContent::Authorities(self.files.good_authorities(path))));
        authorities.chain(pairs).collect()
    }

    /// The workers have what was built for `config`; what it does not name is forgotten.
    pub(crate) fn committed(&mut self, config: &Config) {
        self.is_ahead = false;
        let pairs: HashSet<_> = pairs_of(config).map(|pair| (&pair.cert, &pair.key)).collect();
        self.files.pairs.retain(|(cert, key), _| pairs.contains(&(cert, key)));
        let authorities: HashSet<_> = authorities_of(config).map(|(path, _)| path).collect();
        self.files.authorities.retain(|path, _| authorities.contains(path));
        self.builder.keep_only(config);
    }

    /// Files to watch for `config`.
    pub(crate) fn files(config: &Config) -> impl Iterator<Item = PathBuf> {
        let pairs = pairs_of(config).flat_map(|pair| [pair.cert.clone(), pair.key.clone()]);
        pairs.chain(authorities_of(config).map(|(path, _)| path.clone()))
    }

    /// Brings the metrics up to date.
    pub(crate) fn measure(&mut self, registry: &Registry) {
        let mut ends = HashMap::new();
        for ((cert, _), watched) in &self.files.pairs {
            if let Some(good) = &watched.good {
                ends.insert(
                    cert.clone(),
                    good.not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
                );
            }
        }
        self.gauges.retain(|cert, _| ends.contains_key(cert));
        for (cert, end) in &ends {
            let gauge = self.gauges.entry(cert.clone()).or_insert_with(|| {
                registry.gauge(&families::CERTIFICATE_EXPIRY, &[&cert.display().to_string()])
            });
            gauge.set(i64::try_from(*end).unwrap_or(i64::MAX));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.first_expiry = ends.values().min().map(|first| {
            let gauge = self.first_expiry.take();
            let gauge = gauge.unwrap_or_else(|| registry.gauge(&families::DAYS_UNTIL_FIRST_EXPIRY, &[]));
            // As Envoy: 0 from the day of expiry on.
            let days = first.saturating_sub(now) / SECONDS_PER_DAY;
            gauge.set(i64::try_from(days).unwrap_or(i64::MAX));
            gauge
        });
    }
}

/// Reads every certificate, key and authority that `config` names; what cannot be used.
pub fn check_certificates(config: &Config) -> Vec<CertificateProblem> {
    let mut builder = Builder::default();
    let pairs = pairs_of(config).filter_map(|certificate| {
        let read = |files: &[Vec<u8>]| SiteCertificate::read(&files[0], &files[1], builder.provider());
        let error = file::read_all(&[&certificate.cert, &certificate.key], read).err()?;
        Some(problem_of_pair(certificate, &error))
    });
    let mut problems: Vec<_> = pairs.collect();
    problems.extend(authorities_of(config).filter_map(|(path, place)| {
        let error = file::read_all(&[path], |files| Authorities::read(&files[0])).err()?;
        Some(problem_of_authorities(path, place, &error))
    }));
    let upstreams = config.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref());
    if let Some(tls) = upstreams.into_iter().find(|tls| tls.trust == UpstreamTrust::System)
        && let Err(message) = builder.system_roots()
    {
        problems.push(CertificateProblem { place: tls.place.clone(), message });
    }
    problems
}

fn pairs_of(config: &Config) -> impl Iterator<Item = &Certificate> {
    let listeners = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let upstreams = config.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref());
    listeners.flat_map(|tls| &tls.certificates).chain(upstreams.filter_map(|tls| tls.certificate.as_ref()))
}

fn authorities_of(config: &Config) -> impl Iterator<Item = (&PathBuf, &Place)> {
    let clients = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()?.clients.as_ref());
    let upstreams = config.upstreams.iter().filter_map(|upstream| match &upstream.tls.as_ref()?.trust {
        UpstreamTrust::File { ca, place } => Some((ca, place)),
        UpstreamTrust::System | UpstreamTrust::Anyone => None,
    });
    clients.map(|trust| (&trust.ca, &trust.place)).chain(upstreams)
}

fn problem_of_pair(certificate: &Certificate, error: &FileError) -> CertificateProblem {
    let (cert, key) = (certificate.cert.display(), certificate.key.display());
    let message = format!("certificate {cert} with key {key}: {error}");
    CertificateProblem { place: certificate.place.clone(), message }
}

fn problem_of_authorities(path: &std::path::Path, place: &Place, error: &FileError) -> CertificateProblem {
    let message = format!("authorities {}: {error}", path.display());
    CertificateProblem { place: place.clone(), message }
}

fn tell(watched: &Watched<SiteCertificate>, certificate: &Certificate, place: &Place) {
    if let Some(error) = &watched.problem {
        let problem = problem_of_pair(certificate, error);
        return tracing::error!("{problem}{}", kept(watched.good.is_some()));
    }
    let Some(good) = &watched.good else { return };
    let Some(warning) = warning(good, SystemTime::now()) else {
        return tracing::info!(certificate = %certificate.cert.display(), "certificate read");
    };
    let message = format!("certificate {} {warning}", certificate.cert.display());
    tracing::warn!("{}", CertificateProblem { place: place.clone(), message });
}

/// What clients will not like about a certificate that serves.
fn warning(good: &SiteCertificate, now: SystemTime) -> Option<&'static str> {
    if now > good.not_after {
        Some("has expired: clients will refuse it; put a new one in its place, no restart is needed")
    } else if now < good.not_before {
        Some("is not valid yet: clients will refuse it; is the clock of this machine right?")
    } else {
        None
    }
}

const fn kept(has_good: bool) -> &'static str {
    if has_good { "; the last good one serves on" } else { "; what needs it does not work" }
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
