use super::*;
use crate::testing::{Host, guest, on_request_headers, wasm};

fn failure_of(text: &str) -> Failure {
    Host::start(text).request().unwrap_err().failure().unwrap().clone()
}

#[test]
fn frames_lead_to_the_instruction_in_the_file() {
    let text = guest(&format!(
        "(func $inner (nop) unreachable) (func $outer (call $inner)) {}",
        on_request_headers("(call $outer)")
    ));
    let module = wasm(&text);
    let symbols = Symbols::read(&module).unwrap();
    let stack = symbols.stack(&failure_of(&text));
    let functions: Vec<_> = stack.iter().map(|location| location.function.as_str()).collect();
    assert_eq!(&functions[..2], ["inner", "outer"]);
    const UNREACHABLE: u8 = 0x00;
    const CALL: u8 = 0x10;
    assert_eq!(module[stack[0].offset.unwrap()], UNREACHABLE);
    assert_eq!(module[stack[1].offset.unwrap()], CALL);
    assert!(!symbols.has_lines());
}

/// What rewrites a module, as tools that strip or instrument it do, moves its code section.
#[test]
fn a_module_with_another_layout_has_the_same_places() {
    let text = guest(&format!("(func $inner unreachable) {}", on_request_headers("(call $inner)")));
    let original = wasm(&text);
    // A custom section of 100 bytes after the header.
    let name = b"note";
    let padding = [&[0, 105, 4], &name[..], &[b'x'; 100]].concat();
    let moved = [&original[..8], &padding, &original[8..]].concat();
    let failure = failure_of(&text);
    let (near, far) = (
        Symbols::read(&original).unwrap().stack(&failure)[0].offset.unwrap(),
        Symbols::read(&moved).unwrap().stack(&failure)[0].offset.unwrap(),
    );
    assert_eq!(far - near, padding.len());
}

#[test]
fn names_are_as_people_wrote_them() {
    for (mangled, readable) in [
        ("_ZN9my_filter5check17h0123456789abcdefE", "my_filter::check"),
        ("_RNvCsfvW1bPQdKmZ_9my_filter5check", "my_filter::check"),
        ("_ZN8MyFilter16onRequestHeadersEjb", "MyFilter::onRequestHeaders(unsigned int, bool)"),
        ("main.(*context).OnHttpRequestHeaders", "main.(*context).OnHttpRequestHeaders"),
        ("_Z", "_Z"),
        ("evil\nname", r"evil\nname"),
    ] {
        assert_eq!(demangle(mangled), readable);
    }
    assert!(demangle(&"x".repeat(100_000)).len() <= crate::limits::FRAME_NAME_BYTES);
}

#[test]
fn functions_that_only_carry_a_panic_on_are_left_out() {
    let text = guest(&format!(
        "(func $rust_begin_unwind unreachable)
         (func $_ZN4core9panicking9panic_fmt17h0123456789abcdefE (call $rust_begin_unwind))
         (func $_ZN9my_filter5check17h0123456789abcdefE (call $_ZN4core9panicking9panic_fmt17h0123456789abcdefE))
         {}",
        on_request_headers("(call $_ZN9my_filter5check17h0123456789abcdefE)")
    ));
    let failure = failure_of(&text);
    let module = wasm(&text);
    assert_eq!(Symbols::read(&module).unwrap().stack(&failure)[0].function, "my_filter::check");
    let explained = explain(&module, &failure);
    assert!(explained.contains("\n  at my_filter::check (at 0x"), "{explained}");
}

#[test]
fn broken_names_and_debug_information_are_left_out() {
    let text = guest(&format!("(func $inner unreachable) {}", on_request_headers("(call $inner)")));
    let failure =
        Failure { frames: vec![Frame { function: 9_999, offset: 3, name: None }], ..failure_of(&text) };
    let mut module = wasm(&text);
    for name in ["name", ".debug_info", ".debug_abbrev", ".debug_line"] {
        let content = [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), &[0xFF; 40]].concat();
        module.extend([&[0, u8::try_from(content.len()).unwrap()], &content[..]].concat());
    }
    let symbols = Symbols::read(&module).unwrap();
    let stack = symbols.stack(&failure);
    assert_eq!(stack, [Location { function: "function 9999".to_owned(), source: None, offset: None }]);
    assert!(Symbols::read(b"\0asm\x01\0\0\0\x0a\x05").is_err());
}
