//! Where the secrets of a filter are.

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::{Report, quoted};
use crate::read::{Field, Marked, Named};
use crate::resolved::SecretSource;
use crate::schema;
use crate::values::Name;

pub(super) fn secrets(
    written: Field<Named<Name, schema::SecretSource>>,
    report: &mut Report<'_>,
) -> Vec<(Arc<str>, SecretSource)> {
    let mut secrets = Vec::new();
    for (Marked { mark, value: Name(name) }, source) in written.or(Named(Vec::new())).0 {
        let Field::Given(Marked { value: schema::SecretSource { file, env }, .. }) = source else { continue };
        if file.is_bad() || env.is_bad() {
            continue;
        }
        let source = match (file.given(), env.given()) {
            (Some(file), None) => SecretSource::File(PathBuf::from(file.value.0)),
            (None, Some(env)) => SecretSource::Env(env.value.0.into()),
            _ => {
                let message = format!("the secret {} needs either `file` or `env`", quoted(&name));
                let help = format!("write `{name}: {{file: PATH}}` or `{name}: {{env: VARIABLE}}`");
                report.error(mark, message, Some(help));
                continue;
            }
        };
        secrets.push((name.into(), source));
    }
    secrets
}
