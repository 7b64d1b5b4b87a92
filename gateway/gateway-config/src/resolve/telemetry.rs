//! The access log.

use std::path::Path;

use crate::diagnostic::{Report, quoted};
use crate::read::{Field, Marked, Switchable};
use crate::resolved::{AccessLog, AccessLogFormat, AccessLogTarget};
use crate::schema;
use crate::values::{OneOf, PathText};

pub(super) fn access_log(
    written: Field<Switchable<schema::AccessLog>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> AccessLog {
    let format = AccessLogFormat::Text;
    match written {
        Field::Given(Marked { value: Switchable::Off, .. }) => AccessLog { to: AccessLogTarget::Off, format },
        Field::Given(Marked { value: Switchable::On(written), .. }) => {
            AccessLog { to: target(written.to, base_dir, report), format: written.format.or(OneOf(format)).0 }
        }
        Field::Absent | Field::Bad => AccessLog { to: AccessLogTarget::Stdout, format },
    }
}

fn target(written: Field<PathText>, base_dir: &Path, report: &mut Report<'_>) -> AccessLogTarget {
    let Some(Marked { mark, value: PathText(to) }) = written.given() else { return AccessLogTarget::Stdout };
    match to.as_str() {
        "off" => AccessLogTarget::Off,
        "stdout" => AccessLogTarget::Stdout,
        // A bare word is more likely a slip of `stdout` than a file.
        word if !word.contains(['/', '.']) => {
            let message = format!("`accessLog.to` expects `stdout`, `off` or a path, not {}", quoted(word));
            report.error(
                mark,
                message,
                Some(format!("a file of that name is written {}", quoted(&format!("./{word}")))),
            );
            AccessLogTarget::Stdout
        }
        path => AccessLogTarget::File(base_dir.join(path)),
    }
}
