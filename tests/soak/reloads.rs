//! Everything is changed again and again under load, and nobody notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gateway_tests::mortal::free_address;
use gateway_tests::{Authority, Http2Origin, Switcher, TlsClient, pause, wasm};
use tokio::runtime::Handle;
use tokio_rustls::rustls::ClientConfig;

use crate::gateway::{Gateway, mib, replace};
use crate::load::{self, HOST, Target};
use crate::origin::{self, Counts};
use crate::streams;
use crate::tally::Tally;

/// How often everything is changed, and what may come of it.
struct Plan {
    rounds: usize,
    /// No round begins after this long.
    longest: Duration,
    /// Memory and mappings after so many rounds are what the end is compared with.
    settled: usize,
    max_growth_percent: f64,
    max_mappings_percent: f64,
}
const REQUESTS_PER_SECOND: f64 = 2_000.0;
/// Clients of HTTP/1.1, and connections of HTTP/2, each with TLS and without.
const HTTP1_CLIENTS: usize = 8;
const HTTP2_CLIENTS: usize = 2;
const WEBSOCKETS: usize = 200;
const CALLS: usize = 50;
const CALLS_PER_CONNECTION: usize = 10;
/// From the change of a file to the first response that shows it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two rounds.
const REST: Duration = Duration::from_millis(300);

/// Addresses of everything.
struct Place {
    plain: SocketAddr,
    tls: SocketAddr,
    origins: [SocketAddr; 2],
    chat: SocketAddr,
    calls: SocketAddr,
}

impl Place {
    /// The configuration of a round: a route and its edits change each time, an upstream's endpoints and terms, and now
    /// and then there is a host, an upstream and a listener more.
    fn config(&self, round: usize) -> String {
        let [first, second] = self.origins;
        let endpoints = match round % 3 {
            0 => format!("'{first}'"),
            1 => format!("'{first}', '{second}'"),
            _ => format!("'{second}'"),
        };
        let (listener, route, upstream) = match round % 2 {
            0 => (String::new(), String::new(), String::new()),
            _ => (
                "- {name: more, bind: '127.0.0.1:0'}".to_owned(),
                format!("- {{hosts: [host-{round}.example], to: more}}"),
                format!("more: '{first}'"),
            ),
        };
        let timeout = 1 + round % 5;
        format!(
            "workers: 2
listeners:
- {{name: plain, bind: '{}'}}
- {{name: tls, bind: '{}', tls: {{certificates: [{{cert: site.pem, key: site.key}}]}}}}
{listener}
routes:
- {{match: {{path: {{exact: /chat}}}}, to: chat, upgrades: [websocket]}}
- {{match: {{path: {{exact: /echo}}}}, to: calls}}
- {{name: load, to: app, timeout: {}s, responseHeaders: {{set: {{x-config: '{round}'}}}}}}
{route}
upstreams:
  chat: '{}'
  calls: {{endpoints: ['{}'], protocol: http2}}
  app: {{endpoints: [{endpoints}], connectTimeout: {timeout}s}}
  {upstream}
filters: {{directory: filters, state: state, cache: cache}}
accessLog: off",
            self.plain,
            self.tls,
            10 + round % 7,
            self.chat,
            self.calls,
        )
    }
}

/// All clients, until the tally is over.
async fn run_clients(
    place: Arc<Place>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    tallies: [Arc<Tally>; 2],
) {
    let [requests, streams] = tallies;
    let plain = Target { address: place.plain, tls: None };
    let tls = |config: &Arc<ClientConfig>| Target { address: place.tls, tls: Some(config.clone()) };
    let mut tasks = Vec::new();
    let share = REQUESTS_PER_SECOND / 4.0;
    for target in [plain.clone(), tls(&http1)] {
        for _ in 0..HTTP1_CLIENTS {
            let client = load::http1(target.clone(), share / HTTP1_CLIENTS as f64, requests.clone());
            tasks.push(Handle::current().spawn(client));
        }
        for _ in 0..WEBSOCKETS / 2 {
            tasks.push(Handle::current().spawn(streams::websocket(target.clone(), streams.clone())));
        }
    }
    let with_http2 = [plain, tls(&http2)];
    for target in &with_http2 {
        for _ in 0..HTTP2_CLIENTS {
            let client = load::http2(target.clone(), share / HTTP2_CLIENTS as f64, requests.clone());
            tasks.push(Handle::current().spawn(client));
        }
    }
    for (number, target) in (0..CALLS / CALLS_PER_CONNECTION).zip(with_http2.iter().cycle()) {
        match target.connect_http2().await {
            Ok(sender) => tasks.extend(
                (0..CALLS_PER_CONNECTION)
                    .map(|_| Handle::current().spawn(streams::call(sender.clone(), streams.clone()))),
            ),
            Err(error) => streams.fail(format!("connection {number} for gRPC: {error}")),
        }
    }
    for task in tasks {
        task.await.expect("a client that ends");
    }
}

/// What a response of this moment says of its configuration and its filter.
async fn marks(target: &Target, probes: &Tally) -> (String, String) {
    let ask = async {
        let sender = target.connect_http2().await.map_err(|error| error.to_string())?;
        let request = http::Request::get(format!("https://{HOST}/load")).body(()).expect("a legal request");
        let mut sender = sender.ready().await.map_err(|error| error.to_string())?;
        let (response, _) = sender.send_request(request, true).map_err(|error| error.to_string())?;
        let mut response = response.await.map_err(|error| error.to_string())?;
        // To its end: a request that is called off is not counted by the origin.
        while let Some(data) = response.body_mut().data().await {
            data.map_err(|error| error.to_string())?;
        }
        let mark =
            |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap_or("")).to_owned();
        Ok::<_, String>((mark("x-config"), mark("x-stamp")))
    };
    match ask.await {
        Ok(marks) => {
            probes.note();
            marks
        }
        Err(error) => {
            probes.fail(format!("probe: {error}"));
            Default::default()
        }
    }
}

fn write_pair(gateway: &std::path::Path, authority: &Authority) {
    let pair = authority.issue(&[HOST]);
    replace(&gateway.join("site.pem"), pair.cert.as_bytes());
    replace(&gateway.join("site.key"), pair.key.as_bytes());
}

#[test]
#[ignore = "takes a few minutes"]
fn a_hundred_reloads_and_swaps_under_load_fail_nothing() {
    reload_under_load(&Plan {
        rounds: 100,
        longest: Duration::from_secs(3_600),
        settled: 10,
        max_growth_percent: 10.0,
        max_mappings_percent: 10.0,
    });
}

#[test]
#[ignore = "takes up to twenty minutes"]
fn a_thousand_reloads_and_swaps_under_load_keep_memory_and_mappings() {
    reload_under_load(&Plan {
        rounds: 1_000,
        longest: Duration::from_secs(20 * 60),
        settled: 20,
        max_growth_percent: 5.0,
        max_mappings_percent: 5.0,
    });
}

fn reload_under_load(plan: &Plan) {
    let authority = Authority::new("soak");
    let stamp = wasm::guest("stamp");
    let (chat, calls) = (Switcher::echoing(), Http2Origin::start());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let counts = Arc::new(Counts::default());
    let origins = [0, 1].map(|_| runtime.block_on(origin::start(counts.clone())));
    let place = Arc::new(Place {
        plain: free_address(),
        tls: free_address(),
        origins,
        chat: chat.address(),
        calls: calls.address(),
    });
    let folder = Gateway::folder();
    write_pair(folder.path(), &authority);
    let filter = |folder: &std::path::Path, round: usize| {
        let directory = folder.join("filters");
        // Other bytes each time, so that each version is compiled anew.
        replace(&directory.join("stamp.wasm"), &wasm::annotated(&stamp, &format!("round {round}")));
        replace(&directory.join("stamp.yaml"), format!("config: v{round}").as_bytes());
    };
    filter(folder.path(), 0);
    let gateway = Gateway::start(folder, &place.config(0));

    let client = TlsClient::trusting(&authority);
    let http1 = client.config();
    let http2 = client.offering(&["h2"]).config();
    let tallies = [Arc::<Tally>::default(), Arc::<Tally>::default()];
    let [requests, streams] = tallies.clone();
    let clients = runtime.spawn(run_clients(place.clone(), http1, http2, tallies));
    let begun = Instant::now();
    let (mut settled, mut mapped, mut delays, mut all) = (0, 0, Vec::new(), Vec::new());
    let (probes, probe) = (Tally::default(), Target { address: place.plain, tls: None });
    for round in (1..=plan.rounds).take_while(|_| begun.elapsed() < plan.longest) {
        let changed = Instant::now();
        write_pair(gateway.directory(), &authority);
        filter(gateway.directory(), round);
        gateway.configure(&place.config(round));
        let wanted = (round.to_string(), format!("v{round}"));
        while runtime.block_on(marks(&probe, &probes)) != wanted {
            assert!(changed.elapsed() < PATIENCE, "round {round} is not live; {:?}", gateway.errors());
            pause(Duration::from_millis(20));
        }
        delays.push(changed.elapsed());
        pause(REST);
        let rss = gateway.settled_rss();
        all.push(rss);
        if round == plan.settled {
            (settled, mapped) = (rss, gateway.settled_mappings());
        }
        if round % 10 == 0 {
            println!("round {round:3}: {:.1} MiB, {} requests", mib(rss), requests.served());
        }
        if requests.failures().0 + streams.failures().0 > 0 {
            break;
        }
    }
    let (time, at_end, mapped_at_end) = (begun.elapsed(), gateway.settled_rss(), gateway.settled_mappings());
    requests.end();
    streams.end();
    runtime.block_on(clients).expect("clients that end");
    delays.sort_unstable();
    let percent = |end: f64, start: f64| (end / start - 1.0) * 100.0;
    let growth = percent(at_end as f64, settled as f64);
    let more_mapped = percent(mapped_at_end as f64, mapped as f64);
    let served = requests.served();
    println!(
        "{} rounds in {time:.0?}: {served} requests ({:.0} per second), {} messages over {WEBSOCKETS} WebSockets and {CALLS} calls",
        delays.len(),
        served as f64 / time.as_secs_f64(),
        streams.served(),
    );
    println!("failed requests and streams: {:?} {:?}", requests.failures(), streams.failures());
    println!(
        "visible after {:.0?} (median), {:.0?} (slowest)",
        delays[delays.len() / 2],
        delays[delays.len() - 1]
    );
    println!(
        "RSS {:.1} MiB after {} rounds, {:.1} MiB at the end ({growth:+.1} %), at most {:.1} MiB",
        mib(settled),
        plan.settled,
        mib(at_end),
        mib(all.iter().copied().max().unwrap_or_default()),
    );
    println!(
        "{mapped} mappings after {} rounds, {mapped_at_end} at the end ({more_mapped:+.1} %)",
        plan.settled
    );
    let seen = counts.requests.load(Ordering::SeqCst);
    println!(
        "origins: {seen} requests, {} broken; resets of calls: {:?}",
        counts.broken.load(Ordering::SeqCst),
        calls.resets()
    );
    assert_eq!((requests.failures(), streams.failures()), ((0, vec![]), (0, vec![])));
    assert_eq!(probes.failures(), (0, vec![]));
    assert_eq!(gateway.errors(), Vec::<String>::new());
    assert_eq!(seen, served + probes.served(), "each request reached an origin exactly once");
    assert_eq!((counts.broken.load(Ordering::SeqCst), calls.resets()), (0, vec![]));
    assert_eq!(chat.heads().iter().filter(|(line, _)| line.starts_with("GET /chat ")).count(), WEBSOCKETS);
    assert!(
        served as f64 / time.as_secs_f64() > 0.9 * REQUESTS_PER_SECOND,
        "the load was not what it should be"
    );
    assert!(growth < plan.max_growth_percent, "{growth:.1} %");
    assert!(more_mapped < plan.max_mappings_percent, "{more_mapped:.1} % more mappings");
    gateway.stop();
}
