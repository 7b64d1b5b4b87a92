//! Who a client is and what its paths mean, as a listener says it.

use gateway_wire::path::{Policy, canonical};

use crate::diagnostic::{Mark, Report, quoted};
use crate::read::Field;
use crate::resolved::Listener;
use crate::schema;
use crate::values::OneOf;

pub(super) fn paths(written: Field<schema::Paths>) -> Policy {
    let Some(written) = written.given() else { return Policy::STRICT };
    let schema::Paths { duplicate_slashes, encoded_slashes, backslashes } = written.value;
    Policy {
        duplicate_slashes: duplicate_slashes.or(OneOf(Policy::STRICT.duplicate_slashes)).0,
        encoded_slashes: encoded_slashes.or(OneOf(Policy::STRICT.encoded_slashes)).0,
        backslashes: backslashes.or(OneOf(Policy::STRICT.backslashes)).0,
    }
}

/// Warns of a path that no listener leaves as it is: requests for it never come.
pub(super) fn warn_of_path(path: &str, mark: Mark, listeners: &[Listener], report: &mut Report<'_>) {
    let stays = |listener: &Listener| canonical(path, listener.paths).is_ok_and(|form| form == path);
    if listeners.is_empty() || listeners.iter().any(stays) {
        return;
    }
    let help = match canonical(path, listeners[0].paths) {
        Ok(form) => format!("write {}, or change `paths` of a listener", quoted(&form)),
        Err(refusal) => {
            format!("a path that {refusal} is refused unless `paths` of a listener says otherwise")
        }
    };
    report.warn(mark, format!("no listener lets the path {} through as it is", quoted(path)), Some(help));
}
