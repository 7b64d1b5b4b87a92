//! TLS of listeners and upstreams: which files and names, and which of them need each other. Reads no file.

use std::path::Path;

use super::{mark_of, some_items};
use crate::address::ServerName;
use crate::diagnostic::{Mark, Report};
use crate::read::{Field, Marked};
use crate::resolved::{
    Certificate, ClientCertificate, ClientTrust, ListenerTls, TlsVersion, UpstreamTls, UpstreamTrust,
};
use crate::schema;
use crate::values::{OneOf, PathText, Switch};

/// `None` also after an error.
pub(super) fn of_listener(
    written: Field<schema::ListenerTls>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Option<ListenerTls> {
    let written = written.given()?.value;
    let help = "write at least one, for example `- {cert: site.pem, key: site.key}`";
    let items = some_items(written.certificates, "`tls.certificates`", help, report);
    let mut certificates = Vec::new();
    for Marked { mark, value } in items.into_iter().flatten().filter_map(Field::given) {
        let files = value.cert.given().zip(value.key.given());
        certificates
            .extend(files.map(|(cert, key)| certificate(cert.value, key.value, mark, base_dir, report)));
    }
    Some(ListenerTls {
        certificates,
        min_version: written.min_version.or(OneOf(TlsVersion::Tls12)).0,
        clients: clients(written.client_ca, written.client_cert, base_dir, report),
    })
}

fn clients(
    ca: Field<PathText>,
    certificate: Field<OneOf<ClientCertificate>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Option<ClientTrust> {
    match (ca, certificate) {
        (Field::Given(Marked { mark, value: PathText(ca) }), certificate) => Some(ClientTrust {
            ca: base_dir.join(ca),
            certificate: certificate.or(OneOf(ClientCertificate::Required)).0,
            place: report.place(mark),
        }),
        (Field::Absent, Field::Given(Marked { mark, .. })) => {
            let help = "name the authorities: `clientCa: clients-ca.pem`".to_owned();
            report.error(
                mark,
                "`clientCert` without `clientCa`: no certificate could be checked",
                Some(help),
            );
            None
        }
        _ => None,
    }
}

/// `None` also after an error.
pub(super) fn of_upstream(
    written: Field<schema::UpstreamTls>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Option<UpstreamTls> {
    let Marked { mark, value: written } = written.given()?;
    let certificate = match (written.cert, written.key) {
        (Field::Given(cert), Field::Given(key)) => {
            Some(certificate(cert.value, key.value, cert.mark, base_dir, report))
        }
        (Field::Given(cert), Field::Absent) => {
            report.error(
                cert.mark,
                "`cert` without `key`",
                Some("add the private key: `key: client.key`".into()),
            );
            None
        }
        (Field::Absent, Field::Given(key)) => {
            report.error(
                key.mark,
                "`key` without `cert`",
                Some("add the certificate: `cert: client.pem`".into()),
            );
            None
        }
        _ => None,
    };
    let verify_mark = mark_of(&written.verify);
    let verify = written.verify.or(Switch(true)).0;
    if let (Some(mark), false) = (verify_mark, verify) {
        let message =
            "with `verify: false` whoever is in between can read and change what is sent".to_owned();
        let help = "name the authority of a private certificate: `ca: private-ca.pem`".to_owned();
        report.warn(mark, message, Some(help));
    }
    let trust = match written.ca {
        Field::Given(Marked { mark, .. }) if !verify => {
            let help = "remove `verify: false` to check certificates against `ca`".to_owned();
            report.error(mark, "`ca` has no effect with `verify: false`", Some(help));
            UpstreamTrust::Anyone
        }
        Field::Given(Marked { mark, value: PathText(ca) }) => {
            UpstreamTrust::File { ca: base_dir.join(ca), place: report.place(mark) }
        }
        _ if verify => UpstreamTrust::System,
        _ => UpstreamTrust::Anyone,
    };
    let sni = written.sni.given().map(|Marked { value: ServerName(name), .. }| name);
    Some(UpstreamTls { sni, trust, certificate, place: report.place(mark) })
}

fn certificate(
    PathText(cert): PathText,
    PathText(key): PathText,
    mark: Mark,
    base_dir: &Path,
    report: &Report<'_>,
) -> Certificate {
    Certificate { cert: base_dir.join(cert), key: base_dir.join(key), place: report.place(mark) }
}
