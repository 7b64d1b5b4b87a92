//! Listeners and the admin listener: defaults, unique names, no address taken twice.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::{client, compression, duration, place_of, some_items, tls};
use crate::address::Bind;
use crate::diagnostic::{Mark, Report, quoted};
use crate::read::{Field, List, Marked, Switchable};
use crate::resolved::{Listener, ListenerLimits};
use crate::schema;
use crate::values::{Name, Size, Whole};

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
const DEFAULT_HEAD_BYTES: u64 = 64 << 10;
const DEFAULT_HEADERS: i64 = 100;
const DEFAULT_URI_BYTES: u64 = 16 << 10;
const DEFAULT_HEAD_READ: Duration = Duration::from_secs(10);
const DEFAULT_IDLE: Duration = Duration::from_secs(60);
const DEFAULT_HTTP2_STREAMS: i64 = 100;

/// The listeners, and the admin listener unless it is off.
pub(super) fn listeners(
    written: Field<List<schema::Listener>>,
    admin: Field<Switchable<schema::Admin>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> (Vec<Listener>, Option<SocketAddr>) {
    let help = "write at least one, for example `- bind: 0.0.0.0:8080`";
    let items = some_items(written, "`listeners`", help, report).unwrap_or_default();
    let mut names = Names::default();
    let mut binds = HashMap::new();
    let mut resolved = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let Field::Given(Marked { mark, value: written }) = item else { continue };
        let name = names.take(written.name, "listener", index, mark, report);
        let limits = limits(written.limits, report);
        let compression = compression::of_listener(written.compression, report);
        let tls = tls::of_listener(written.tls, base_dir, report);
        let paths = client::paths(written.paths);
        let believed = client::Written {
            trusted_peers: written.trusted_peers,
            trusted_hops: written.trusted_hops,
            client_cert_header: written.client_cert_header,
        };
        let identity = client::identity(believed, tls.as_ref(), report);
        let proxy_protocol = client::proxy_protocol(written.proxy_protocol, report);
        let Field::Given(Marked { mark: bind_mark, value: Bind(bind) }) = written.bind else { continue };
        claim(bind, bind_mark, &format!("listener {}", quoted(&name)), &mut binds, report);
        let place = report.place(mark);
        resolved.push(Listener {
            name: name.into(),
            bind,
            tls,
            limits,
            compression,
            paths,
            identity,
            proxy_protocol,
            place,
        });
    }
    (resolved, admin_bind(admin, &mut binds, report))
}

fn admin_bind(
    written: Field<Switchable<schema::Admin>>,
    binds: &mut HashMap<SocketAddr, String>,
    report: &mut Report<'_>,
) -> Option<SocketAddr> {
    let bind = match written {
        Field::Given(Marked { value: Switchable::Off, .. }) => return None,
        Field::Given(Marked { value: Switchable::On(admin), .. }) => admin.bind.given(),
        Field::Absent | Field::Bad => None,
    };
    match bind {
        Some(Marked { mark, value: Bind(bind) }) => {
            claim(bind, mark, "the admin listener", binds, report);
            Some(bind)
        }
        None => Some(DEFAULT_ADMIN),
    }
}

/// Two sockets on one address would share its connections by chance.
fn claim(
    bind: SocketAddr,
    mark: Mark,
    owner: &str,
    binds: &mut HashMap<SocketAddr, String>,
    report: &mut Report<'_>,
) {
    if bind.port() == 0 {
        return;
    }
    match binds.get(&bind) {
        Some(other) => {
            let message = format!("{owner} binds `{bind}`, which {other} binds already");
            report.error(mark, message, Some("give one of them another port".to_owned()));
        }
        None => {
            binds.insert(bind, owner.to_owned());
        }
    }
}

fn limits(written: Field<schema::ListenerLimits>, report: &Report<'_>) -> ListenerLimits {
    let Some(Marked { value: written, .. }) = written.given() else {
        return ListenerLimits {
            head_bytes: DEFAULT_HEAD_BYTES as usize,
            headers: DEFAULT_HEADERS as usize,
            uri_bytes: DEFAULT_URI_BYTES as usize,
            head_read: DEFAULT_HEAD_READ,
            head_read_place: None,
            idle: DEFAULT_IDLE,
            idle_place: None,
            http2_streams: DEFAULT_HTTP2_STREAMS as u32,
        };
    };
    ListenerLimits {
        head_bytes: written.head.or(Size(DEFAULT_HEAD_BYTES)).0 as usize,
        headers: written.headers.or(Whole(DEFAULT_HEADERS)).0 as usize,
        uri_bytes: written.uri.or(Size(DEFAULT_URI_BYTES)).0 as usize,
        head_read_place: place_of(&written.head_read, report),
        head_read: duration(written.head_read, DEFAULT_HEAD_READ),
        idle_place: place_of(&written.idle, report),
        idle: duration(written.idle, DEFAULT_IDLE),
        http2_streams: written.http2_streams.or(Whole(DEFAULT_HTTP2_STREAMS)).0 as u32,
    }
}

/// Names given so far, and where.
#[derive(Default)]
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    /// The name written or one by position; a second use is reported.
    pub(super) fn take(
        &mut self,
        written: Field<Name>,
        kind: &str,
        index: usize,
        item: Mark,
        report: &mut Report<'_>,
    ) -> String {
        let (mark, name) = match written {
            Field::Given(Marked { mark, value: Name(name) }) => (mark, name),
            Field::Absent | Field::Bad => (item, format!("{kind}-{}", index + 1)),
        };
        if let Some(line) = self.0.get(&name) {
            let message = format!("the name {} is taken by the {kind} in line {line}", quoted(&name));
            report.error(mark, message, Some(format!("every {kind} needs a name of its own")));
        } else {
            self.0.insert(name.clone(), mark.line);
        }
        name
    }
}
