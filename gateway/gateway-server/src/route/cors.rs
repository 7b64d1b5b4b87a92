//! The CORS protocol (Fetch standard, section 3.2): which sites may read, and what a preflight is told.

use gateway_config::{AllowList, Cors, OriginPattern};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

/// The method that a preflight asks about; `None` if this is no preflight.
pub(crate) fn preflight_method<'a>(method: &Method, headers: &'a HeaderMap) -> Option<&'a str> {
    if *method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()
}

/// The headers that answer a preflight. A site that is not allowed gets none of the permissions.
pub(crate) fn preflight(cors: &Cors, request: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        VARY,
        HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers"),
    );
    let Some(origin) = request.get(ORIGIN).filter(|origin| allows(cors, origin)) else { return headers };
    allow_origin(cors, origin, &mut headers);
    let lists = [
        (ACCESS_CONTROL_ALLOW_METHODS, &cors.methods, ACCESS_CONTROL_REQUEST_METHOD),
        (ACCESS_CONTROL_ALLOW_HEADERS, &cors.headers, ACCESS_CONTROL_REQUEST_HEADERS),
    ];
    for (name, allowed, asked) in lists {
        match allowed {
            // Repeated instead of `*`, which means a literal star where credentials are sent.
            AllowList::Any => headers.extend(request.get(asked).map(|asked| (name, asked.clone()))),
            AllowList::These(list) => insert(&mut headers, name, list),
        }
    }
    if let Some(max_age) = cors.max_age {
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(max_age.as_secs()));
    }
    headers
}

/// Puts onto a response what lets the script of an allowed site read it, in place of what the upstream says.
pub(crate) fn respond(cors: &Cors, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if !cors.origins.contains(&OriginPattern::Any) {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin.filter(|origin| allows(cors, origin)) {
        allow_origin(cors, origin, headers);
        insert(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose);
    }
}

fn allow_origin(cors: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) {
    let any = cors.origins.contains(&OriginPattern::Any);
    let allowed = if any { HeaderValue::from_static("*") } else { origin.clone() };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if cors.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    } else {
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    }
}

/// Nothing for an empty list.
fn insert(headers: &mut HeaderMap, name: HeaderName, list: &str) {
    if !list.is_empty()
        && let Ok(value) = HeaderValue::from_str(list)
    {
        headers.insert(name, value);
    }
}

fn allows(cors: &Cors, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    cors.origins.iter().any(|pattern| match pattern {
        OriginPattern::Any => true,
        OriginPattern::Exact(exact) => origin.eq_ignore_ascii_case(exact),
        OriginPattern::Below { scheme, suffix } => {
            let host = origin.to_ascii_lowercase();
            let host = host.strip_prefix(&**scheme).and_then(|rest| rest.strip_suffix(&**suffix));
            host.is_some_and(|labels| {
                !labels.is_empty() && labels.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            })
        }
    })
}
