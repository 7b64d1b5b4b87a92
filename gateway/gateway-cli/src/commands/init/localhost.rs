//! A certificate for this machine, and an authority of its own that issued it: for development.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// What the certificate is good for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of other machines may be behind.
const BACKDATED: Duration = DAY;
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// Some clients accept no longer life, even under an authority of one's own.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(397 * 24 * 60 * 60);

/// A certificate and its key, as PEM.
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

/// What was issued.
pub(super) struct Issued {
    pub(super) authority: Pair,
    pub(super) localhost: Pair,
}

#[derive(Debug, thiserror::Error)]
#[error("no certificate could be made: {0}")]
pub(crate) struct IssueError(#[from] rcgen::Error);

/// Makes both anew, valid from now on.
pub(super) fn issue(now: SystemTime) -> Result<Issued, IssueError> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "gateway development authority");
    (params.not_before, params.not_after) = ((now - BACKDATED).into(), (now + AUTHORITY_LIFE).into());
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut params = CertificateParams::new(NAMES.map(str::to_owned).to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = ((now - BACKDATED).into(), (now + CERTIFICATE_LIFE).into());
    let key = KeyPair::generate()?;
    let localhost = params.signed_by(&key, &authority)?;
    Ok(Issued {
        authority: Pair { cert: authority.pem(), key: authority.key().serialize_pem() },
        localhost: Pair { cert: localhost.pem(), key: key.serialize_pem() },
    })
}
