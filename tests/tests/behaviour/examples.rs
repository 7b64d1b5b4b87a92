//! The examples do what their READMEs say, with other ports.

use std::path::Path;

use gateway_tests::{Caller, Gateway, Http2Origin};

fn example(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).join("gateway.yaml");
    std::fs::read_to_string(file).expect("an example")
}

#[test]
fn grpc() {
    let (greeter, reports) = (Http2Origin::start(), Http2Origin::start());
    let gateway = Gateway::with(&example("grpc"))
        .set("127.0.0.1:8080", "127.0.0.1:0")
        .set("127.0.0.1:50051", greeter.address())
        .set("127.0.0.1:50052", reports.address())
        .start();
    let caller = Caller::connect(gateway.address());
    let call = |path: &str| {
        let mut call = caller.ask(path, &[("content-type", "application/grpc")]);
        let (status, headers) = call.head().unwrap();
        (status.as_u16(), headers.get("grpc-status").map(str::to_owned))
    };
    assert_eq!(call("/helloworld.Greeter/SayHello"), (200, None));
    assert_eq!(call("/helloworld.Greeter/Report"), (200, None));
    assert_eq!(call("/other.Service/Method"), (200, Some("12".into())));
    let paths = |origin: &Http2Origin| origin.heads().into_iter().map(|head| head.uri).collect::<Vec<_>>();
    assert!(paths(&greeter)[0].ends_with("/helloworld.Greeter/SayHello") && paths(&greeter).len() == 1);
    assert!(paths(&reports)[0].ends_with("/helloworld.Greeter/Report") && paths(&reports).len() == 1);
}
