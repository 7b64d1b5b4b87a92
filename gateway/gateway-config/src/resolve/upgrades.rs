//! What connections of a route may change to, and how long they may then be silent.

use std::sync::Arc;
use std::time::Duration;

use super::{duration, mark_of, place_of, some_items};
use crate::diagnostic::{Report, quoted};
use crate::http_text::UpgradeProtocol;
use crate::read::{Field, List, Marked, OneOrMany};
use crate::resolved::Upgrades;
use crate::schema::WaitOrZero;

/// As long as Envoy lets a stream be silent.
const DEFAULT_IDLE: Duration = Duration::from_secs(5 * 60);

/// The fields of a route about upgrades. `forwards` says whether the route has an upstream.
pub(super) fn upgrades(
    protocols: Field<OneOrMany<UpgradeProtocol>>,
    idle: Field<WaitOrZero>,
    forwards: bool,
    report: &mut Report<'_>,
) -> Upgrades {
    if let (Some(mark), false) = (mark_of(&protocols), forwards) {
        let help = "only an upstream can speak another protocol".to_owned();
        report.error(mark, "`upgrades` concerns what goes to an upstream: it needs `to`", Some(help));
    }
    if let (Some(mark), Field::Absent) = (mark_of(&idle), &protocols) {
        let help = "name what is upgraded, for example `upgrades: [websocket]`".to_owned();
        report.error(mark, "`upgradeIdleTimeout` has no meaning without `upgrades`", Some(help));
    }
    let idle_place = place_of(&idle, report);
    let idle = Some(duration(idle, DEFAULT_IDLE)).filter(|idle| !idle.is_zero());
    Upgrades { protocols: distinct(protocols, report), idle, idle_place }
}

fn distinct(written: Field<OneOrMany<UpgradeProtocol>>, report: &mut Report<'_>) -> Vec<Arc<str>> {
    let Field::Given(Marked { mark, value: OneOrMany(items) }) = written else { return Vec::new() };
    let list = Field::Given(Marked { mark, value: List(items) });
    let help = "name a protocol, for example `websocket`, or leave `upgrades` out";
    let mut protocols: Vec<Arc<str>> = Vec::new();
    for item in some_items(list, "`upgrades`", help, report).unwrap_or_default() {
        let Field::Given(Marked { mark, value: UpgradeProtocol(protocol) }) = item else { continue };
        if protocols.iter().any(|known| **known == *protocol) {
            let message = format!("{} stands in `upgrades` twice", quoted(&protocol));
            report.error(mark, message, Some("keep one; case does not matter".to_owned()));
        } else {
            protocols.push(protocol.into());
        }
    }
    protocols
}
