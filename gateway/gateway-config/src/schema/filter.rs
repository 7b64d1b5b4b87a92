//! What users may write about filters: their directory, and a manifest.

use super::containment::{
    BytesPerSecond, CpuPerSecond, DataBytes, EntryCount, KeyCount, LinesPerSecond, MetricCount, PendingCalls,
};
use super::rollout::Rollout;
use super::*;

section! {
    /// The filter directory: every `NAME.wasm` in it is a filter, with `NAME.yaml` as its optional manifest.
    Filters {
        /// The directory to watch; relative to the folder of this file.
        required "directory" directory: PathText,
        /// Filters that must be there; while one is missing, its requests are answered by its failure policy.
        optional "expect" expect: List<FilterName>,
        /// The directory that keeps compiled filters over restarts, or `off`. It must belong to the gateway's user alone. Default: `$CACHE_DIRECTORY`, `$XDG_CACHE_HOME/gateway` or `~/.cache/gateway`, the first that is set, else `/var/cache/gateway`.
        optional "cache" cache: PathText,
        /// What compiling one filter may cost.
        optional "compile" compile: Compile,
        /// The directory that keeps the history of versions and the last good ones over restarts, or `off`. Default: `$STATE_DIRECTORY`, `$XDG_STATE_HOME/gateway`, `~/.local/state/gateway` or `/var/lib/gateway`, the first that is set.
        optional "state" state: PathText,
    }
}

section! {
    /// What compiling one filter may cost. Beyond it the filter is refused.
    Compile {
        /// CPU time, in whole seconds; the filter is compiled at the lowest priority. Default: 60s.
        optional "cpu" cpu: CompileCpu,
        /// Memory of the process that compiles. Default: 2GiB.
        optional "memory" memory: CompileMemory,
    }
}

section! {
    /// Settings of one filter, in `NAME.yaml` next to `NAME.wasm`.
    Manifest {
        /// Coarse position in the chain: authn, then authz, then stats, then filters without a phase.
        optional "phase" phase: OneOf<Phase>,
        /// Fine position: higher runs earlier within a phase. Default: 0.
        optional "priority" priority: Priority,
        /// The configuration that the filter reads: text as it is, anything else as JSON. Default: empty.
        optional "config" config: AnyValue,
        /// Where the filter applies. Default: everywhere.
        optional "match" applies_to: FilterMatch,
        /// Readiness waits for the filter, and deleting its file does not remove it. Default: false.
        optional "required" required: Switch,
        /// `false` lets a version serve without a made-up request before; for filters that cannot take one that nobody sent. Default: true.
        optional "rehearsal" rehearsal: Switch,
        /// What a request gets when the filter cannot decide: `closed` is 503, or `failureStatus`; `open` goes on without it. Default: closed; open for phase stats.
        optional "onFailure" on_failure: OneOf<FailurePolicy>,
        /// `worker` is one virtual machine on each worker; `stream` is a fresh copy of the configured one for each request. Default: worker.
        optional "isolation" isolation: OneOf<Isolation>,
        /// How the configured virtual machine is copied.
        optional "image" image: Image,
        /// The status of a request that fails closed. Default: 503.
        optional "failureStatus" failure_status: FailureStatus,
        /// When the filter is not called for a while because it keeps failing.
        optional "quarantine" quarantine: Quarantine,
        /// Budgets of the filter.
        optional "limits" limits: FilterLimits,
        /// Secrets by name: where the configuration says `{secret: NAME}`, the filter reads what stands there.
        optional "secrets" secrets: Named<Name, SecretSource>,
        /// Environment variables that the filter sees.
        optional "env" env: Named<EnvName, EnvValue>,
        /// What the filter may do beyond looking at and changing its own requests.
        optional "capabilities" capabilities: Capabilities,
        /// SHA-256 of the module in hex; a file with other content is refused.
        optional "sha256" sha256: Sha256,
        /// The root id, which chooses between several filters in one module. Default: empty.
        optional "rootId" root_id: EnvValue,
        /// The id that the filter reads as `plugin_vm_id`; filters with the same one share data and queues, and a virtual machine if code, vmConfig, env, capabilities and limits are equal, too. Default: the filter's name.
        optional "vmId" vm_id: Name,
        /// What the virtual machine reads when it starts: text as it is, anything else as JSON. Default: empty.
        optional "vmConfig" vm_config: AnyValue,
        /// A filter that holds a head back gets the body all the same, and decides on both before a byte goes on. Default: false.
        optional "bodyWhilePaused" body_while_paused: Switch,
        /// How a new version comes in place of the one that serves: `off` (at once), `canary`, `shadow`, or a section. Default: off.
        optional "rollout" rollout: ShortOr<OneOf<Mode>, Rollout>,
    }
}

section! {
    /// Where a secret is: in one of these.
    SecretSource {
        /// A file, below the filter directory unless the path begins with `/`; a line break at its end does not count. When it changes, the filter is configured anew.
        optional "file" file: PathText,
        /// An environment variable of the gateway.
        optional "env" env: EnvName,
    }
}

section! {
    /// Where a filter applies; a list that is absent or empty does not narrow.
    FilterMatch {
        /// Names of listeners.
        optional "listeners" listeners: List<Name>,
        /// Hosts of requests.
        optional "hosts" hosts: List<Host>,
        /// Names of routes.
        optional "routes" routes: List<Name>,
    }
}

section! {
    /// Budgets of a filter.
    FilterLimits {
        /// CPU time of one callback. Default: 10ms.
        optional "callbackCpu" callback_cpu: CallbackCpu,
        /// CPU time of start and configuration together. Default: 30s.
        optional "startCpu" start_cpu: StartCpu,
        /// CPU time of all callbacks on all workers, in cores; over it the filter's policy answers in its place. Default: 1.
        optional "cpuPerSecond" cpu_per_second: CpuPerSecond,
        /// Memory of one virtual machine. Default: 128MiB.
        optional "memory" memory: MemoryBytes,
        /// A virtual machine with more memory than this is replaced by a fresh one when its requests have ended. Default: 75 % of `memory`.
        optional "memorySoft" memory_soft: MemoryBytes,
        /// Body held back per request and direction; over it 413, or 502 for a response. Default: 1MiB.
        optional "body" body: BodyBytes,
        /// Longest time that the filter may hold a request or response back; then 504. Default: 60s.
        optional "pause" pause: FilterPause,
        /// Callouts without an answer, per virtual machine; a further one is refused. Default: 1024.
        optional "pendingCalls" pending_calls: PendingCalls,
        /// Lines per second that the filter may log, on all workers together; the rest is dropped. Default: 1000.
        optional "logLines" log_lines: LinesPerSecond,
        /// Bytes per second that the filter may log, on all workers together; the rest is dropped. Default: 1MiB.
        optional "logBytes" log_bytes: BytesPerSecond,
        /// Metrics that the filter may define; a further one is refused. Default: 1000.
        optional "metrics" metrics: MetricCount,
        /// Keys and values of shared data; beyond it, what was used least recently goes. Default: 16MiB.
        optional "sharedData" shared_data: DataBytes,
        /// Keys of shared data; beyond them, what was used least recently goes. Default: 100000.
        optional "sharedKeys" shared_keys: KeyCount,
        /// Entries that wait in one queue; a further one is refused. Default: 1024.
        optional "queueLength" queue_length: EntryCount,
        /// Copies that requests may have at a time on one worker, with isolation `stream`. Default: 256.
        optional "instances" instances: Instances,
        /// How long a request waits for a virtual machine where none is free; then the failure policy. Default: 100ms.
        optional "instanceWait" instance_wait: InstanceWait,
    }
}

section! {
    /// How the configured virtual machine of a filter is copied.
    Image {
        /// What happens if the filter drew random numbers while it started, which all copies would share: `refuse` starts each virtual machine by itself, `accept` copies them. Default: refuse.
        optional "sharedRandomness" shared_randomness: OneOf<SharedRandomness>,
        /// How long a version waits for its image to be compiled before it goes live without; its machines are started one by one until there is one. Not with isolation `stream`, which needs it. Default: 2s.
        optional "wait" wait: ImageWait,
    }
}

section! {
    /// What a filter may do beyond looking at and changing its own requests.
    Capabilities {
        /// Upstreams that the filter may call.
        optional "callouts" callouts: List<Name>,
        /// Filters that may use this filter's queues by its `vmId`.
        optional "sharedWith" shared_with: List<FilterName>,
        /// Headers that do not exist for the filter.
        optional "hideHeaders" hide_headers: List<HeaderName>,
    }
}

impl Word for Balancer {
    const WORDS: &'static [(&'static str, Self)] =
        &[("round-robin", Self::RoundRobin), ("least-request", Self::LeastRequest)];
}

impl Word for TlsVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("1.2", Self::Tls12), ("1.3", Self::Tls13)];
}

impl Word for UpstreamProtocol {
    const WORDS: &'static [(&'static str, Self)] =
        &[("http1", Self::Http1), ("http2", Self::Http2), ("auto", Self::Auto)];
}

impl Word for ClientCertificate {
    const WORDS: &'static [(&'static str, Self)] =
        &[("required", Self::Required), ("optional", Self::Optional)];
}

impl Word for Scheme {
    const WORDS: &'static [(&'static str, Self)] = &[("http", Self::Http), ("https", Self::Https)];
}

impl Word for FailurePolicy {
    const WORDS: &'static [(&'static str, Self)] = &[("closed", Self::Closed), ("open", Self::Open)];
}

impl Word for Isolation {
    const WORDS: &'static [(&'static str, Self)] = &[("worker", Self::Worker), ("stream", Self::Stream)];
}

impl Word for SharedRandomness {
    const WORDS: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("accept", Self::Accept)];
}

impl Word for Phase {
    const WORDS: &'static [(&'static str, Self)] =
        &[("authn", Self::Authn), ("authz", Self::Authz), ("stats", Self::Stats)];
}
