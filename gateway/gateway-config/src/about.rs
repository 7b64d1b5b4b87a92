//! What a module says about its filter: the JSON that the SDK leaves in its custom section `gateway.filter`.
//!
//! Owns the reading of it. A module may say anything: what is not understood is an error for whoever asks, and never a
//! reason for more than that.

use serde::Deserialize;
use serde_json::Value;

/// The form that is understood.
const FORM: &str = "1";

/// A filter as its module describes it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[non_exhaustive]
pub struct FilterAbout {
    form: String,
    /// The name of its package.
    pub name: String,
    /// The version of its package.
    pub version: String,
    /// What it does, in a few words; may be empty.
    #[serde(default)]
    pub description: String,
    /// The version of the SDK.
    #[serde(default)]
    pub sdk: String,
    /// The parts of an exchange that it looks at: `request`, `response`, `request_body`, `response_body`, `log`.
    #[serde(default)]
    pub phases: Vec<String>,
    /// The JSON Schema of its configuration, if it has one.
    #[serde(default)]
    pub config: Option<Value>,
}

/// Why a description is of no use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AboutError {
    /// It is no JSON, or lacks something.
    #[error("its section `gateway.filter` cannot be read: {0}")]
    Malformed(String),
    /// It is of a later version.
    #[error("its section `gateway.filter` has form {0:?}; this gateway understands {FORM:?}")]
    UnknownForm(String),
}

impl FilterAbout {
    /// Reads what stands in the section.
    ///
    /// # Errors
    /// See [`AboutError`].
    pub fn parse(section: &[u8]) -> Result<Self, AboutError> {
        let about: Self =
            serde_json::from_slice(section).map_err(|error| AboutError::Malformed(error.to_string()))?;
        if about.form != FORM {
            return Err(AboutError::UnknownForm(about.form));
        }
        Ok(about)
    }
}
