//! The filter directory, and the manifests in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{containment, duration, good, rollout};
use crate::address::Host;
use crate::diagnostic::{Report, quoted};
use crate::http_text::HeaderName;
use crate::read::{AnyValue, Field, List, Marked, Named};
use crate::resolved::{
    CacheDirectory, CompileSettings, FailurePolicy, FilterMatch, FilterSettings, HostPattern, ImageSettings,
    Isolation, Manifest, Phase, Rollout, SharedRandomness,
};
use crate::schema;
use crate::values::{EnvName, EnvValue, FilterName, Name, OneOf, PathText, Size, Switch};

const DEFAULT_IMAGE_WAIT: Duration = Duration::from_secs(2);

pub(super) fn settings(
    written: Field<schema::Filters>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> FilterSettings {
    let Some(Marked { value: written, .. }) = written.given() else { return FilterSettings::default() };
    let directory = written.directory.given().map(|directory| base_dir.join(directory.value.0));
    let mut expect: Vec<Arc<str>> = Vec::new();
    for Marked { mark, value: FilterName(name) } in
        written.expect.or(List(Vec::new())).0.into_iter().filter_map(Field::given)
    {
        if expect.iter().any(|other| **other == *name) {
            report.error(
                mark,
                format!("filter {} is already listed", quoted(&name)),
                Some("remove one".to_owned()),
            );
        }
        expect.push(name.into());
    }
    FilterSettings {
        directory,
        expect,
        cache: cache(written.cache, base_dir),
        compile: compile(written.compile),
        state: rollout::state(written.state, base_dir),
    }
}

fn cache(written: Field<PathText>, base_dir: &Path) -> CacheDirectory {
    match written.given().map(|path| path.value.0) {
        None => CacheDirectory::Default,
        Some(off) if off == "off" => CacheDirectory::Off,
        Some(path) => CacheDirectory::At(base_dir.join(path)),
    }
}

fn compile(written: Field<schema::Compile>) -> CompileSettings {
    let defaults = CompileSettings::default();
    let Some(Marked { value: written, .. }) = written.given() else { return defaults };
    CompileSettings {
        cpu: duration(written.cpu, defaults.cpu),
        memory_bytes: written.memory.or(Size(defaults.memory_bytes as u64)).0 as usize,
    }
}

/// What a bare `NAME.wasm` gets.
pub(crate) fn default_manifest() -> Manifest {
    Manifest {
        phase: Phase::Unspecified,
        priority: 0,
        config: Vec::new(),
        applies_to: FilterMatch::default(),
        required: false,
        rehearsal: true,
        on_failure: FailurePolicy::Closed,
        failure_status: containment::default_failure_status(),
        quarantine: containment::default_quarantine(),
        limits: containment::default_limits(),
        isolation: Isolation::default(),
        image: image(None),
        secrets: Vec::new(),
        env: Vec::new(),
        callouts: Vec::new(),
        sha256: None,
        root_id: "".into(),
        vm_id: None,
        vm_config: Vec::new(),
        body_while_paused: false,
        shared_with: Vec::new(),
        hidden_headers: Vec::new(),
        rollout: Rollout::AtOnce,
    }
}

fn image(written: Option<schema::Image>) -> ImageSettings {
    let defaults = ImageSettings { shared_randomness: SharedRandomness::default(), wait: DEFAULT_IMAGE_WAIT };
    let Some(written) = written else { return defaults };
    ImageSettings {
        shared_randomness: written.shared_randomness.or(OneOf(defaults.shared_randomness)).0,
        wait: duration(written.wait, defaults.wait),
    }
}

pub(crate) fn manifest(written: schema::Manifest, report: &mut Report<'_>) -> Manifest {
    let defaults = default_manifest();
    let OneOf(phase) = written.phase.or(OneOf(defaults.phase));
    // Losing a count is better than losing the request that it counts.
    let policy = if phase == Phase::Stats { FailurePolicy::Open } else { defaults.on_failure };
    let OneOf(on_failure) = written.on_failure.or(OneOf(policy));
    let config = written.config.given().map(|config| config_bytes(config.value));
    let vm_config = written.vm_config.given().map(|config| config_bytes(config.value));
    let capabilities = written.capabilities.given().map(|capabilities| capabilities.value);
    let (callouts, shared_with, hidden_headers) =
        capabilities.map_or_else(Default::default, |capabilities| {
            let shared = good(capabilities.shared_with.or(List(Vec::new())).0);
            let hidden = good(capabilities.hide_headers.or(List(Vec::new())).0);
            (
                names(capabilities.callouts),
                shared.into_iter().map(|FilterName(name)| name.into()).collect(),
                hidden.into_iter().map(|HeaderName(name)| name.into()).collect(),
            )
        });
    let rollout = rollout::rollout(written.rollout, !callouts.is_empty(), report);
    Manifest {
        rollout,
        phase,
        priority: written.priority.given().map_or(0, |priority| priority.value.0 as i32),
        config: config.unwrap_or_default(),
        applies_to: written
            .applies_to
            .given()
            .map_or(defaults.applies_to, |applies| applies_to(applies.value)),
        required: written.required.or(Switch(defaults.required)).0,
        rehearsal: written.rehearsal.or(Switch(defaults.rehearsal)).0,
        on_failure,
        failure_status: containment::failure_status(written.failure_status, on_failure, report),
        quarantine: containment::quarantine(written.quarantine, report),
        limits: containment::limits(written.limits, report),
        isolation: written.isolation.or(OneOf(defaults.isolation)).0,
        image: image(written.image.given().map(|image| image.value)),
        secrets: super::secrets::secrets(written.secrets, report),
        env: env(written.env.or(Named(Vec::new()))),
        callouts,
        shared_with,
        hidden_headers,
        vm_id: written.vm_id.given().map(|vm_id| vm_id.value.0.into()),
        vm_config: vm_config.unwrap_or_default(),
        body_while_paused: written.body_while_paused.or(Switch(false)).0,
        sha256: written.sha256.given().map(|digest| digest.value.0.into()),
        root_id: written.root_id.given().map_or(defaults.root_id, |root_id| root_id.value.0.into()),
    }
}

/// As Envoy hands it over: a string as it is, anything else as JSON.
fn config_bytes(AnyValue(value): AnyValue) -> Vec<u8> {
    match value {
        Value::String(text) => text.into_bytes(),
        value => value.to_string().into_bytes(),
    }
}

fn applies_to(written: schema::FilterMatch) -> FilterMatch {
    FilterMatch {
        listeners: names(written.listeners),
        hosts: hosts(written.hosts),
        routes: names(written.routes),
    }
}

fn env(Named(entries): Named<EnvName, EnvValue>) -> Vec<(String, String)> {
    let pair =
        |(name, value): (Marked<EnvName>, Field<EnvValue>)| Some((name.value.0, value.given()?.value.0));
    entries.into_iter().filter_map(pair).collect()
}

fn names(written: Field<List<Name>>) -> Vec<Arc<str>> {
    good(written.or(List(Vec::new())).0).into_iter().map(|Name(name)| name.into()).collect()
}

fn hosts(written: Field<List<Host>>) -> Vec<HostPattern> {
    good(written.or(List(Vec::new())).0).into_iter().map(|Host(host)| host).collect()
}
