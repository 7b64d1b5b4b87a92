//! Prints to standard output the module that the target `module` makes of the bytes of a file: what is kept of a finding,
//! since the seeds are replayed without the generator.

mod generated;

use std::io::Write;

fn main() {
    let path = std::env::args_os().nth(1).expect("usage: generated FILE > MODULE.wasm");
    let bytes = std::fs::read(path).expect("a readable file");
    let module = generated::module(&bytes).expect("bytes enough for a module");
    std::io::stdout().write_all(&module).expect("standard output can be written");
}
