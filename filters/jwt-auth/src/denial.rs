//! Owns why a request does not pass, and what the client hears of it.

use gateway_sdk::jwt::Refusal;
use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::json;

/// Why a request does not pass. Each has a word of its own in the reply, the log and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// There is no token.
    Missing,
    /// There are different tokens.
    Ambiguous,
    /// There is one, and it is not accepted.
    Token(Refusal),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Token(refusal)
    }
}

impl Denial {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Missing => "jwt_missing",
            Self::Ambiguous => "jwt_ambiguous",
            Self::Token(refusal) => refusal.code(),
        }
    }

    fn message(self) -> String {
        match self {
            Self::Missing => "a token is required".to_owned(),
            Self::Ambiguous => "different tokens were given".to_owned(),
            Self::Token(refusal) => refusal.to_string(),
        }
    }

    /// What the client hears (RFC 6750, section 3).
    pub(crate) fn reply(self, realm: &str) -> LocalReply {
        let status = match self {
            Self::Ambiguous => 400,
            Self::Token(Refusal::KeysUnavailable) => 503,
            _ => 401,
        };
        let challenge = match self {
            Self::Missing => format!("Bearer realm=\"{realm}\""),
            _ => format!("Bearer realm=\"{realm}\", error=\"invalid_token\""),
        };
        let reply = LocalReply::new(status).details(self.code());
        let reply = if status == 401 { reply.header("www-authenticate", challenge) } else { reply };
        reply.json(&json!({"error": self.code(), "message": self.message()}))
    }
}
