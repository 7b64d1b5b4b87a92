//! Modules that are well-formed, small to write down, and costly to compile, or to do something else with.

use crate::wasm;

/// A filter of some 30 MB that is costly to validate: branches to so many places, each of which takes a thousand values.
#[must_use]
pub fn branches() -> Vec<u8> {
    const FUNCTIONS: usize = 4;
    const RESULTS: usize = 1_000;
    /// Almost all that a function may have.
    const BRANCHES: usize = 7_500_000;
    // No locals; a block of type 2: unreachable, `i32.const 0`, a table of branches out of the block; end, return, end.
    let mut code = vec![0x00, 0x02, 0x02, 0x00, 0x41, 0x00, 0x0E];
    code.extend(number(BRANCHES));
    code.extend(vec![0x00; BRANCHES + 1]);
    code.extend([0x0B, 0x0F, 0x0B]);
    let block = [vec![0x60, 0x00], number(RESULTS), vec![0x7F; RESULTS]].concat();
    module(&block, &sized(&code), FUNCTIONS)
}

/// A filter that leaves its memory in as many pieces as there can be when it was configured: an image of it has a segment for
/// each.
#[must_use]
pub fn scattered() -> Vec<u8> {
    const PAGES: u32 = 1_600;
    let parts = format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_configure") (param i32 i32) (result i32) (local $at i32)
             (drop (memory.grow (i32.const {PAGES})))
             (local.set $at (i32.const 65536))
             (loop $on
               (i32.store8 (local.get $at) (i32.const 1))
               (local.set $at (i32.add (local.get $at) (i32.const 6)))
               (br_if $on (i32.lt_u (local.get $at) (i32.const {}))))
             (i32.const 1))"#,
        PAGES * 65_536
    );
    wasm::small("", &parts)
}

/// A filter with `functions` functions besides, each with `operations` additions, of 5 bytes each.
#[must_use]
pub fn additions(functions: usize, operations: usize) -> Vec<u8> {
    let body = {
        // No locals; local.get 0, then so many of `i32.const`, `i32.add`, `local.tee 0`; end.
        let mut code = vec![0x00, 0x20, 0x00];
        for number in 0..operations {
            code.extend([0x41, (number % 64) as u8, 0x6A, 0x22, 0x00]);
        }
        code.push(0x0B);
        sized(&code)
    };
    module(&[], &body, functions)
}

/// A filter with so many functions of this body besides, and another type for blocks.
fn module(block: &[u8], body: &[u8], functions: usize) -> Vec<u8> {
    let mut bodies = number(functions + 2);
    // proxy_on_memory_allocate and proxy_on_request_headers: `i32.const 0`, end. The marker is never called.
    let nothing = sized(&[0x00, 0x41, 0x00, 0x0B]);
    bodies.extend([&nothing[..], &nothing].concat());
    (0..functions).for_each(|_| bodies.extend_from_slice(body));

    // Types: 0 is (i32) -> i32, 1 is (i32, i32, i32) -> i32.
    let count = if block.is_empty() { 2 } else { 3 };
    let called = [count, 0x60, 0x01, 0x7F, 0x01, 0x7F, 0x60, 0x03, 0x7F, 0x7F, 0x7F, 0x01, 0x7F];
    let types = [&called[..], block].concat();
    let mut functions_of = number(functions + 2);
    functions_of.extend([0x00, 0x01]);
    functions_of.extend(vec![0x00; functions]);
    let memory = [0x01, 0x00, 0x01];
    let mut exports = number(4);
    let mut export = |name: &str, kind: u8, index: u8| {
        exports.extend(sized(name.as_bytes()));
        exports.extend([kind, index]);
    };
    export("memory", 0x02, 0);
    export("proxy_on_memory_allocate", 0x00, 0);
    export("proxy_on_request_headers", 0x00, 1);
    export("proxy_abi_version_0_2_1", 0x00, 0);

    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let sections: [(u8, &[u8]); 5] =
        [(1, &types), (3, &functions_of), (5, &memory), (7, &exports), (10, &bodies)];
    for (id, content) in sections {
        module.push(id);
        module.extend(sized(content));
    }
    module
}

/// Behind its length.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len()), bytes.to_vec()].concat()
}

/// Unsigned LEB128.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}
