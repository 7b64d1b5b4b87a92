//! How new versions of filters are taken up, who is told, and who may change something.

use std::path::Path;
use std::time::Duration;

use super::{duration, mark_of};
use crate::address::ServerName;
use crate::diagnostic::{Mark, Report, quoted, suggestion};
use crate::http_text::{HeaderName, UrlPath};
use crate::read::{Field, Marked, ShortOr, Switchable};
use crate::resolved::{AdminChanges, Canary, Rollout, Shadow, StateDirectory, Sticky, Thresholds, Webhook};
use crate::schema;
use crate::schema::rollout as written_as;
use crate::share_text::Share;
use crate::values::{Name, OneOf, PathText, Size, Whole};

const DEFAULT_SHARE: u32 = 500;
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
const DEFAULT_MIN_REQUESTS: i64 = 500;
const DEFAULT_FAILURES: u32 = 10;
const DEFAULT_REPLIES: u32 = 500;
const DEFAULT_LATENCY: Duration = Duration::from_millis(5);
const DEFAULT_CPU_PERCENT: i64 = 200;
const DEFAULT_MEMORY_BYTES: u64 = 512;
const DEFAULT_SHADOW_SHARE: u32 = 1_000;
const DEFAULT_WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_WEBHOOK_ATTEMPTS: i64 = 5;

type WrittenRollout = Field<ShortOr<OneOf<written_as::Mode>, written_as::Rollout>>;

/// `has_callouts`: the manifest lets the filter call upstreams.
pub(super) fn rollout(written: WrittenRollout, has_callouts: bool, report: &mut Report<'_>) -> Rollout {
    let Some(Marked { mark, value }) = written.given() else { return Rollout::AtOnce };
    let rollout = match value {
        ShortOr::Short(OneOf(written_as::Mode::Off)) => Rollout::AtOnce,
        ShortOr::Short(OneOf(written_as::Mode::Canary)) => Rollout::Canary(default_canary()),
        ShortOr::Short(OneOf(written_as::Mode::Shadow)) => {
            Rollout::Shadow(Shadow { share: DEFAULT_SHADOW_SHARE })
        }
        ShortOr::Long(written) => match (written.canary, written.shadow) {
            (Field::Given(canary), Field::Absent) => Rollout::Canary(self::canary(canary.value)),
            (Field::Absent, Field::Given(shadow)) => {
                Rollout::Shadow(Shadow { share: shadow.value.share.or(Share(DEFAULT_SHADOW_SHARE)).0 })
            }
            (canary, shadow) => {
                let is_reported = canary.is_bad() || shadow.is_bad();
                let message = match canary.is_absent() {
                    true => "`rollout` says neither `canary` nor `shadow`",
                    false => "`rollout` has both `canary` and `shadow`",
                };
                if !is_reported {
                    report.error(mark, message, Some("write one of them, or `rollout: canary`".to_owned()));
                }
                Rollout::AtOnce
            }
        },
    };
    if matches!(rollout, Rollout::Shadow(_)) && has_callouts {
        let help = "a shadow makes no calls, so it would not behave as it will; use `rollout: canary`, or remove \
            `capabilities.callouts`";
        report.error(mark, "`rollout: shadow` is not for a filter with callouts", Some(help.to_owned()));
    }
    rollout
}

fn default_canary() -> Canary {
    Canary {
        share: DEFAULT_SHARE,
        window: DEFAULT_WINDOW,
        min_requests: DEFAULT_MIN_REQUESTS as u64,
        sticky: Sticky::Client,
        thresholds: thresholds(Field::Absent),
    }
}

fn canary(written: written_as::Canary) -> Canary {
    let sticky = match written.sticky.given().map(|sticky| sticky.value) {
        None | Some(ShortOr::Short(OneOf(written_as::StickyBy::Client))) => Sticky::Client,
        Some(ShortOr::Short(OneOf(written_as::StickyBy::Request))) => Sticky::Request,
        Some(ShortOr::Long(by)) => by
            .header
            .given()
            .map_or(Sticky::Client, |Marked { value: HeaderName(name), .. }| Sticky::Header(name.into())),
    };
    Canary {
        share: written.share.or(Share(DEFAULT_SHARE)).0,
        window: duration(written.window, DEFAULT_WINDOW),
        min_requests: written.min_requests.or(Whole(DEFAULT_MIN_REQUESTS)).0 as u64,
        sticky,
        thresholds: thresholds(written.thresholds),
    }
}

fn thresholds(written: Field<written_as::Thresholds>) -> Thresholds {
    let Some(Marked { value: written, .. }) = written.given() else {
        return Thresholds {
            traps: DEFAULT_FAILURES,
            timeouts: DEFAULT_FAILURES,
            replies: DEFAULT_REPLIES,
            latency: DEFAULT_LATENCY,
            cpu_percent: DEFAULT_CPU_PERCENT as u32,
            memory_bytes: DEFAULT_MEMORY_BYTES,
        };
    };
    Thresholds {
        traps: written.traps.or(Share(DEFAULT_FAILURES)).0,
        timeouts: written.timeouts.or(Share(DEFAULT_FAILURES)).0,
        replies: written.replies.or(Share(DEFAULT_REPLIES)).0,
        latency: duration(written.latency, DEFAULT_LATENCY),
        cpu_percent: written.cpu_percent.or(Whole(DEFAULT_CPU_PERCENT)).0 as u32,
        memory_bytes: written.memory.or(Size(DEFAULT_MEMORY_BYTES)).0,
    }
}

/// Who may change something; the listener itself is resolved with the others.
pub(super) fn admin_changes(
    written: &Field<Switchable<schema::Admin>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> AdminChanges {
    let Field::Given(Marked { value: Switchable::On(admin), .. }) = written else {
        return AdminChanges::default();
    };
    let path = |written: &Field<PathText>| {
        written.iter().next().map(|Marked { mark, value: PathText(path) }| (*mark, base_dir.join(path)))
    };
    let (token_file, socket) = (path(&admin.token_file), path(&admin.socket));
    if let (Some((_, token)), Some((mark, socket))) = (&token_file, &socket)
        && token == socket
    {
        let help = "give the socket a path of its own".to_owned();
        report.error(*mark, "`admin.socket` and `admin.tokenFile` are the same path", Some(help));
    }
    let path_of = |found: Option<(Mark, std::path::PathBuf)>| found.map(|(_, path)| path);
    AdminChanges { token_file: path_of(token_file), socket: path_of(socket) }
}

pub(super) fn state(written: Field<PathText>, base_dir: &Path) -> StateDirectory {
    match written.given().map(|path| path.value.0) {
        None => StateDirectory::Default,
        Some(off) if off == "off" => StateDirectory::Off,
        Some(path) => StateDirectory::At(base_dir.join(path)),
    }
}

/// `upstreams` are the names there are.
pub(super) fn webhook<'n>(
    written: Field<written_as::Events>,
    upstreams: impl Iterator<Item = &'n str> + Clone,
    report: &mut Report<'_>,
) -> Option<Webhook> {
    let written = written.given()?.value.webhook.given()?.value;
    let mark = mark_of(&written.upstream);
    let Name(upstream) = written.upstream.given()?.value;
    if !upstreams.clone().any(|known| known == upstream) {
        let help = suggestion(&upstream, upstreams, "there are");
        report.error(
            mark,
            format!("`events.webhook` names the upstream {}, which does not exist", quoted(&upstream)),
            help,
        );
        return None;
    }
    Some(Webhook {
        upstream: upstream.into(),
        path: written.path.or(UrlPath("/".to_owned())).0.into(),
        host: written.host.given().map(|Marked { value: ServerName(name), .. }| name),
        timeout: duration(written.timeout, DEFAULT_WEBHOOK_TIMEOUT),
        attempts: written.attempts.or(Whole(DEFAULT_WEBHOOK_ATTEMPTS)).0 as u32,
    })
}
