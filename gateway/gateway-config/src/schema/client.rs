//! What users may write about who a client is and what its paths mean.

use gateway_wire::path::{Backslashes, DuplicateSlashes, EncodedSlashes};

use crate::match_text::Network;
use crate::read::{OneOrMany, section};
use crate::resolved::{ClientCertHeader, ProxyVersion};
use crate::values::{OneOf, Whole, Word};

/// Longer chains of proxies are a mistake.
pub(crate) type HopCount = Whole<1, 32>;

section! {
    /// Connections that begin with a header of the PROXY protocol, version 1 or 2. Those from elsewhere begin without one.
    ProxyProtocol {
        /// Networks or addresses of the proxies that send one; all connections from there must begin with it.
        required "from" from: OneOrMany<Network>,
    }
}

section! {
    /// What is done about paths that servers read differently. Everything else about a path has one form.
    Paths {
        /// `merge` makes one of `//`, `keep` keeps them, `refuse` answers 400. Default: merge.
        optional "duplicateSlashes" duplicate_slashes: OneOf<DuplicateSlashes>,
        /// `refuse` answers 400 to `%2F`, `keep` keeps it, `decode` makes a slash of it. Default: refuse.
        optional "encodedSlashes" encoded_slashes: OneOf<EncodedSlashes>,
        /// `refuse` answers 400 to `\` and `%5C`, `keep` keeps them, `slash` makes slashes of them. Default: refuse.
        optional "backslashes" backslashes: OneOf<Backslashes>,
    }
}

impl Word for ClientCertHeader {
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("set", Self::Set), ("append", Self::Append), ("forward", Self::Forward)];
}

impl Word for ProxyVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("v1", Self::V1), ("v2", Self::V2)];
}

impl Word for DuplicateSlashes {
    const WORDS: &'static [(&'static str, Self)] =
        &[("merge", Self::Merge), ("keep", Self::Keep), ("refuse", Self::Refuse)];
}

impl Word for EncodedSlashes {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("keep", Self::Keep), ("decode", Self::Decode)];
}

impl Word for Backslashes {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("keep", Self::Keep), ("slash", Self::Slash)];
}
