use super::*;

#[test]
fn every_code_survives_the_round_trip() {
    assert_eq!(Status::from_code(0), None);
    for code in 1..=300 {
        assert_eq!(Status::from_code(code).map(Status::code), Some(code));
    }
    assert_eq!(Status::from_code(2), Some(Status::BadArgument));
    assert_eq!(Status::from_code(13), Some(Status::Other(13)));
}

#[test]
fn messages_name_the_call_and_the_code() {
    let error = HostError::new("proxy_get_property", Status::NotFound);
    assert_eq!(error.to_string(), "host call proxy_get_property failed: not found (status 1)");
    let error = Error::NotUtf8 { map: MapType::RequestHeaders, name: "x-a".into() };
    assert_eq!(
        error.to_string(),
        "the value of `x-a` in the request headers is not UTF-8; read it with `get` if bytes are acceptable"
    );
}
