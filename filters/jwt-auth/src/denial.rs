//! Owns why a request does not pass, and what the client hears of it.

use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::json;

/// Why a request does not pass. Each has a word of its own in the reply, the log and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// There is no token.
    Missing,
    /// There are different tokens.
    Ambiguous,
    /// It is longer than any honest one.
    TooLong,
    /// It is not three parts of base64url with JSON inside.
    Malformed,
    /// `alg` is `none`.
    AlgNone,
    /// `alg` is unknown, or the issuer does not use it.
    AlgNotAllowed,
    /// The key with that id is for another algorithm: a public key, say, used as a secret.
    AlgMismatch,
    /// `crit` names something that is not understood (RFC 7515, section 4.1.11).
    Critical,
    /// No issuer of that name is configured.
    UnknownIssuer,
    /// The issuer has no key with that id.
    UnknownKey,
    /// The signature does not hold.
    BadSignature,
    /// `exp` is over, or not there.
    Expired,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// None of the audiences is wanted.
    WrongAudience,
    /// A claim that a header shall carry is not there, or cannot be carried.
    BadClaim,
    /// The issuer's keys could not be fetched.
    KeysUnavailable,
}

impl Denial {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Missing => "jwt_missing",
            Self::Ambiguous => "jwt_ambiguous",
            Self::TooLong => "jwt_too_long",
            Self::Malformed => "jwt_malformed",
            Self::AlgNone => "jwt_alg_none",
            Self::AlgNotAllowed => "jwt_alg_not_allowed",
            Self::AlgMismatch => "jwt_alg_mismatch",
            Self::Critical => "jwt_critical_unknown",
            Self::UnknownIssuer => "jwt_unknown_issuer",
            Self::UnknownKey => "jwt_unknown_key",
            Self::BadSignature => "jwt_bad_signature",
            Self::Expired => "jwt_expired",
            Self::NotYetValid => "jwt_not_yet_valid",
            Self::WrongAudience => "jwt_wrong_audience",
            Self::BadClaim => "jwt_bad_claim",
            Self::KeysUnavailable => "jwt_keys_unavailable",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Missing => "a token is required",
            Self::Ambiguous => "different tokens were given",
            Self::TooLong | Self::Malformed => "this is not a token",
            Self::AlgNone | Self::AlgNotAllowed | Self::AlgMismatch | Self::Critical => {
                "the token is signed in a way that is not accepted"
            }
            Self::UnknownIssuer | Self::WrongAudience => "the token is for something else",
            Self::UnknownKey | Self::BadSignature => "the token's signature does not hold",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::BadClaim => "the token lacks a claim that is needed",
            Self::KeysUnavailable => "the token cannot be checked at the moment",
        }
    }

    /// What the client hears (RFC 6750, section 3).
    pub(crate) fn reply(self, realm: &str) -> LocalReply {
        let status = match self {
            Self::Ambiguous => 400,
            Self::KeysUnavailable => 503,
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
