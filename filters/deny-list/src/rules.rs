//! Owns what a rule says and whether a request fits it. All that a rule names must fit.

use std::net::IpAddr;

use gateway_sdk::headers::is_legal_name;
use gateway_sdk::prelude::*;
use gateway_sdk::query::percent_decoded;
use ipnet::IpNet;
use serde::Deserialize;

/// The most rules of each list. The time of a decision grows with this.
const MAX_RULES: usize = 1_000;

/// What a request looks like. All fields that are there must fit; at least one must be there.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// The client's address lies in one of these networks; a single address is a network of its own.
    #[serde(default)]
    #[config(format = "network")]
    pub addresses: Vec<String>,
    /// The path is this, without regard to the query.
    #[serde(default)]
    pub path: Option<PathRule>,
    /// The method is one of these.
    #[serde(default)]
    pub methods: Vec<String>,
    /// A header is as described.
    #[serde(default)]
    pub header: Option<HeaderRule>,
}

/// How a path is compared, after `%XX` has been decoded.
#[derive(Clone, PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum PathRule {
    /// The whole path.
    Exact(String),
    /// Whole segments at the start: `/admin` fits `/admin` and `/admin/users`, not `/administrator`.
    Prefix(String),
    /// The end, such as `.php`.
    Suffix(String),
    /// Anywhere.
    Contains(String),
}

/// How a header is compared. Several values of one name are looked at one by one.
#[derive(Clone, PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HeaderRule {
    /// Its name.
    #[config(format = "header-name")]
    pub name: String,
    /// A value is this.
    #[serde(default)]
    pub exact: Option<String>,
    /// A value contains this, without regard to the case of ASCII letters.
    #[serde(default)]
    pub contains: Option<String>,
    /// It is there, or not.
    #[serde(default)]
    pub present: Option<bool>,
}

/// A rule that makes sense.
pub(crate) struct Checked {
    networks: Vec<IpNet>,
    path: Option<PathRule>,
    methods: Vec<String>,
    header: Option<HeaderRule>,
}

pub(crate) fn check(list: &str, rules: Vec<Rule>) -> Result<Vec<Checked>> {
    if rules.len() > MAX_RULES {
        let problem = format!("has {} rules; at most {MAX_RULES} are possible", rules.len());
        return Err(ConfigError::invalid(list, problem).into());
    }
    rules.into_iter().enumerate().map(|(index, rule)| check_one(&format!("{list}[{index}]"), rule)).collect()
}

fn check_one(place: &str, rule: Rule) -> Result<Checked> {
    let Rule { addresses, path, methods, header } = rule;
    if addresses.is_empty() && path.is_none() && methods.is_empty() && header.is_none() {
        let problem = "is empty and would fit every request; name addresses, a path, methods or a header";
        return Err(ConfigError::invalid(place, problem).into());
    }
    let networks = addresses.iter().enumerate().map(|(index, text)| {
        network(text).ok_or_else(|| {
            let problem =
                format!("`{}` is neither an address nor a network like 10.0.0.0/8", text.escape_debug());
            ConfigError::invalid(format!("{place}.addresses[{index}]"), problem)
        })
    });
    let networks = networks.collect::<Result<_, _>>()?;
    if let Some(PathRule::Exact(text) | PathRule::Prefix(text)) = &path
        && !text.starts_with('/')
    {
        let problem = format!("`{}` does not begin with `/`", text.escape_debug());
        return Err(ConfigError::invalid(format!("{place}.path"), problem).into());
    }
    if let Some(header) = &header {
        check_header(place, header)?;
    }
    Ok(Checked { networks, path, methods, header })
}

fn check_header(place: &str, header: &HeaderRule) -> Result<(), ConfigError> {
    if !is_legal_name(&header.name) {
        let problem = format!("`{}` is not a header name", header.name.escape_debug());
        return Err(ConfigError::invalid(format!("{place}.header.name"), problem));
    }
    let ways = [header.exact.is_some(), header.contains.is_some(), header.present.is_some()];
    if ways.iter().filter(|way| **way).count() != 1 {
        let problem = "needs one of `exact`, `contains` and `present`";
        return Err(ConfigError::invalid(format!("{place}.header"), problem));
    }
    Ok(())
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// What is known of a request, looked up once.
pub(crate) struct Facts<'a> {
    request: &'a Request,
    cx: &'a Context,
    address: Option<IpAddr>,
    path: Option<Vec<u8>>,
}

impl<'a> Facts<'a> {
    pub(crate) const fn new(request: &'a Request, cx: &'a Context) -> Self {
        Self { request, cx, address: None, path: None }
    }

    /// The place of the first rule that fits.
    pub(crate) fn fit_any(&mut self, rules: &[Checked]) -> Result<Option<usize>> {
        for (index, rule) in rules.iter().enumerate() {
            if self.fit(rule)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn fit(&mut self, rule: &Checked) -> Result<bool> {
        if !rule.networks.is_empty() {
            let address = self.address()?;
            if !rule.networks.iter().any(|network| network.contains(&address)) {
                return Ok(false);
            }
        }
        if !rule.methods.is_empty() {
            let method = self.request.method()?;
            if !rule.methods.iter().any(|known| known == method) {
                return Ok(false);
            }
        }
        if let Some(path_rule) = &rule.path
            && !fits_path(path_rule, self.path())
        {
            return Ok(false);
        }
        Ok(rule.header.as_ref().is_none_or(|header| self.fits_header(header)))
    }

    /// An IPv4 address in the form of IPv6 is the IPv4 address.
    fn address(&mut self) -> Result<IpAddr> {
        let known = self.address.or_else(|| self.cx.client_ip());
        let address = known.ok_or_else(|| Error::new("the host does not tell the client's address"))?;
        Ok(*self.address.insert(address.to_canonical()))
    }

    /// Decoded once, as servers do; what is no path fits no rule but is refused by the host.
    fn path(&mut self) -> &[u8] {
        self.path.get_or_insert_with(|| {
            let path = self.request.headers().get(":path").unwrap_or_default();
            let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
            percent_decoded(&path[..end])
        })
    }

    fn fits_header(&self, rule: &HeaderRule) -> bool {
        let mut values = self.request.headers().get_all(&rule.name);
        if let Some(present) = rule.present {
            return values.next().is_some() == present;
        }
        values.any(|value| match (&rule.exact, &rule.contains) {
            (Some(exact), _) => value == exact.as_bytes(),
            (_, Some(part)) => contains(&value.to_ascii_lowercase(), &part.to_ascii_lowercase()),
            (None, None) => false,
        })
    }
}

fn fits_path(rule: &PathRule, path: &[u8]) -> bool {
    match rule {
        PathRule::Exact(exact) => path == exact.as_bytes(),
        PathRule::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/').as_bytes();
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        }
        PathRule::Suffix(suffix) => path.ends_with(suffix.as_bytes()),
        PathRule::Contains(part) => contains(path, part),
    }
}

fn contains(text: &[u8], part: &str) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part.as_bytes())
}
