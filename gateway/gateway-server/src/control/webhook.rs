//! Tells an endpoint of each event, one after the other, in their order.
//!
//! Nothing waits for it: events wait in the bounded list of the process, and those that the list had to let go of
//! meanwhile are counted as lost. An event that cannot be delivered is given up after its attempts.

use std::time::Duration;

use bytes::Bytes;
use gateway_config::Webhook;
use http::Request;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http_body_util::Full;
use tokio::sync::watch;

use super::admin::event_json;
use super::call::Callee;
use crate::process::Process;
use crate::shared::{Events, Told};
use crate::snapshot::Snapshot;
use crate::telemetry::{LogBudget, families};

/// Wait before the second attempt; twice as long before each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Events that are taken from the list at a time.
const BATCH: usize = 64;
/// How servers know these requests from others in their logs.
const AGENT: &str = "gateway-events";
/// Events given up that are logged per second; all of them are counted.
const MAX_FAILURES_LOGGED_PER_SECOND: u32 = 1;

/// Who is told, as the configuration of this moment says.
#[derive(Clone)]
pub(super) struct Listener {
    webhook: Webhook,
    callees: Vec<Callee>,
}

impl Listener {
    /// `None` where nobody is told.
    pub(super) fn of(snapshot: &Snapshot) -> Option<Self> {
        let webhook = snapshot.config.webhook.clone()?;
        let upstreams = &snapshot.config.upstreams;
        let index = upstreams.iter().position(|upstream| upstream.name == webhook.upstream)?;
        let (transport, upstream) = (&snapshot.tls.upstreams[index], &upstreams[index]);
        let callee =
            |endpoint| Callee::new(endpoint, webhook.host.as_deref(), transport, upstream.proxy_protocol);
        let callees = snapshot.addresses[index].iter().map(callee).collect();
        Some(Self { webhook, callees })
    }

    /// Delivers one event; an error says what was wrong with the last attempt.
    async fn deliver(&self, event: &Told, turn: usize) -> Result<(), String> {
        let body = Bytes::from(format!("{}\n", event_json(event)));
        let mut failure = "its upstream has no address".to_owned();
        let mut backoff = FIRST_BACKOFF;
        for attempt in 0..self.webhook.attempts as usize {
            if attempt > 0 {
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
            let Some(callee) = self.callees.get((turn + attempt) % self.callees.len().max(1)) else {
                continue;
            };
            let request = Request::post(&*self.webhook.path)
                .header(CONTENT_TYPE, "application/json")
                .header(USER_AGENT, AGENT)
                .body(Full::new(body.clone()));
            // The path was checked when the configuration was read.
            let Ok(request) = request else { break };
            failure = match tokio::time::timeout(self.webhook.timeout, callee.send(request)).await {
                Ok(Ok(status)) if status.is_success() => return Ok(()),
                Ok(Ok(status)) => format!("{} answered {status}", self.webhook.path),
                Ok(Err(error)) => error,
                Err(_) => format!("no answer within {:?}", self.webhook.timeout),
            };
        }
        Err(failure)
    }
}

/// Tells whoever is to be told, until the task is dropped.
pub(super) async fn tell(process: std::sync::Arc<Process>, mut listener: watch::Receiver<Option<Listener>>) {
    let count = |result: &str, n: u64| process.registry.counter(&families::WEBHOOK_EVENTS, &[result]).add(n);
    let log = LogBudget::new(MAX_FAILURES_LOGGED_PER_SECOND);
    let (mut told, mut is_known) = (0, false);
    loop {
        let current = listener.borrow_and_update().clone();
        let Some(current) = current else {
            if is_known {
                // What happens while nobody is to be told is told to nobody later.
                told = newest(&process.events, told);
            }
            if listener.changed().await.is_err() {
                return;
            }
            is_known = true;
            continue;
        };
        let page = process.events.since(told, BATCH);
        if page.lost > 0 {
            count("lost", page.lost);
        }
        if page.events.is_empty() {
            tokio::select! {
                () = process.events.changed() => {}
                changed = listener.changed() => if changed.is_err() { return },
            }
            continue;
        }
        for event in page.events {
            told = event.id;
            match current.deliver(&event, usize::try_from(event.id).unwrap_or(0)).await {
                Ok(()) => count("delivered", 1),
                Err(error) => {
                    count("failed", 1);
                    if log.take() {
                        tracing::error!(
                            event = event.id,
                            "the webhook could not be told of an event: {error}"
                        );
                    }
                }
            }
            if listener.has_changed().unwrap_or(true) {
                break;
            }
        }
    }
}

fn newest(events: &Events, told: u64) -> u64 {
    events.since(told, 0).last_id
}
