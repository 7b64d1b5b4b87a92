//! What the admin API says of filters: one line of a list, or everything.
//!
//! Numbers come from the workers' cells and are summed here; what a manifest says is shown as it is in effect, without the
//! values of `config`, `vmConfig` and `env`: they may be secrets, and reads of the admin API ask for no password.

use std::sync::Arc;

use gateway_config::{FailurePolicy, HostPattern, Manifest, Phase};
use proxy_wasm_host::FailureReason;
use serde_json::{Value, json};

use super::filters::{FilterStatus, bounds};
use crate::filter::GuestCall;
use crate::shared::filter_table::VersionNumbers;
use crate::snapshot::FilterSpec;
use crate::telemetry::Registry;
use crate::telemetry::filter_cells::{CallTotals, FilterTotals, TimeTotals};

/// One filter of the list.
pub(crate) fn line(filter: &FilterStatus, registry: &Registry) -> Value {
    let numbers = registry.filter_numbers(&filter.name);
    let totals = current(filter, &numbers).map(|numbers| &numbers.totals);
    let mut line = head(filter);
    if let Some(spec) = &filter.spec {
        merge(&mut line, position(&spec.manifest));
    }
    if let Some(totals) = totals {
        merge(&mut line, sums(totals));
    }
    merge(&mut line, bounds(filter));
    line
}

/// Everything that is known of a filter. `traps` are its last reports.
pub(crate) fn page(filter: &FilterStatus, registry: &Registry, traps: Vec<Value>) -> Value {
    let numbers = registry.filter_numbers(&filter.name);
    let mut page = head(filter);
    merge(&mut page, bounds(filter));
    if let Some(spec) = &filter.spec {
        merge(&mut page, position(&spec.manifest));
        let sha256 = spec.live.as_ref().ok().map(|live| hex(&live.sha256));
        let imports = spec.live.as_ref().ok().map(|live| live.module.info());
        let module = imports.map(|info| {
            json!({
                "sha256": sha256, "sizeBytes": info.size_bytes, "abi": info.abi.to_string(),
                "exports": info.exports, "imports": info.imports.iter().map(|(module, name)| format!("{module}.{name}"))
                    .collect::<Vec<_>>(),
            })
        });
        merge(&mut page, json!({ "module": module, "manifest": manifest(&spec.manifest) }));
    }
    if let Some(current) = current(filter, &numbers) {
        let totals = &current.totals;
        merge(&mut page, sums(totals));
        merge(
            &mut page,
            json!({
                "callbacks": callbacks(totals),
                "trapsByReason": traps_by_reason(totals),
                "copies": totals.copies,
                "replacements": time(&totals.replaced),
                "memoryPeakBytes": totals.memory_peak_bytes,
                "memoryLimitBytes": current.memory_limit_bytes,
                "reportsDropped": totals.reports_dropped,
            }),
        );
        if let Some(spec) = &filter.spec {
            for (name, of) in used(spec, totals) {
                // Both are objects: those of a limit that has no more to it begin here.
                let limit = &mut page["limits"][name];
                if limit.is_null() {
                    *limit = json!({});
                }
                merge(limit, of);
            }
        }
    }
    let version = |numbers: &VersionNumbers| {
        let mut version = json!({
            "version": &*numbers.version,
            "current": filter.version.as_deref() == Some(&*numbers.version),
            "running": numbers.is_running,
        });
        merge(&mut version, sums(&numbers.totals));
        version
    };
    let versions: Vec<_> = numbers.iter().map(version).collect();
    merge(&mut page, json!({ "versions": versions, "lastTraps": traps }));
    page
}

fn head(filter: &FilterStatus) -> Value {
    json!({
        "name": filter.name,
        "version": filter.version,
        "state": filter.state,
        "gate": filter.error.as_ref().map(|refusal| refusal.gate.code()),
        "error": filter.error.as_ref().map(|refusal| &refusal.message),
    })
}

/// The numbers of the version that serves.
fn current<'n>(filter: &FilterStatus, numbers: &'n [VersionNumbers]) -> Option<&'n VersionNumbers> {
    numbers.iter().find(|numbers| filter.version.as_deref() == Some(&*numbers.version))
}

/// Where it is in a chain, and what its failure means.
fn position(manifest: &Manifest) -> Value {
    json!({
        "phase": phase(manifest.phase),
        "priority": manifest.priority,
        "required": manifest.required,
        "onFailure": match manifest.on_failure {
            FailurePolicy::Closed => "closed",
            FailurePolicy::Open => "open",
        },
    })
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Authn => "authn",
        Phase::Authz => "authz",
        Phase::Stats => "stats",
        Phase::Unspecified => "none",
    }
}

/// The numbers that a list shows.
fn sums(totals: &FilterTotals) -> Value {
    let calls = totals.all_calls();
    json!({
        "calls": calls.count,
        "selfTimeNs": calls.sum_ns,
        "selfTimeMaxNs": calls.max_ns,
        "traps": totals.traps(),
        "timeouts": totals.failed(FailureReason::Deadline),
        "localReplies": totals.local_replies,
        "memoryBytes": totals.memory_bytes,
        "instances": totals.instances,
    })
}

/// Those that were called.
fn callbacks(totals: &FilterTotals) -> Vec<Value> {
    let called = GuestCall::ALL.into_iter().zip(&totals.calls).filter(|(_, totals)| totals.own.count > 0);
    let of = |(call, CallTotals { own, host_calls, waits }): (GuestCall, &CallTotals)| {
        json!({
            "callback": call.name(),
            "calls": own.count,
            "selfTimeNs": own.sum_ns,
            "selfTimeMaxNs": own.max_ns,
            "hostCalls": host_calls,
            "waits": time(waits),
        })
    };
    called.map(of).collect()
}

fn traps_by_reason(totals: &FilterTotals) -> Value {
    let counted = FailureReason::ALL.into_iter().filter(|reason| totals.failed(*reason) > 0);
    counted.map(|reason| (reason.name().to_owned(), json!(totals.failed(reason)))).collect()
}

fn time(times: &TimeTotals) -> Value {
    json!({ "count": times.count, "timeNs": times.sum_ns, "maxNs": times.max_ns })
}

/// What keeps it within its bounds, where it has something that could be called.
fn bounds(filter: &FilterStatus) -> Value {
    let (limits, quarantine) = filter.spec.as_deref().map(bounds::of).unwrap_or_default();
    json!({ "limits": limits, "quarantine": quarantine })
}

/// What is known besides of limits: the most that was used of them.
fn used(spec: &FilterSpec, totals: &FilterTotals) -> [(&'static str, Value); 5] {
    let limits = &spec.manifest.limits;
    let longest_wait = totals.calls.iter().map(|calls| calls.waits.max_ns).max();
    let nanoseconds = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    [
        (
            "callbackCpu",
            json!({
                "limitNs": nanoseconds(limits.callback_cpu),
                "peakNs": totals.all_calls().max_ns,
                "hits": totals.failed(FailureReason::Deadline),
            }),
        ),
        ("memory", json!({ "limitBytes": limits.memory_bytes, "peakBytes": totals.memory_peak_bytes })),
        ("pause", json!({ "limitNs": nanoseconds(limits.pause), "peakNs": longest_wait })),
        ("startCpu", json!({ "limitNs": nanoseconds(limits.start_cpu) })),
        ("body", json!({ "limitBytes": limits.body_bytes })),
    ]
}

/// The manifest with all defaults filled in.
fn manifest(manifest: &Manifest) -> Value {
    let host = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Suffix(suffix) => format!("*{suffix}"),
    };
    let applies = &manifest.applies_to;
    json!({
        "match": {
            "listeners": names(&applies.listeners),
            "hosts": applies.hosts.iter().map(host).collect::<Vec<_>>(),
            "routes": names(&applies.routes),
        },
        "capabilities": {
            "callouts": names(&manifest.callouts),
            "sharedWith": names(&manifest.shared_with),
            "hideHeaders": names(&manifest.hidden_headers),
        },
        "configBytes": manifest.config.len(),
        "vmConfigBytes": manifest.vm_config.len(),
        "env": manifest.env.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "vmId": manifest.vm_id.as_deref(),
        "rootId": &*manifest.root_id,
        "bodyWhilePaused": manifest.body_while_paused,
        "sha256": manifest.sha256.as_deref(),
    })
}

fn names(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds the fields of one object to another.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
