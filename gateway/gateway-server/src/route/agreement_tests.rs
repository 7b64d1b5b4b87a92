//! A linear matcher written from the text of the Gateway API agrees with the table and with what is explained.
//!
//! It shares no code with the gateway: it reads the routes that the generator made up, not the configuration's model.

use std::fmt::Write as _;

use super::examine::Verdict;
use super::{RouteInput, RouteTable};

const CONFIGS: usize = 200;
const REQUESTS_PER_CONFIG: usize = 50;

/// xorshift with a fixed seed: the same routes and requests in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }
}

const HOSTS: [&str; 6] = ["a.test", "b.a.test", "c.b.a.test", "x.test", "test", "*.unused.test"];
const ROUTE_HOSTS: [&str; 6] = ["a.test", "b.a.test", "*.a.test", "*.test", "*.b.a.test", "x.test"];
const SEGMENTS: [&str; 4] = ["a", "ab", "b", "7"];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const NAMES: [&str; 3] = ["p", "q", "r"];
const VALUES: [&str; 2] = ["1", "2"];
/// An expression, and what the naive matcher takes it for.
type Expression = (&'static str, fn(&str) -> bool);

const EXPRESSIONS: [Expression; 4] = [
    ("/a.*", |path| path.starts_with("/a")),
    ("/[ab]+", |path| path.len() > 1 && path.starts_with('/') && path[1..].chars().all(|c| "ab".contains(c))),
    (".*/7", |path| path.ends_with("/7")),
    ("/.*b", |path| path.len() > 1 && path.ends_with('b')),
];

type Pairs = Vec<(&'static str, &'static str)>;

#[derive(Clone)]
enum PathRule {
    Any,
    Exact(String),
    Prefix(String),
    Expression(usize),
}

#[derive(Clone)]
struct Rule {
    path: PathRule,
    method: Option<&'static str>,
    headers: Pairs,
    query: Pairs,
    cookies: Pairs,
    local: bool,
    not_method: Option<&'static str>,
}

struct MadeRoute {
    hosts: Vec<&'static str>,
    rules: Vec<Rule>,
}

struct MadeRequest {
    host: &'static str,
    path: String,
    method: &'static str,
    headers: Pairs,
    query: Pairs,
    cookies: Pairs,
    local: bool,
}

fn path(dice: &mut Dice) -> String {
    let segments: Vec<_> = (0..dice.below(4)).map(|_| dice.pick(&SEGMENTS)).collect();
    format!("/{}", segments.join("/"))
}

fn pairs(dice: &mut Dice, odds: usize) -> Pairs {
    NAMES
        .into_iter()
        .filter(|_| dice.one_in(odds))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|n| (n, dice.pick(&VALUES)))
        .collect()
}

fn rule(dice: &mut Dice) -> Rule {
    Rule {
        path: match dice.below(8) {
            0 => PathRule::Any,
            1 | 2 => PathRule::Exact(path(dice)),
            3 => PathRule::Expression(dice.below(EXPRESSIONS.len())),
            _ => PathRule::Prefix(path(dice)),
        },
        method: dice.one_in(4).then(|| dice.pick(&METHODS)),
        headers: pairs(dice, 8),
        query: pairs(dice, 8),
        cookies: pairs(dice, 12),
        local: dice.one_in(8),
        not_method: dice.one_in(8).then_some("PUT"),
    }
}

fn route(dice: &mut Dice) -> MadeRoute {
    let mut hosts: Vec<_> = (0..dice.below(3)).map(|_| dice.pick(&ROUTE_HOSTS)).collect();
    hosts.dedup();
    MadeRoute { hosts, rules: (0..=dice.below(3)).map(|_| rule(dice)).collect() }
}

fn request(dice: &mut Dice) -> MadeRequest {
    MadeRequest {
        host: dice.pick(&HOSTS[..5]),
        path: path(dice) + dice.pick(&["", "", "", "/"]),
        method: dice.pick(&METHODS),
        headers: pairs(dice, 2),
        query: pairs(dice, 2),
        cookies: pairs(dice, 2),
        local: dice.one_in(2),
    }
}

fn written(routes: &[MadeRoute]) -> String {
    let map = |pairs: &Pairs| pairs.iter().map(|(n, v)| format!("{n}: '{v}'")).collect::<Vec<_>>().join(", ");
    let mut text = "listeners: [{bind: 127.0.0.1:0}]\nroutes:\n".to_owned();
    for route in routes {
        text += "  - respond: {status: 200}\n";
        if !route.hosts.is_empty() {
            let hosts: Vec<_> = route.hosts.iter().map(|host| format!("'{host}'")).collect();
            writeln!(text, "    hosts: [{}]", hosts.join(", ")).unwrap();
        }
        text += "    match:\n";
        for rule in &route.rules {
            let mut fields = Vec::new();
            match &rule.path {
                PathRule::Any => {}
                PathRule::Exact(path) => fields.push(format!("path: {{exact: '{path}'}}")),
                PathRule::Prefix(path) => fields.push(format!("path: {{prefix: '{path}'}}")),
                PathRule::Expression(index) => {
                    fields.push(format!("path: {{regex: '{}'}}", EXPRESSIONS[*index].0))
                }
            }
            fields.extend(rule.method.map(|method| format!("method: {method}")));
            fields.push(format!("headers: {{{}}}", map(&rule.headers)));
            fields.push(format!("query: {{{}}}", map(&rule.query)));
            fields.push(format!("cookie: {{{}}}", map(&rule.cookies)));
            fields.extend(rule.local.then(|| "client: 127.0.0.0/8".to_owned()));
            fields.extend(rule.not_method.map(|method| format!("not: {{method: {method}}}")));
            writeln!(text, "      - {{{}}}", fields.join(", ")).unwrap();
        }
    }
    text
}

/// How well a host pattern fits, the greater the better.
fn host_rank(pattern: Option<&str>, host: &str) -> Option<usize> {
    match pattern {
        None => Some(0),
        Some(pattern) => match pattern.strip_prefix('*') {
            Some(suffix) => host.ends_with(suffix).then_some(suffix.len()),
            None => (pattern == host).then_some(usize::MAX),
        },
    }
}

fn path_rank(rule: &PathRule, path: &str) -> Option<(usize, usize)> {
    match rule {
        PathRule::Any => Some((0, 1)),
        PathRule::Exact(exact) => (exact == path).then_some((2, exact.len())),
        PathRule::Expression(index) => {
            let (text, matches) = EXPRESSIONS[*index];
            matches(path).then_some((1, text.len()))
        }
        PathRule::Prefix(prefix) => {
            let wanted: Vec<_> = prefix.split('/').filter(|segment| !segment.is_empty()).collect();
            let has: Vec<_> = path.split('/').skip(1).collect();
            has.starts_with(&wanted).then_some((0, prefix.len()))
        }
    }
}

fn holds(rule: &Rule, request: &MadeRequest) -> bool {
    let within = |wanted: &Pairs, has: &Pairs| wanted.iter().all(|pair| has.contains(pair));
    rule.method.is_none_or(|method| method == request.method)
        && within(&rule.headers, &request.headers)
        && within(&rule.query, &request.query)
        && within(&rule.cookies, &request.cookies)
        && (!rule.local || request.local)
        && rule.not_method.is_none_or(|method| method != request.method)
}

/// Every rule is looked at, the best by the order of the Gateway API is kept; the first of equals stays.
fn naive(routes: &[MadeRoute], request: &MadeRequest) -> Option<(usize, usize)> {
    let mut best: Option<(_, (usize, usize))> = None;
    for (route_index, route) in routes.iter().enumerate() {
        let no_host = [None];
        let some_hosts: Vec<_> = route.hosts.iter().copied().map(Some).collect();
        let hosts = if some_hosts.is_empty() { &no_host[..] } else { &some_hosts };
        for (rule_index, rule) in route.rules.iter().enumerate() {
            let host = hosts.iter().filter_map(|host| host_rank(*host, request.host)).max();
            let (Some(host), Some(path)) = (host, path_rank(&rule.path, &request.path)) else { continue };
            if !holds(rule, request) {
                continue;
            }
            let rank = (
                host,
                path,
                rule.method.is_some(),
                (rule.headers.len(), rule.query.len(), rule.cookies.len()),
                rule.local,
                rule.not_method.is_some(),
            );
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, (route_index, rule_index)));
            }
        }
    }
    best.map(|(_, found)| found)
}

#[test]
fn table_explanation_and_a_naive_matcher_agree() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut taken, mut beaten, mut configs) = (0, 0, 0);
    while configs < CONFIGS {
        let routes: Vec<_> = (0..=dice.below(20)).map(|_| route(&mut dice)).collect();
        // Routes that repeat an earlier one are refused as a mistake; the dice seldom make them.
        let Ok(config) = gateway_config::parse_text(&written(&routes), "made.yaml", "".as_ref()) else {
            continue;
        };
        configs += 1;
        let table = RouteTable::new(&config.routes);
        for _ in 0..REQUESTS_PER_CONFIG {
            let request = request(&mut dice);
            let expected = naive(&routes, &request);
            let mut headers = http::HeaderMap::new();
            for (name, value) in &request.headers {
                headers.insert(*name, value.parse().unwrap());
            }
            for (name, value) in &request.cookies {
                headers.append("cookie", format!("{name}={value}").parse().unwrap());
            }
            let query: Vec<_> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let query = query.join("&");
            let input = RouteInput {
                host: request.host,
                path: &request.path,
                query: (!query.is_empty()).then_some(&query),
                method: request.method,
                preflight_method: None,
                headers: &headers,
                filter_state: &[],
                client: if request.local { [127, 0, 0, 1] } else { [192, 0, 2, 1] }.into(),
            };
            let decided = table.decide(&input).map(|decision| (decision.route.0, decision.condition));
            assert_eq!(decided, expected, "{} {}\n{}", request.host, request.path, written(&routes));
            let examined = table.examine(&config.routes, &input);
            let winners = examined.iter().filter(|one| one.verdict == Verdict::Wins);
            let winners: Vec<_> = winners.map(|one| (one.decision.route.0, one.decision.condition)).collect();
            assert_eq!(winners, expected.into_iter().collect::<Vec<_>>());
            taken += usize::from(expected.is_some());
            beaten += examined.iter().filter(|one| matches!(one.verdict, Verdict::Beaten(_))).count();
        }
    }
    // The test says something: most requests find a route, and most of those had more than one to choose from.
    assert!(
        taken > CONFIGS * REQUESTS_PER_CONFIG / 2 && beaten > taken / 2,
        "{taken} taken, {beaten} beaten"
    );
}
