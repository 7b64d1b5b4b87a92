//! What a route does to messages, made ready once when a snapshot is made.

use gateway_config::{Route, RouteAction};
use http::HeaderValue;

use super::edits::Edits;

/// What a route does to messages.
#[derive(Debug)]
pub(crate) struct RoutePlan {
    pub(crate) request: Edits,
    pub(crate) response: Edits,
    /// In the order of the route's destinations.
    pub(crate) destinations: Vec<DestinationPlan>,
    /// The `host` that the upstream sees, if not the client's.
    pub(crate) host: Option<HeaderValue>,
}

/// Edits for one destination.
#[derive(Debug)]
pub(crate) struct DestinationPlan {
    pub(crate) request: Edits,
    pub(crate) response: Edits,
}

impl RoutePlan {
    pub(crate) fn new(route: &Route) -> Self {
        let destinations = match &route.action {
            RouteAction::Forward(destinations) => &destinations[..],
            RouteAction::Respond(_) | RouteAction::Redirect(_) => &[],
        };
        Self {
            request: Edits::new(&route.request_headers),
            response: Edits::new(&route.response_headers),
            destinations: destinations
                .iter()
                .map(|to| DestinationPlan {
                    request: Edits::new(&to.request_headers),
                    response: Edits::new(&to.response_headers),
                })
                .collect(),
            // Hosts of the configuration are legal.
            host: route.rewrite.host.as_deref().and_then(|host| HeaderValue::from_str(host).ok()),
        }
    }
}
