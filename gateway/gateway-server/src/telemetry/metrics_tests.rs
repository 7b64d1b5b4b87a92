//! The registry seen through what it exports, read by a parser that accepts nothing the format does not allow.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::*;

const MAX_GUEST_METRICS_PER_PLUGIN: usize = 100;

use crate::shared::series::{MAX_SERIES_PER_FAMILY, MIN_CELLS_TO_FOLD};
use crate::telemetry::families;

static RED: Family<Counter> =
    Family::new("test_red_total", &["colour", "shape"], "Red \\ things\nof all sorts.");
static LEVEL: Family<Gauge> = Family::new("test_level", &["tank"], "How full.");
static DELAY: Family<Histogram> = Family::new("test_delay", &[], "How late.");

/// Sample name with labels as written, to value as written; fails on anything illegal.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut samples = BTreeMap::new();
    let mut families = HashSet::new();
    let (mut family, mut kind, mut expect_type) = (String::new(), String::new(), false);
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("help text");
            assert!(families.insert(name.to_owned()), "family {name} twice");
            assert!(help.replace("\\\\", "").replace("\\n", "").find('\\').is_none(), "help escapes: {help}");
            (family, expect_type) = (name.to_owned(), true);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, type_name) = rest.split_once(' ').expect("type");
            assert!(expect_type && name == family, "TYPE {name} does not follow its HELP");
            assert!(["counter", "gauge", "histogram"].contains(&type_name));
            (kind, expect_type) = (type_name.to_owned(), false);
        } else {
            assert!(!expect_type);
            let (key, name, value) = parse_sample(line);
            let suffix = name.strip_prefix(family.as_str()).expect("sample of another family");
            let legal: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(legal.contains(&suffix), "{name} in {kind} {family}");
            assert!(samples.insert(key.clone(), value).is_none(), "sample {key} twice");
        }
    }
    samples
}

/// The whole sample without its value, its name, and its value.
fn parse_sample(line: &str) -> (String, String, String) {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).expect("name ends");
    let name = &line[..end];
    assert!(!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()), "name in {line}");
    let mut rest = &line[end..];
    if let Some(labels) = rest.strip_prefix('{') {
        rest = parse_labels(labels);
    }
    let key = &line[..line.len() - rest.len()];
    let value = rest.strip_prefix(' ').expect("one space before the value");
    let number: f64 = value.parse().expect("a number");
    assert!(number.is_finite());
    (key.to_owned(), name.to_owned(), value.to_owned())
}

/// Consumes `name="value",...}` and returns what follows.
fn parse_labels(mut rest: &str) -> &str {
    loop {
        let (name, after) = rest.split_once("=\"").expect("label");
        assert!(
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "label {name}"
        );
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("closing quote") {
                (_, '\\') => assert!(matches!(characters.next(), Some((_, '\\' | '"' | 'n')))),
                (at, '"') => break at,
                _ => {}
            }
        };
        rest = &after[end + 1..];
        match rest.split_at(1) {
            ("}", after) => return after,
            (",", after) => rest = after,
            (other, _) => panic!("{other} after a label"),
        }
    }
}

fn value_of(registry: &Registry, sample: &str) -> Option<String> {
    parse(&registry.render()).remove(sample)
}

#[test]
fn an_empty_registry_exports_nothing() {
    assert_eq!(Registry::new().render(), "");
}

#[test]
fn the_cells_of_a_series_are_summed_and_label_values_escaped() {
    let registry = Registry::new();
    let workers: Vec<Counter> = (0..3).map(|_| registry.counter(&RED, &["a\"b\\c\nd", "ü"])).collect();
    workers.iter().zip(1..).for_each(|(counter, n)| counter.add(n));
    assert_eq!(
        registry.render(),
        "# HELP test_red_total Red \\\\ things\\nof all sorts.\n\
         # TYPE test_red_total counter\n\
         test_red_total{colour=\"a\\\"b\\\\c\\nd\",shape=\"ü\"} 6\n"
    );
    assert_eq!(registry.counter_total(&RED, &["a\"b\\c\nd", "ü"]), 6);
    assert_eq!(registry.counter_total(&RED, &["none", "such"]), 0);
    assert_eq!(parse(&registry.render()).len(), 1);
}

#[test]
fn families_are_sorted_by_name() {
    let registry = Registry::new();
    let _red = registry.counter(&RED, &["", ""]);
    let _delay = registry.histogram(&DELAY, &[]);
    let _level = registry.gauge(&LEVEL, &["a"]);
    let _guest = registry.guest("f", Kind::Counter, b"aaa", MAX_GUEST_METRICS_PER_PLUGIN).expect("guest");
    let text = registry.render();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(names, ["aaa counter", "test_delay histogram", "test_level gauge", "test_red_total counter"]);
    parse(&text);
}

#[test]
fn a_dropped_counter_stays_in_the_sum_and_its_cell_goes() {
    let registry = Registry::new();
    let counters: Vec<Counter> = (0..100).map(|_| registry.counter(&RED, &["x", "y"])).collect();
    counters.iter().for_each(|counter| counter.add(2));
    drop(counters);
    assert_eq!(registry.series.counter_cells(), 100);
    assert_eq!(value_of(&registry, "test_red_total{colour=\"x\",shape=\"y\"}").as_deref(), Some("200"));
    assert_eq!(registry.series.counter_cells(), 0, "a scrape frees dead cells");
    assert_eq!(value_of(&registry, "test_red_total{colour=\"x\",shape=\"y\"}").as_deref(), Some("200"));
}

#[test]
fn opening_frees_dead_cells_even_if_nobody_scrapes() {
    let registry = Registry::new();
    for _ in 0..100 {
        registry.counter(&RED, &["x", "y"]).inc();
    }
    assert!(registry.series.counter_cells() <= MIN_CELLS_TO_FOLD);
    assert_eq!(registry.counter_total(&RED, &["x", "y"]), 100);
}

#[test]
fn a_gauge_shows_what_its_owners_hold_now() {
    let registry = Registry::new();
    let (a, b) = (registry.gauge(&LEVEL, &["t"]), registry.gauge(&LEVEL, &["t"]));
    a.set(5);
    b.dec();
    a.inc();
    assert_eq!(value_of(&registry, "test_level{tank=\"t\"}").as_deref(), Some("5"));
    drop(a);
    assert_eq!(value_of(&registry, "test_level{tank=\"t\"}").as_deref(), Some("-1"));
    drop(b);
    assert_eq!(registry.render(), "", "a series without an owner is gone");
}

#[test]
fn a_histogram_exports_cumulative_buckets_in_milliseconds() {
    let registry = Registry::new();
    let histogram = registry.histogram(&DELAY, &[]);
    for micros in [0, 500, 501, 1_000, 7_250, 4_000_000_000] {
        histogram.record(Duration::from_micros(micros));
    }
    let samples = parse(&registry.render());
    let bucket = |le: &str| samples[&format!("test_delay_bucket{{le=\"{le}\"}}")].as_str();
    let bounds = [("0.5", "2"), ("1", "4"), ("5", "4"), ("10", "5"), ("3600000", "5"), ("+Inf", "6")];
    for (le, count) in bounds {
        assert_eq!(bucket(le), count, "le {le}");
    }
    assert_eq!(samples["test_delay_sum"], "4000009.251");
    assert_eq!(samples["test_delay_count"], "6");
    assert_eq!(samples.len(), 22);
    drop(histogram);
    assert_eq!(parse(&registry.render()), samples, "what was recorded stays");
}

#[test]
fn a_huge_duration_is_counted_in_the_last_bucket() {
    let registry = Registry::new();
    registry.histogram(&DELAY, &[]).record(Duration::MAX);
    assert_eq!(value_of(&registry, "test_delay_bucket{le=\"+Inf\"}").as_deref(), Some("1"));
    assert_eq!(value_of(&registry, "test_delay_bucket{le=\"3600000\"}").as_deref(), Some("0"));
}

#[test]
fn series_beyond_the_limit_count_as_other() {
    let registry = Registry::new();
    for n in 0..MAX_SERIES_PER_FAMILY {
        registry.counter(&RED, &[&n.to_string(), ""]).inc();
    }
    assert_eq!(value_of(&registry, "gateway_metric_series_dropped_total{family=\"test_red_total\"}"), None);
    registry.counter(&RED, &["one more", ""]).add(3);
    registry.counter(&RED, &["and another", ""]).add(4);
    registry.counter(&RED, &["7", ""]).inc();
    let samples = parse(&registry.render());
    assert_eq!(samples["gateway_metric_series_dropped_total{family=\"test_red_total\"}"], "2");
    assert_eq!(samples["test_red_total{colour=\"other\",shape=\"other\"}"], "7");
    assert_eq!(samples["test_red_total{colour=\"7\",shape=\"\"}"], "2", "a known series still counts");
    assert_eq!(samples.len(), MAX_SERIES_PER_FAMILY + 2);
}

/// Each worker opens its handles for each configuration: what it costs must not grow with how many there are.
#[test]
fn many_more_handles_than_series_are_opened_in_no_time() {
    let registry = Registry::new();
    let begun = Instant::now();
    let counters: Vec<_> = (0..5 * MAX_SERIES_PER_FAMILY)
        .map(|n| (registry.counter(&RED, &[&n.to_string(), ""]), registry.gauge(&LEVEL, &[&n.to_string()])))
        .collect();
    // A tenth of a second; a minute if each looked at those before it.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    counters.iter().for_each(|(counter, _)| counter.inc());
    let others = (4 * MAX_SERIES_PER_FAMILY).to_string();
    let other = value_of(&registry, "test_red_total{colour=\"other\",shape=\"other\"}");
    assert_eq!(other, Some(others));
}

#[test]
fn a_route_has_no_series_before_its_first_request() {
    let registry = Registry::new();
    let metrics = crate::telemetry::RouteMetrics::default();
    assert_eq!(registry.render(), "");
    metrics.count(&registry, "shop", http::StatusCode::NOT_FOUND);
    metrics.count(&registry, "shop", http::StatusCode::GONE);
    let samples = parse(&registry.render());
    let expected = "gateway_route_requests_total{route=\"shop\",code_class=\"4xx\"}";
    assert_eq!(samples.into_iter().collect::<Vec<_>>(), [(expected.to_owned(), "2".to_owned())]);
}

#[test]
fn dead_gauges_make_room_for_new_series() {
    let registry = Registry::new();
    for n in 0..=MAX_SERIES_PER_FAMILY {
        registry.gauge(&LEVEL, &[&n.to_string()]).set(1);
    }
    let live = registry.gauge(&LEVEL, &["now"]);
    live.set(1);
    let samples = parse(&registry.render());
    assert_eq!(samples.keys().collect::<Vec<_>>(), ["test_level{tank=\"now\"}"]);
}

#[test]
fn counting_on_many_threads_while_scraping_loses_nothing() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 20;
    const COUNTS: u64 = 500;
    let registry = Registry::new();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let counter = registry.counter(&RED, &["x", "y"]);
                    (0..COUNTS).for_each(|_| counter.inc());
                }
            });
        }
        for _ in 0..50 {
            assert!(registry.counter_total(&RED, &["x", "y"]) <= THREADS * ROUNDS * COUNTS);
            parse(&registry.render());
        }
    });
    assert_eq!(registry.counter_total(&RED, &["x", "y"]), THREADS * ROUNDS * COUNTS);
}

#[test]
fn the_gateways_own_families_export_legally() {
    let registry = Registry::new();
    registry.counter(&families::DOWNSTREAM_RQ_XX, &["web", "2"]).inc();
    registry.histogram(&families::UPSTREAM_RQ_TIME, &["v1"]).record(Duration::from_millis(3));
    registry.counter(&families::ACCESS_LOG_DROPPED, &[]).inc();
    let live = registry.gauge(&families::FILTER_LIVE, &["auth", "abc"]);
    live.set(1);
    let samples = parse(&registry.render());
    let class =
        "envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix=\"web\",envoy_response_code_class=\"2\"}";
    assert_eq!(samples[class], "1");
    assert_eq!(samples["gateway_filter_live{filter=\"auth\",version=\"abc\"}"], "1");
    assert_eq!(samples["envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"v1\",le=\"5\"}"], "1");
    assert_eq!(samples["gateway_access_log_dropped_total"], "1");
}

/// Reference: Proxy-Wasm metrics as observed on Envoy 1.40 (record on a counter adds; increment by 0 is refused; the
/// exported name is exactly the given one).
#[test]
fn guest_metrics_behave_as_in_envoy() {
    let registry = Registry::new();
    let counter = registry.guest("a", Kind::Counter, b"pc", MAX_GUEST_METRICS_PER_PLUGIN).expect("counter");
    assert_eq!(counter.increment(2), Ok(()));
    counter.record(5);
    assert_eq!(counter.increment(0), Err(WrongMetricUse(Kind::Counter)));
    assert_eq!(counter.increment(-1), Err(WrongMetricUse(Kind::Counter)));
    assert_eq!(counter.value(), Ok(7));

    let gauge = registry.guest("a", Kind::Gauge, b"level", MAX_GUEST_METRICS_PER_PLUGIN).expect("gauge");
    gauge.record(10);
    assert_eq!(gauge.increment(-4), Ok(()));
    assert_eq!(gauge.value(), Ok(6));

    let histogram =
        registry.guest("a", Kind::Histogram, b"size", MAX_GUEST_METRICS_PER_PLUGIN).expect("histogram");
    histogram.record(7);
    histogram.record(u64::MAX);
    assert_eq!(histogram.increment(1), Err(WrongMetricUse(Kind::Histogram)));
    assert_eq!(histogram.value(), Err(WrongMetricUse(Kind::Histogram)));

    let samples = parse(&registry.render());
    assert_eq!((samples["pc"].as_str(), samples["level"].as_str()), ("7", "6"));
    assert_eq!(samples["size_bucket{le=\"10\"}"], "1");
    assert_eq!(samples["size_count"], "2");
}

#[test]
fn a_guest_metric_is_shared_by_all_who_define_it() {
    let registry = Registry::new();
    let handles: Vec<GuestMetric> = (0..4)
        .map(|_| {
            registry.guest("a", Kind::Counter, b"shared", MAX_GUEST_METRICS_PER_PLUGIN).expect("counter")
        })
        .collect();
    std::thread::scope(|scope| {
        for handle in &handles {
            scope.spawn(|| (0..1_000).for_each(|_| handle.record(1)));
        }
    });
    registry
        .guest("b", Kind::Counter, b"shared", MAX_GUEST_METRICS_PER_PLUGIN)
        .expect("another plugin")
        .record(1);
    assert_eq!(value_of(&registry, "shared").as_deref(), Some("4001"));
}

#[test]
fn guest_names_are_made_legal_and_never_clash() {
    let registry = Registry::new();
    let _own = registry.counter(&families::CONFIG_RELOADS, &["ok"]);
    let define = |kind, name: &[u8]| {
        registry.guest("f", kind, name, MAX_GUEST_METRICS_PER_PLUGIN).map(|metric| metric.record(1))
    };
    define(Kind::Counter, b"9 lives\xff{}").expect("made legal");
    define(Kind::Counter, b"a:b").expect("legal as it is");
    define(Kind::Counter, b"gateway_config_reloads_total").expect("renamed");
    define(Kind::Gauge, b"envoy_cluster_upstream_rq_time_sum").expect("renamed");
    define(Kind::Histogram, b"h").expect("free");
    define(Kind::Counter, b"h_sum").expect("renamed");
    define(Kind::Counter, b"g_count").expect("free");
    define(Kind::Histogram, b"g").expect("renamed");
    define(Kind::Gauge, b"a:b").expect("renamed");
    assert_eq!(define(Kind::Gauge, b"g_count"), Ok(()));
    assert_eq!(define(Kind::Gauge, b"a:b"), Ok(()), "found again under its other name");

    let samples = parse(&registry.render());
    for name in [
        "_9_lives___",
        "a:b",
        "gateway_config_reloads_total_counter",
        "envoy_cluster_upstream_rq_time_sum_gauge",
        "h_count",
        "h_sum_counter",
        "g_count",
        "g_histogram_count",
        "g_count_gauge",
    ] {
        assert_eq!(samples.get(name).map(String::as_str), Some("1"), "{name}");
    }
    assert_eq!(samples["a:b_gauge"], "1");
}

#[test]
fn labels_in_guest_names_are_labels_of_one_family() {
    let registry = Registry::new();
    let define =
        |kind, name: &str| registry.guest("stats", kind, name.as_bytes(), MAX_GUEST_METRICS_PER_PLUGIN);
    let count = |name: &str, events| define(Kind::Counter, name).expect("a counter").record(events);
    count("reporter=.=source;.;code=.=200;.;requests", 2);
    count("reporter=.=source;.;code=.=503;.;requests", 1);
    count("reporter=.=source;.;code=.=200;.;requests", 3);
    count("requests", 7);
    count("path=.=a\"b\\c\nd;.;requests", 1);
    define(Kind::Histogram, "code=.=200;.;le=.=x;.;sizes").expect("a histogram").record(5);
    assert!(define(Kind::Gauge, "code=.=200;.;requests").is_ok(), "under another name");
    define(Kind::Histogram, "requests_of").expect("free");

    let text = registry.render();
    assert_eq!(text.matches("# TYPE requests counter").count(), 1, "{text}");
    let samples = parse(&text);
    assert_eq!(samples[r#"requests{reporter="source",code="200"}"#], "5");
    assert_eq!(samples[r#"requests{reporter="source",code="503"}"#], "1");
    assert_eq!(samples["requests"], "7");
    assert_eq!(samples[r#"requests{path="a\"b\\c\nd"}"#], "1");
    assert_eq!(samples[r#"sizes_count{code="200",le_="x"}"#], "1");
    assert_eq!(samples[r#"requests_gauge{code="200"}"#], "0");
}

#[test]
fn guest_metrics_are_limited() {
    let registry = Registry::new();
    let define = |plugin: &str, name: &str| {
        registry.guest(plugin, Kind::Counter, name.as_bytes(), MAX_GUEST_METRICS_PER_PLUGIN)
    };
    assert!(matches!(define("f", ""), Err(GuestMetricError::IllegalName(0))));
    assert!(matches!(define("f", &"n".repeat(4_097)), Err(GuestMetricError::IllegalName(4_097))));
    for n in 0..MAX_GUEST_METRICS_PER_PLUGIN {
        define("f", &format!("m{n}")).map(|_| ()).expect("below the limit");
    }
    assert!(matches!(define("f", "one_more"), Err(GuestMetricError::TooMany { .. })));
    define("f", "m5").map(|_| ()).expect("an old one is found again");
    define("g", "one_more").map(|_| ()).expect("another filter has its own limit");
}
