//! Who a client is: what is believed of what others say about it.

use ipnet::IpNet;

/// Who is believed about whose request it is, and what upstreams are told.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Identity {
    /// Proxies in front of the gateway. Without any, nobody is believed.
    pub trusted_peers: Vec<IpNet>,
    /// How many proxies are believed, the one that connects being the first; `None`: as many as are among `trusted_peers`.
    pub trusted_hops: Option<usize>,
    /// What becomes of `x-forwarded-client-cert`.
    pub client_cert_header: ClientCertHeader,
}

/// What becomes of the header `x-forwarded-client-cert`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientCertHeader {
    /// It never goes on.
    Drop,
    /// It tells of the client's certificate, if it has one, and of no other.
    Set,
    /// As `Set`, after what a trusted peer says.
    Append,
    /// What a trusted peer says goes on.
    Forward,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}
