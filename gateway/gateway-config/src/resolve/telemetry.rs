//! The access log.

use std::path::Path;

use crate::diagnostic::{Report, quoted};
use crate::read::{Field, Marked, ShortOr, Switchable};
use crate::resolved::{AccessLog, AccessLogFormat, AccessLogTarget};
use crate::schema::access_log as schema;
use crate::values::{OneOf, PathText, Text};

pub(super) fn access_log(
    written: Field<Switchable<schema::AccessLog>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> AccessLog {
    match written {
        Field::Given(Marked { value: Switchable::Off, .. }) => {
            AccessLog { to: AccessLogTarget::Off, format: AccessLogFormat::Text }
        }
        Field::Given(Marked { value: Switchable::On(written), .. }) => {
            AccessLog { to: target(written.to, base_dir, report), format: format(written.format, report) }
        }
        Field::Absent | Field::Bad => {
            AccessLog { to: AccessLogTarget::Stdout, format: AccessLogFormat::Text }
        }
    }
}

fn format(
    written: Field<ShortOr<OneOf<schema::Preset>, schema::OwnFormat>>,
    report: &mut Report<'_>,
) -> AccessLogFormat {
    let Some(Marked { mark, value }) = written.given() else { return AccessLogFormat::Text };
    let own = match value {
        ShortOr::Short(OneOf(schema::Preset::Text)) => return AccessLogFormat::Text,
        ShortOr::Short(OneOf(schema::Preset::Json)) => return AccessLogFormat::Json,
        ShortOr::Long(own) => own,
    };
    match (own.text, own.json) {
        (Field::Given(text), Field::Absent) => AccessLogFormat::TextTemplate(text.value),
        (Field::Absent, Field::Given(Marked { mark, value: json })) => {
            if json.0.is_empty() {
                report.error(mark, "`json` is empty", Some("write at least one key".to_owned()));
            }
            let entry =
                |(key, value): (Marked<Text>, Field<_>)| Some((key.value.0.into(), value.given()?.value));
            AccessLogFormat::JsonTemplate(json.0.into_iter().filter_map(entry).collect())
        }
        (Field::Bad, _) | (_, Field::Bad) => AccessLogFormat::Text,
        (text, _) => {
            let what = if text.is_absent() { "needs one" } else { "has both" };
            let message = format!("a format of your own {what} of `text` and `json`");
            report.error(mark, message, Some("`{text: \"%REQ(:METHOD)% %RESPONSE_CODE%\"}`".to_owned()));
            AccessLogFormat::Text
        }
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
