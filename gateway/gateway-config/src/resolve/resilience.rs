//! What is done about upstreams that fail or have enough to do: retries and their budget, limits, connections.

use std::time::Duration;

use super::{all, duration, place_of};
use crate::address::ServerName;
use crate::diagnostic::Report;
use crate::http_text::{Method, UrlPath};
use crate::read::{Field, Marked, OneOrMany, ShortOr};
use crate::resolved::{
    HealthCheck, Outlier, Pool, Retry, RetryBudget, RetryConditions, TcpKeepalive, UpstreamLimits,
};
use crate::retry_text::RetryCondition;
use crate::schema;
use crate::status_text::StatusRange;
use crate::values::{Size, Span, Whole};

/// As Istio has it.
const DEFAULT_ATTEMPTS: i64 = 2;
/// As Envoy has it, and the factor between base and maximum too.
const DEFAULT_BACKOFF_BASE: Duration = Duration::from_millis(25);
const DEFAULT_BACKOFF_FACTOR: u32 = 10;
/// As Envoy buffers by default for retries of small requests.
const DEFAULT_REPLAY_BYTES: u64 = 64 << 10;
/// As Envoy has it.
const DEFAULT_BUDGET: RetryBudget = RetryBudget { percent: 20, min_concurrency: 3 };

/// As Envoy has it.
const DEFAULT_PENDING: usize = 1024;
const DEFAULT_MAX_IDLE: i64 = 256;
const DEFAULT_KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const DEFAULT_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_KEEPALIVE_PROBES: i64 = 3;

/// As Envoy has them.
const DEFAULT_CONSECUTIVE_FAILURES: i64 = 5;
const DEFAULT_OUTLIER_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_BASE_EJECTION: Duration = Duration::from_secs(30);
const DEFAULT_MAX_EJECTION: Duration = Duration::from_secs(300);
const DEFAULT_MAX_EJECTED_PERCENT: i64 = 10;
const DEFAULT_PANIC_THRESHOLD: i64 = 50;

const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_CHECK_HEALTHY: i64 = 2;
const DEFAULT_CHECK_UNHEALTHY: i64 = 3;
const DEFAULT_CHECK_EXPECT: std::ops::RangeInclusive<u16> = 200..=399;

/// `Some(None)` when nothing is written; `None` after an error.
pub(super) fn retry(
    written: Field<schema::Retry>,
    forwards: bool,
    report: &mut Report<'_>,
) -> Option<Option<Retry>> {
    let Marked { mark, value: written } = match written {
        Field::Absent => return Some(None),
        Field::Bad => return None,
        Field::Given(written) => written,
    };
    if !forwards {
        let help = "only what is sent to an upstream can be sent again".to_owned();
        report.error(mark, "`retry` needs `to`", Some(help));
        return None;
    }
    let backoff = backoff(written.backoff, report);
    let on = match written.on {
        Field::Absent => conditions(&[RetryCondition::GatewayError]),
        Field::Bad => return None,
        Field::Given(Marked { mark, value: OneOrMany(items) }) => {
            if items.is_empty() {
                let help = "name at least one, for example `on: [connect-failure, 503]`".to_owned();
                report.error(mark, "`retry.on` is empty", Some(help));
                return None;
            }
            conditions(&all(items)?)
        }
    };
    let methods = match written.methods {
        Field::Absent => None,
        Field::Bad => return None,
        Field::Given(list) => Some(all(list.value.0)?.into_iter().map(|Method(name)| name.into()).collect()),
    };
    let (backoff_base, backoff_max) = backoff?;
    Some(Some(Retry {
        on,
        attempts: u32::try_from(written.attempts.or(Whole(DEFAULT_ATTEMPTS)).0).unwrap_or(u32::MAX),
        per_try_timeout_place: place_of(&written.per_try_timeout, report),
        per_try_timeout: written.per_try_timeout.given().map(|timeout| timeout.value.0),
        backoff_base,
        backoff_max,
        methods,
        replay_bytes: usize::try_from(written.replay_body.or(Size(DEFAULT_REPLAY_BYTES)).0)
            .unwrap_or(usize::MAX),
        place: report.place(mark),
    }))
}

fn conditions(written: &[RetryCondition]) -> RetryConditions {
    let mut on = RetryConditions::default();
    for condition in written {
        // As Envoy has it, both of these include that there was no answer at all.
        if matches!(condition, RetryCondition::GatewayError | RetryCondition::ServerError) {
            (on.connect_failure, on.refused_stream, on.reset) = (true, true, true);
        }
        match condition {
            RetryCondition::ConnectFailure => on.connect_failure = true,
            RetryCondition::RefusedStream => on.refused_stream = true,
            RetryCondition::Reset => on.reset = true,
            RetryCondition::GatewayError => on.statuses.extend([502, 503, 504]),
            RetryCondition::ServerError => on.server_errors = true,
            RetryCondition::Retriable4xx => on.statuses.push(409),
            RetryCondition::Status(status) => on.statuses.push(*status),
        }
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    on
}

fn backoff(written: Field<schema::Backoff>, report: &mut Report<'_>) -> Option<(Duration, Duration)> {
    let default = (DEFAULT_BACKOFF_BASE, DEFAULT_BACKOFF_BASE * DEFAULT_BACKOFF_FACTOR);
    let written = match written {
        Field::Absent => return Some(default),
        Field::Bad => return None,
        Field::Given(written) => written.value,
    };
    let base = duration(written.base, DEFAULT_BACKOFF_BASE);
    match written.max {
        Field::Given(Marked { mark, value: Span(max) }) if max < base => {
            let help = format!("the base is {base:?}; write at least that, or a shorter `base`");
            report.error(mark, "`backoff.max` is shorter than `backoff.base`", Some(help));
            None
        }
        Field::Given(Marked { value: Span(max), .. }) => Some((base, max)),
        Field::Absent => Some((base, base * DEFAULT_BACKOFF_FACTOR)),
        Field::Bad => None,
    }
}

pub(super) fn retry_budget(written: Field<schema::RetryBudget>) -> RetryBudget {
    let Some(Marked { value: written, .. }) = written.given() else { return DEFAULT_BUDGET };
    let concurrency = written.min_concurrency.or(Whole(DEFAULT_BUDGET.min_concurrency.into())).0;
    RetryBudget {
        percent: percent(written.percent, DEFAULT_BUDGET.percent.into()),
        min_concurrency: u32::try_from(concurrency).unwrap_or(u32::MAX),
    }
}

pub(super) fn limits(written: Field<schema::UpstreamLimits>) -> UpstreamLimits {
    let Some(Marked { value: written, .. }) = written.given() else { return UpstreamLimits::default() };
    let connections = count(written.connections);
    UpstreamLimits {
        connections,
        // Who waits for a connection that is not opened is a queue, and queues have an end.
        pending_requests: count(written.pending_requests).or(connections.map(|_| DEFAULT_PENDING)),
        requests: count(written.requests),
        retries: count(written.retries),
    }
}

fn count<const MIN: i64, const MAX: i64>(written: Field<Whole<MIN, MAX>>) -> Option<usize> {
    written.given().map(|count| usize::try_from(count.value.0).unwrap_or(usize::MAX))
}

pub(super) fn pool(written: Field<schema::Pool>) -> Pool {
    let default = Pool { max_requests: None, max_age: None, max_idle: DEFAULT_MAX_IDLE as usize };
    let Some(Marked { value: written, .. }) = written.given() else { return default };
    Pool {
        max_requests: written.max_requests.given().and_then(|count| u64::try_from(count.value.0).ok()),
        max_age: written.max_age.given().map(|age| age.value.0),
        max_idle: count(written.max_idle).unwrap_or(default.max_idle),
    }
}

pub(super) fn tcp_keepalive(written: Field<schema::TcpKeepalive>) -> Option<TcpKeepalive> {
    let written = written.given()?.value;
    Some(TcpKeepalive {
        idle: duration(written.idle, DEFAULT_KEEPALIVE_IDLE),
        interval: duration(written.interval, DEFAULT_KEEPALIVE_INTERVAL),
        probes: u32::try_from(written.probes.or(Whole(DEFAULT_KEEPALIVE_PROBES)).0).unwrap_or(u32::MAX),
    })
}

/// `None` also after an error.
pub(super) fn outlier(written: Field<schema::Outlier>, report: &mut Report<'_>) -> Option<Outlier> {
    let written = written.given()?.value;
    let base = duration(written.base_ejection, DEFAULT_BASE_EJECTION);
    let max_ejection = match written.max_ejection {
        Field::Given(Marked { mark, value: Span(max) }) if max < base => {
            let help = format!("the first ejection takes {base:?}; write at least that");
            report.error(mark, "`outlier.maxEjection` is shorter than `baseEjection`", Some(help));
            return None;
        }
        written => duration(written, DEFAULT_MAX_EJECTION.max(base)),
    };
    let failures = written.consecutive_failures.or(Whole(DEFAULT_CONSECUTIVE_FAILURES)).0;
    Some(Outlier {
        consecutive_failures: u32::try_from(failures).unwrap_or(u32::MAX),
        interval: duration(written.interval, DEFAULT_OUTLIER_INTERVAL),
        base_ejection: base,
        max_ejection,
        max_ejected_percent: percent(written.max_ejected_percent, DEFAULT_MAX_EJECTED_PERCENT),
    })
}

pub(super) fn panic_threshold(written: Field<schema::Percent>) -> u8 {
    percent(written, DEFAULT_PANIC_THRESHOLD)
}

fn percent(written: Field<schema::Percent>, default: i64) -> u8 {
    u8::try_from(written.or(Whole(default)).0).unwrap_or(100)
}

/// `None` also after an error.
pub(super) fn health_check(
    written: Field<schema::HealthCheck>,
    report: &mut Report<'_>,
) -> Option<HealthCheck> {
    let written = written.given()?.value;
    let (UrlPath(path), host, expect) = match written.http.given()?.value {
        ShortOr::Short(path) => (path, Field::Absent, Field::Absent),
        ShortOr::Long(http) => (http.path.given()?.value, http.host, http.expect),
    };
    let expect = match expect {
        Field::Absent => vec![DEFAULT_CHECK_EXPECT],
        Field::Bad => return None,
        Field::Given(Marked { mark, value: OneOrMany(items) }) if items.is_empty() => {
            let help = "name at least one, for example `expect: [200-399]`".to_owned();
            report.error(mark, "`healthCheck.http.expect` is empty: no check could pass", Some(help));
            return None;
        }
        Field::Given(list) => {
            let ranges = all(list.value.0)?.into_iter();
            ranges.map(|StatusRange { first, last }| first..=last).collect()
        }
    };
    let times = |written: Field<schema::CheckCount>, default| {
        u32::try_from(written.or(Whole(default)).0).unwrap_or(u32::MAX)
    };
    Some(HealthCheck {
        path: path.into(),
        host: host.given().map(|Marked { value: ServerName(name), .. }| name),
        expect,
        interval: duration(written.interval, DEFAULT_CHECK_INTERVAL),
        timeout: duration(written.timeout, DEFAULT_CHECK_TIMEOUT),
        healthy: times(written.healthy, DEFAULT_CHECK_HEALTHY),
        unhealthy: times(written.unhealthy, DEFAULT_CHECK_UNHEALTHY),
    })
}
