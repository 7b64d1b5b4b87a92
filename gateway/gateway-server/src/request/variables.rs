//! What variables in header edits stand for.

use gateway_config::Variable;
use http::uri::PathAndQuery;

use super::Exchange;

/// Writes the value of a variable; nothing if it is not known.
pub(super) fn fill(exchange: &Exchange, variable: Variable, out: &mut Vec<u8>) {
    let record = &exchange.record;
    let config = &exchange.state.snapshot.config;
    let value: Option<&[u8]> = match variable {
        Variable::ClientIp => Some(exchange.client_value().as_bytes()),
        Variable::DownstreamPeer => exchange.peer().map(str::as_bytes),
        Variable::Host => record.authority.as_ref().map(|value| value.as_bytes()),
        Variable::Listener => Some(exchange.listener().as_bytes()),
        Variable::Method => Some(record.method.as_str().as_bytes()),
        Variable::Path => record.path.as_ref().map(|path| path.path().as_bytes()),
        Variable::Query => record.path.as_ref().and_then(PathAndQuery::query).map(str::as_bytes),
        Variable::RequestId => record.request_id.as_ref().map(|value| value.as_bytes()),
        Variable::Route => record.route.map(|route| config.routes[route.0].name.as_bytes()),
        Variable::Scheme => Some(exchange.scheme().as_str().as_bytes()),
        Variable::Upstream => record.upstream.map(|index| config.upstreams[index].name.as_bytes()),
    };
    out.extend_from_slice(value.unwrap_or_default());
}
