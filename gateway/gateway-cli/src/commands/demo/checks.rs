//! What `demo --check` proves: the same steps a person would try, each judged by what the client got *and* by what the
//! origin received. Every request is sent once; even the ones sent while waiting must be answered as the old or as the
//! new state demands, and by nothing between.

use std::io;

use super::wire::Head;
use super::{CONSUMER, KEY};

/// How often a condition is looked at before the step counts as broken. With the live site's pause: 10 s.
const MAX_LOOKS: usize = 500;
const PATH: &str = "/hello?from=check";

/// The running demo: something to send requests to, and a filter directory.
pub(crate) trait Site {
    /// Sends one request, once. `received` holds all that the origin got since the last call.
    fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Exchange>;
    /// Drops the filter and its manifest into the directory.
    fn install_filter(&mut self) -> io::Result<()>;
    /// Replaces the module by a file that is none.
    fn spoil_filter(&mut self) -> io::Result<()>;
    /// Deletes the module.
    fn remove_filter(&mut self) -> io::Result<()>;
    /// How often the gateway refused to load the filter.
    fn load_failures(&mut self) -> io::Result<u64>;
    /// Lets a moment pass.
    fn pause(&mut self);
}

/// One request, seen from both ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Exchange {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) received: Vec<Head>,
}

/// Why a step does not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Unexpected(String),
    #[error("not within 10 s: {0}")]
    Late(&'static str),
}

/// The first step that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("step {number}/{} is broken: {title}: {reason}", STEPS.len())]
pub(crate) struct CheckError {
    pub(crate) number: usize,
    title: &'static str,
    reason: Broken,
}

struct Step {
    title: &'static str,
    run: fn(&mut dyn Site) -> Result<(), Broken>,
}

const STEPS: [Step; 6] = [
    Step { title: "without a filter, a request reaches the origin once", run: passes_without_a_filter },
    Step { title: "a filter dropped in refuses requests without a key", run: filter_takes_effect },
    Step { title: "a wrong key is refused", run: wrong_key_is_refused },
    Step { title: "a right key passes; the origin sees whose it is, not the key", run: right_key_passes },
    Step { title: "a broken file leaves the working version in force", run: broken_file_changes_nothing },
    Step { title: "with the filter deleted, requests pass again", run: passes_after_removal },
];

/// Goes through the steps in order and shows a line for each that holds; ends at the first that does not.
pub(crate) fn run_all(
    site: &mut dyn Site,
    mut show: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), CheckError> {
    for (index, step) in STEPS.iter().enumerate() {
        let number = index + 1;
        let line = format!("ok {number}/{} {}\n", STEPS.len(), step.title);
        (step.run)(site).and_then(|()| Ok(show(&line)?)).map_err(|reason| CheckError {
            number,
            title: step.title,
            reason,
        })?;
    }
    Ok(())
}

fn passes_without_a_filter(site: &mut dyn Site) -> Result<(), Broken> {
    let exchange = site.get(PATH, &[])?;
    let head = forwarded(&exchange)?;
    let expected = format!("GET {PATH} HTTP/1.1");
    if head.start_line() != expected {
        return unexpected(format!("the origin received {:?}, not {expected:?}", head.start_line()));
    }
    if !exchange.body.contains(&expected) {
        return unexpected("the client did not get the origin's body".to_owned());
    }
    Ok(())
}

fn filter_takes_effect(site: &mut dyn Site) -> Result<(), Broken> {
    site.install_filter()?;
    wait_for_state(site, Seen::Refused, "a request without a key is refused")
}

fn wrong_key_is_refused(site: &mut dyn Site) -> Result<(), Broken> {
    let wrong = format!("{KEY}x");
    for (header, status) in
        [(("x-api-key", wrong.as_str()), 403), (("x-api-key", ""), 401), (("x-consumer", CONSUMER), 401)]
    {
        let exchange = site.get(PATH, &[header])?;
        if seen(&exchange)? != Seen::Refused {
            return unexpected(format!("a request with {header:?} passed"));
        }
        if exchange.status != status {
            return unexpected(format!("a request with {header:?} got {}, not {status}", exchange.status));
        }
    }
    Ok(())
}

fn right_key_passes(site: &mut dyn Site) -> Result<(), Broken> {
    let exchange = site.get(PATH, &[("x-api-key", KEY), ("x-consumer", "mallory")])?;
    let head = forwarded(&exchange)?;
    let consumers: Vec<&str> = head.values("x-consumer").collect();
    if consumers != [CONSUMER] {
        return unexpected(format!("the origin received x-consumer {consumers:?}, not [{CONSUMER:?}]"));
    }
    if head.text.contains(KEY) {
        return unexpected("the origin received the key".to_owned());
    }
    Ok(())
}

fn broken_file_changes_nothing(site: &mut dyn Site) -> Result<(), Broken> {
    let before = site.load_failures()?;
    site.spoil_filter()?;
    wait_for(site, "the refused load is counted", |site| Ok(site.load_failures()? > before))?;
    if seen(&site.get(PATH, &[])?)? != Seen::Refused {
        return unexpected("a request without a key passed".to_owned());
    }
    forwarded(&site.get(PATH, &[("x-api-key", KEY)])?).map(drop)
}

fn passes_after_removal(site: &mut dyn Site) -> Result<(), Broken> {
    site.remove_filter()?;
    wait_for_state(site, Seen::Forwarded, "a request without a key passes")
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Forwarded,
    Refused,
}

/// The only two outcomes that may ever be seen.
fn seen(exchange: &Exchange) -> Result<Seen, Broken> {
    match (exchange.status, exchange.received.len()) {
        (200, 1) => Ok(Seen::Forwarded),
        (401 | 403, 0) => Ok(Seen::Refused),
        (status, count) => {
            unexpected(format!("the client got {status} and the origin received the request {count} times"))
        }
    }
}

/// What the origin received of a request that passed.
fn forwarded(exchange: &Exchange) -> Result<&Head, Broken> {
    match (seen(exchange)?, exchange.received.first()) {
        (Seen::Forwarded, Some(head)) => Ok(head),
        _ => {
            unexpected(format!("the request was refused with {}: {}", exchange.status, exchange.body.trim()))
        }
    }
}

fn wait_for_state(site: &mut dyn Site, state: Seen, what: &'static str) -> Result<(), Broken> {
    wait_for(site, what, |site| Ok(seen(&site.get(PATH, &[])?)? == state))
}

fn wait_for(
    site: &mut dyn Site,
    what: &'static str,
    mut holds: impl FnMut(&mut dyn Site) -> Result<bool, Broken>,
) -> Result<(), Broken> {
    for _ in 0..MAX_LOOKS {
        if holds(site)? {
            return Ok(());
        }
        site.pause();
    }
    Err(Broken::Late(what))
}

fn unexpected<T>(what: String) -> Result<T, Broken> {
    Err(Broken::Unexpected(what))
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
