//! Header edits.

use super::good;
use super::matches::Once;
use crate::diagnostic::Report;
use crate::http_text::EditableHeader;
use crate::read::{Field, List, Marked, Named};
use crate::resolved::{HeaderEdits, HeaderTemplate};
use crate::schema;

/// Wrong edits are reported and left out.
pub(super) fn edits(written: Field<schema::HeaderEdits>, report: &mut Report<'_>) -> HeaderEdits {
    let Some(Marked { value: written, .. }) = written.given() else { return HeaderEdits::default() };
    let remove = written.remove.or(List(Vec::new())).0;
    HeaderEdits {
        remove: good(remove).into_iter().map(|EditableHeader(name)| name.into()).collect(),
        set: pairs(written.set, report),
        add: pairs(written.add, report),
    }
}

/// Headers with their values; names that differ only in case are one name written twice.
fn pairs(
    written: Field<Named<EditableHeader, HeaderTemplate>>,
    report: &mut Report<'_>,
) -> Vec<(std::sync::Arc<str>, HeaderTemplate)> {
    let mut once = Once::default();
    let mut headers = Vec::new();
    for (Marked { mark, value: EditableHeader(name) }, value) in written.or(Named(Vec::new())).0 {
        once.check(name.clone(), mark, "header", report);
        headers.extend(value.given().map(|value| (name.into(), value.value)));
    }
    headers
}
