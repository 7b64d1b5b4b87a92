use super::*;
use crate::host::native::{State, run};

#[test]
fn the_client_is_known_by_one_text_whatever_the_form_of_its_address() {
    let text_of = |address: Option<&str>| {
        let mut state = State::default();
        state.properties.extend(address.map(|address| (b"source\0address".to_vec(), address.into())));
        let cx = Context::new(Rc::new(Reactor::new(1)), true);
        let ((text, ip), _) = run(state, || (cx.client_ip_text(), cx.client_ip()));
        assert_eq!(text, ip.map(|ip| ip.to_canonical().to_string()), "{address:?}");
        text
    };
    for address in ["192.0.2.7:40000", "192.0.2.7", "[::ffff:192.0.2.7]:40000", "::ffff:192.0.2.7"] {
        assert_eq!(text_of(Some(address)).as_deref(), Some("192.0.2.7"), "{address}");
    }
    assert_eq!(text_of(Some("[2001:DB8::1]:443")).as_deref(), Some("2001:db8::1"));
    for none in [None, Some(""), Some(":80"), Some("unix:/run/x"), Some("envoy")] {
        assert_eq!(text_of(none), None, "{none:?}");
    }
}
