use super::*;
use crate::module::Module;

fn module() -> Vec<u8> {
    wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
          (func (export "malloc") (param i32) (result i32) (i32.const 0))
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    )
    .unwrap()
}

#[test]
fn what_the_compiler_made_is_taken_over_by_an_engine_of_this_build() {
    let (engine, wasm) = (Engine::new().unwrap(), module());
    let (artifact, freezable) = Compiler::new().unwrap().readable(&wasm).unwrap();
    // SAFETY: the bytes are those that the compiler just returned.
    let code = unsafe { Code::load(&engine, &artifact) }.unwrap();
    let info = Module::check(&engine, &wasm).unwrap();
    let loaded = Module::from_code(&engine, info, code, freezable).unwrap();
    assert_eq!(loaded.info(), Module::compile(&engine, &wasm).unwrap().info());
}

#[test]
fn what_is_no_code_of_this_build_is_refused() {
    let (engine, wasm) = (Engine::new().unwrap(), module());
    for bytes in [&b""[..], b"no code", &wasm] {
        // SAFETY: nothing of these could be taken for compiled code: they do not even begin as an object file does.
        let outcome = unsafe { Code::load(&engine, bytes) };
        assert!(outcome.is_err(), "{bytes:?}");
    }
}

#[test]
fn only_modules_are_compiled() {
    let compiler = Compiler::new().unwrap();
    for bytes in [&b""[..], b"(module)", b"\0asm\x01\0\0\0\xff"] {
        assert!(matches!(compiler.compile(bytes), Err(LoadError::Compile { .. })), "{bytes:?}");
    }
}

#[test]
fn the_version_of_code_is_the_same_for_every_engine_of_this_build() {
    assert_eq!(Engine::new().unwrap().code_version(), Engine::new().unwrap().code_version());
}
