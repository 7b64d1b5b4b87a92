use super::*;

#[test]
fn only_a_timeout_that_is_written_concerns_calls() {
    let limits = |written: &str| {
        let text = format!(
            "listeners: [{{bind: 127.0.0.1:0}}]\nroutes: [{{to: a{written}}}]\nupstreams: {{a: 127.0.0.1:1}}"
        );
        let config = gateway_config::parse_text(&text, "test.yaml", std::path::Path::new("."))
            .unwrap_or_else(|errors| panic!("{errors}"));
        (timeout(&config.routes[0], false), timeout(&config.routes[0], true))
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(limits(""), (seconds(15), None));
    assert_eq!(limits(", timeout: 15s"), (seconds(15), seconds(15)));
    assert_eq!(limits(", timeout: 0s"), (None, None));
}
