//! The running demo as the checks see it: real sockets, real files.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use super::checks::{Exchange, Site};
use super::wire::Head;
use super::{Addresses, client, put_filter};
use crate::embedded::API_KEY;
use crate::publish;

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct LiveSite {
    gateway: SocketAddr,
    admin: SocketAddr,
    filters: PathBuf,
    received: Receiver<Head>,
}

impl LiveSite {
    pub(crate) fn new(addresses: &Addresses, scratch: &Path, received: Receiver<Head>) -> Self {
        Self {
            gateway: addresses.gateway,
            admin: addresses.admin,
            filters: scratch.join("filters"),
            received,
        }
    }

    fn module(&self) -> String {
        format!("{}.wasm", API_KEY.name)
    }
}

impl Site for LiveSite {
    fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Exchange> {
        let response = client::get(self.gateway, path, headers)?;
        Ok(Exchange {
            status: response.status,
            body: response.body,
            received: self.received.try_iter().collect(),
        })
    }

    fn install_filter(&mut self) -> io::Result<()> {
        put_filter(&self.filters, &API_KEY)
    }

    fn spoil_filter(&mut self) -> io::Result<()> {
        publish::put(&self.filters, &self.module(), b"this is not a WebAssembly module\n").map(drop)
    }

    fn remove_filter(&mut self) -> io::Result<()> {
        fs::remove_file(self.filters.join(self.module()))
    }

    fn load_failures(&mut self) -> io::Result<u64> {
        let metrics = client::get(self.admin, "/metrics", &[])?;
        Ok(load_failures_in(&metrics.body))
    }

    fn pause(&mut self) {
        // May wake early, which only means one more look.
        thread::park_timeout(PAUSE);
    }
}

/// The filter's series in the Prometheus text format. No series yet is no failure yet.
fn load_failures_in(metrics: &str) -> u64 {
    let label = format!("filter=\"{}\"", API_KEY.name);
    let series = metrics.lines().filter(|line| line.starts_with("gateway_filter_load_failures_total{"));
    let values = series.filter(|line| line.contains(&label)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_failures_are_read_from_the_filters_own_series() {
        let metrics = "# TYPE gateway_filter_load_failures_total counter\n\
            gateway_filter_load_failures_total{filter=\"other\"} 7\n\
            gateway_filter_load_failures_total{filter=\"api-key\"} 2\n";
        assert_eq!(load_failures_in(metrics), 2);
        assert_eq!(load_failures_in(""), 0);
    }
}
