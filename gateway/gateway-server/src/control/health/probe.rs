//! One check: a `GET` over a connection of its own, as the upstream is spoken to.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use gateway_config::{HealthCheck, ProxyVersion};
use http::Request;
use http::header::USER_AGENT;
use http_body_util::Full;

use crate::control::call::Callee;
use crate::snapshot::ResolvedEndpoint;
use crate::tls::{ClientTls, Transport};

/// How servers know these requests from others in their logs.
const AGENT: &str = "gateway-health-check";

/// One endpoint and what it is asked.
pub(super) struct Probe {
    callee: Callee,
    path: Arc<str>,
    expect: Vec<RangeInclusive<u16>>,
}

impl Probe {
    pub(super) fn new(
        check: &HealthCheck,
        endpoint: &ResolvedEndpoint,
        transport: &Transport<ClientTls>,
        proxy_protocol: Option<ProxyVersion>,
    ) -> Self {
        let callee = Callee::new(endpoint, check.host.as_deref(), transport, proxy_protocol);
        Self { callee, path: check.path.clone(), expect: check.expect.clone() }
    }

    /// Asks once; an error says in words what was wrong.
    pub(super) async fn ask(&self) -> Result<(), String> {
        let request = Request::get(&*self.path).header(USER_AGENT, AGENT).body(Full::<Bytes>::default());
        // The path was checked when the configuration was read; a request without it asks for `/`.
        let status = self.callee.send(request.unwrap_or_default()).await?;
        match self.expect.iter().any(|range| range.contains(&status.as_u16())) {
            true => Ok(()),
            false => Err(format!("{} answered {status}", self.path)),
        }
    }
}
