//! Clients of HTTP/2 that send what serves no request: each is told to go away and cut, while a bystander is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use gateway_tests::{Gateway, Http2, Origin, Request, Response, eventually, raw_frames};
use raw_frames::{Farewell, RawHttp2, block, flag, frame, kind, request};

const ENHANCE_YOUR_CALM: u32 = 11;
/// More than any limit.
const ENDLESS: usize = 20_000;

/// A gateway with an origin, and somebody who goes on sending requests meanwhile, over HTTP/1.1 and HTTP/2.
struct Scene {
    _origin: Origin,
    gateway: Gateway,
    is_over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    bystander: JoinHandle<Vec<Response>>,
}

impl Scene {
    fn set() -> Self {
        let origin = Origin::answering("ok");
        let gateway = Gateway::to(&origin).start();
        let (is_over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let bystander = {
            let (address, is_over, served) = (gateway.address(), is_over.clone(), served.clone());
            std::thread::spawn(move || {
                let mut over_http_1 = gateway_tests::Client::connect(address);
                let over_http_2 = Http2::connect(address);
                let mut responses = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    responses.push(over_http_1.get("/bystander"));
                    responses.push(over_http_2.send(&Request::get("/bystander")));
                    served.fetch_add(2, Ordering::SeqCst);
                }
                responses
            })
        };
        Self { _origin: origin, gateway, is_over, served, bystander }
    }

    fn attacker(&self) -> RawHttp2 {
        RawHttp2::connect(self.gateway.address(), &[])
    }

    /// The attacker is told why, counted and logged once, and the bystander has every response, also after it.
    fn assert_cut(self, farewell: Option<Farewell>, code: &str) {
        assert_eq!(farewell, Some(Farewell { code: ENHANCE_YOUR_CALM, debug: code.into() }));
        let before = self.served.load(Ordering::SeqCst);
        eventually("more requests of the bystander", || self.served.load(Ordering::SeqCst) >= before + 4);
        self.is_over.store(true, Ordering::SeqCst);
        let responses = self.bystander.join().expect("a bystander that got all its responses");
        assert!(responses.iter().all(|response| response.status == 200));
        let cut = |labels: &[_]| {
            self.gateway.metrics().sum("gateway_listener_connections_cut_total", labels).round()
        };
        eventually("it is counted", || cut(&[("reason", code)]) > 0.0);
        assert!((cut(&[]) - 1.0).abs() < 0.5, "once");
        let floods = |gateway: &Gateway| {
            let lines = gateway.access_lines();
            lines.iter().filter(|line| line["response_code_details"] == "http2_flood").count()
        };
        eventually("it is logged", || floods(&self.gateway) > 0);
    }
}

/// Sends `batch` again and again, each time until the gateway has looked at it; how many times that went well.
fn flood(attacker: &mut RawHttp2, mut batch: impl FnMut(usize) -> Vec<u8>) -> usize {
    (0..ENDLESS)
        .find(|number| attacker.send(&batch(*number)).is_err() || !attacker.is_served())
        .expect("there is a limit")
}

/// A stream of a request per number.
fn stream(number: usize) -> u32 {
    u32::try_from(number).expect("not that many") * 2 + 1
}

fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | flags, stream, &block(fields))
}

#[test]
fn frames_that_only_keep_the_gateway_busy_end_their_connection() {
    const EACH: usize = 50;
    for (name, what, code, most) in [
        ("SETTINGS", frame(kind::SETTINGS, flag::NONE, 0, &[]), "http2_settings", 100),
        ("PING", frame(kind::PING, flag::NONE, 0, &[0; 8]), "http2_pings", 1000),
        ("PING acknowledged", frame(kind::PING, flag::ACK, 0, &[0; 8]), "http2_pings", 1000),
        (
            "WINDOW_UPDATE",
            frame(kind::WINDOW_UPDATE, flag::NONE, 0, &1_u32.to_be_bytes()),
            "http2_windows",
            1000,
        ),
        ("PRIORITY", frame(kind::PRIORITY, flag::NONE, 1, &[0; 5]), "http2_priorities", 1000),
        ("unknown", frame(0x42, flag::NONE, 0, &[]), "http2_unknown", 1000),
        ("unknown and large", frame(0x42, flag::NONE, 0, &[0; 16_384]), "http2_unknown", 20),
        (
            "RST_STREAM of a closed stream",
            frame(kind::RST_STREAM, flag::NONE, 1, &[0; 4]),
            "http2_resets",
            250,
        ),
    ] {
        let scene = Scene::set();
        let mut attacker = scene.attacker();
        attacker.ask(1, &request("GET", "/")).unwrap();
        attacker.await_end(1);
        let sent = flood(&mut attacker, |_| what.repeat(EACH)) * EACH;
        // A batch that was begun may have been too much from its first frame on.
        assert!(sent <= most + EACH, "{sent} of {name}");
        let farewell = attacker.await_end_of_all();
        scene.assert_cut(farewell, code);
    }
}

#[test]
fn requests_that_are_called_off_at_once_end_their_connection() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    let sent = flood(&mut attacker, |number| {
        let mut pair = head(stream(number), flag::END_STREAM, &request("GET", "/"));
        pair.extend(frame(kind::RST_STREAM, flag::NONE, stream(number), &8_u32.to_be_bytes()));
        pair
    });
    assert!(sent <= 400, "{sent}");
    let farewell = attacker.await_end_of_all();
    scene.assert_cut(farewell, "http2_resets");
}

#[test]
fn a_burst_of_requests_that_are_called_off_ends_its_connection() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let mut attacker = RawHttp2::connect(gateway.address(), &[]);
    for number in 0..1000 {
        let mut pair = head(stream(number), flag::END_STREAM, &request("GET", "/"));
        pair.extend(frame(kind::RST_STREAM, flag::NONE, stream(number), &8_u32.to_be_bytes()));
        if attacker.send(&pair).is_err() {
            break;
        }
    }
    assert_eq!(attacker.await_end_of_all().map(|farewell| farewell.code), Some(ENHANCE_YOUR_CALM));
    assert!(origin.received().len() < 300, "{}", origin.received().len());
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn requests_that_the_gateway_is_made_to_reset_end_their_connection() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    let sent = flood(&mut attacker, |number| {
        let mut pair = head(stream(number), flag::NONE, &request("POST", "/"));
        // A window that overflows is an error of its stream (RFC 9113, section 6.9.1).
        pair.extend(frame(kind::WINDOW_UPDATE, flag::NONE, stream(number), &0x7fff_ffff_u32.to_be_bytes()));
        pair
    });
    assert!(sent <= 100, "{sent}");
    let farewell = attacker.await_end_of_all();
    scene.assert_cut(farewell, "http2_caused_resets");
}

#[test]
fn malformed_requests_one_after_the_other_end_their_connection() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    let mut fields = request("GET", "/");
    fields.push(("connection", "close"));
    let sent = flood(&mut attacker, |number| head(stream(number), flag::END_STREAM, &fields));
    assert!((50..=101).contains(&sent), "{sent}");
    let farewell = attacker.await_end_of_all();
    scene.assert_cut(farewell, "http2_caused_resets");
}

#[test]
fn bodies_of_nothing_end_their_connection() {
    for (flags, payload, most) in [(flag::NONE, vec![], 120), (flag::PADDED, vec![254; 256], 1001)] {
        let scene = Scene::set();
        let mut attacker = scene.attacker();
        attacker.send(&head(1, flag::NONE, &request("POST", "/"))).unwrap();
        let sent = flood(&mut attacker, |_| frame(kind::DATA, flags, 1, &payload));
        assert!(sent <= most, "{sent}");
        let farewell = attacker.await_end_of_all();
        scene.assert_cut(farewell, "http2_empty_data");
    }
}

#[test]
fn a_head_that_goes_on_and_on_ends_its_connection() {
    let fields = block(&request("GET", "/"));
    for (payload, most) in [(vec![], 5), (block(&[("x-pad", &"x".repeat(15_000))]), 6)] {
        let scene = Scene::set();
        let mut attacker = scene.attacker();
        attacker.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &fields)).unwrap();
        for _ in 0..most {
            // It may be cut before the last.
            let _ = attacker.send(&frame(kind::CONTINUATION, flag::NONE, 1, &payload));
        }
        let farewell = attacker.await_end_of_all();
        scene.assert_cut(farewell, "http2_head");
    }
}

#[test]
fn streams_over_the_limit_are_refused_and_many_of_them_end_their_connection() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    let sent = flood(&mut attacker, |number| head(stream(number), flag::NONE, &request("POST", "/")));
    assert!((100..=700).contains(&sent), "{sent}");
    let farewell = attacker.await_end_of_all();
    scene.assert_cut(farewell, "http2_caused_resets");
}

#[test]
fn the_farewell_comes_after_whatever_frame_was_begun() {
    // A response larger than the sockets hold is under way and stuck in a frame when the flood comes.
    let origin = Origin::start(|_| gateway_tests::Answer::zeros(64 << 20));
    let gateway = Gateway::to(&origin).start();
    let mut window = vec![0, 4];
    window.extend(0x7fff_ffff_u32.to_be_bytes());
    let mut attacker = RawHttp2::connect(gateway.address(), &window);
    attacker.send(&frame(kind::WINDOW_UPDATE, flag::NONE, 0, &0x7000_0000_u32.to_be_bytes())).unwrap();
    attacker.ask(1, &request("GET", "/")).unwrap();
    eventually("the response to flow", || attacker.data(1) > 1 << 20);
    let settings = frame(kind::SETTINGS, flag::NONE, 0, &[]).repeat(1000);
    // Progress saves some up; the flood is faster.
    while attacker.send(&settings).is_ok() {}
    // The frames are read one by one: a farewell in the middle of one would be lost in it.
    assert_eq!(attacker.await_end_of_all().map(|farewell| farewell.code), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn a_busy_client_is_no_flood() {
    let origin = Origin::answering(&"x".repeat(1000));
    let gateway = Gateway::to(&origin).start();
    let mut client = RawHttp2::connect(gateway.address(), &[]);
    for number in 0..3000 {
        client.ask(stream(number), &request("GET", "/")).unwrap();
        client.await_end(stream(number));
        let step = 1000_u32.to_be_bytes();
        client.send(&frame(kind::WINDOW_UPDATE, flag::NONE, 0, &step)).unwrap();
        // The ping that a client measures its way with.
        client.send(&frame(kind::PING, flag::NONE, 0, &[7; 8])).unwrap();
        // PRIORITY_UPDATE (RFC 9218), as browsers send it.
        client.send(&frame(0x10, flag::NONE, 0, &[0; 8])).unwrap();
    }
    assert_eq!(origin.received().len(), 3000);
}
