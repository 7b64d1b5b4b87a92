use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::fake::FakeServices;
use crate::plugin::PluginConfig;
use crate::testing::*;

fn state_of(text: &str) -> Vec<u8> {
    let module = crate::Module::compile(engine(), &wasm(text)).unwrap();
    let config = Arc::new(PluginConfig::default());
    let mut started = Started::start(&module, config, Rc::new(FakeServices::default())).unwrap();
    read(&mut started).unwrap()
}

fn full() -> Vec<u8> {
    state_of(&guest(&format!(
        r#"(global $a (mut i32) (i32.const -7)) (global $b (mut i64) (i64.const 9)) (global $c (mut f32) (f32.const 0.5))
           (global $d (mut f64) (f64.const -0.5)) (data (i32.const 60000) "x") {}"#,
        on_request_headers("")
    )))
}

#[test]
fn what_was_read_of_a_vm_is_read_again_from_its_bytes() {
    let bytes = full();
    let state = FrozenState::from_bytes(&bytes).unwrap();
    let globals: Vec<_> = state.globals.values().filter_map(|global| global.value()).collect();
    let has = |wanted: fn(&SnapshotVal) -> bool| globals.iter().any(wanted);
    assert!(has(|value| matches!(value, SnapshotVal::I32(-7))));
    assert!(has(|value| matches!(value, SnapshotVal::I64(9))));
    assert!(has(|value| matches!(value, SnapshotVal::F32(bits) if f32::from_bits(*bits) == 0.5)));
    assert!(has(|value| matches!(value, SnapshotVal::F64(bits) if f64::from_bits(*bits) == -0.5)));
    let memory = state.memories.values().next().unwrap();
    assert_eq!((memory.len() % 65536, memory[60000]), (0, b'x'));
    assert!(bytes.len() < memory.len() / 2, "what is zero is left out");
    assert_eq!(bytes, full(), "equal states have equal bytes");
}

#[test]
fn what_is_no_state_is_none() {
    let bytes = full();
    for end in 0..bytes.len().min(300) {
        assert!(FrozenState::from_bytes(&bytes[..end]).is_none(), "the first {end} bytes");
    }
    assert!(FrozenState::from_bytes(&bytes[..bytes.len() - 1]).is_none(), "all but one byte");
    assert!(FrozenState::from_bytes(&[&bytes[..], b"x"].concat()).is_none(), "one byte more");
    // A piece that lies outside of its memory.
    let mut outside = vec![0; 4];
    count(&mut outside, 1);
    text(&mut outside, "m");
    outside.extend(65536_u64.to_le_bytes());
    count(&mut outside, 1);
    count(&mut outside, 17);
    outside.extend(vec![1; PIECE_BYTES]);
    assert!(FrozenState::from_bytes(&outside).is_none());
}
