//! Modules that are well-formed, small to write down, and costly to compile.

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
    let mut bodies = number(functions + 2);
    // proxy_on_memory_allocate and proxy_on_request_headers: `i32.const 0`, end. The marker is never called.
    let nothing = sized(&[0x00, 0x41, 0x00, 0x0B]);
    bodies.extend([&nothing[..], &nothing].concat());
    (0..functions).for_each(|_| bodies.extend_from_slice(&body));

    // Types: 0 is (i32) -> i32, 1 is (i32, i32, i32) -> i32.
    let types = [0x02, 0x60, 0x01, 0x7F, 0x01, 0x7F, 0x60, 0x03, 0x7F, 0x7F, 0x7F, 0x01, 0x7F];
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
