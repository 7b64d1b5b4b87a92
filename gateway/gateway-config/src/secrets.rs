//! References to secrets in a filter's configuration: `{secret: NAME}`, where the manifest has that name under `secrets`.
//!
//! A manifest without `secrets` has no references: configurations of other filters may mean something else by the word.

use serde_json::Value;

use crate::resolved::Manifest;
use crate::yaml::{Content, Key, Node};

/// The one field of a reference.
const SECRET: &str = "secret";

impl Manifest {
    /// The configuration with each reference replaced by the text that `secret` has for its name. A reference that it
    /// has nothing for stays.
    pub fn config_with<'s>(&self, secret: impl Fn(&str) -> Option<&'s str>) -> Vec<u8> {
        let parsed = if self.secrets.is_empty() { None } else { serde_json::from_slice(&self.config).ok() };
        let Some(mut config): Option<Value> = parsed else { return self.config.clone() };
        fill(&mut config, &secret);
        config.to_string().into_bytes()
    }
}

fn fill<'s>(value: &mut Value, secret: &impl Fn(&str) -> Option<&'s str>) {
    let referred = value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.get(SECRET));
    if let Some(text) = referred.and_then(Value::as_str).and_then(secret) {
        *value = Value::String(text.to_owned());
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, secret)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, secret)),
        _ => {}
    }
}

/// The name that a node refers to.
pub(crate) fn referred(node: &Node) -> Option<Key> {
    let Content::Mapping(entries) = &node.content else { return None };
    let [(key, value)] = entries.as_slice() else { return None };
    match &value.content {
        Content::Scalar { text, .. } if key.text == SECRET && !value.is_null() => {
            Some(Key { mark: value.mark, text: text.clone() })
        }
        _ => None,
    }
}
