//! The checks for hostile guests, on bytes that are the same on every run.

use abi_kit::{cases, hostile};

/// Rounds of each check; `tests/fuzz-abi` goes on from here.
const ROUNDS: u64 = 150;

/// Bytes without a pattern, the same for the same seed (xorshift64, Marsaglia 2003).
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push((state >> 32) as u8);
    }
    bytes
}

#[test]
fn maps_are_read_whole_or_not_at_all() {
    for seed in 0..ROUNDS * 100 {
        let noise = bytes(seed, (seed % 40) as usize);
        hostile::map(&noise);
        // A map in order with one byte changed.
        let mut map = Vec::new();
        let pairs = [(&b"x-a"[..], &noise[..noise.len().min(9)]), (&b"x-b"[..], &b""[..])];
        proxy_wasm_host::pairs::encode(&mut map, pairs.iter().copied());
        hostile::map(&map);
        let at = seed as usize % map.len();
        map[at] ^= noise.first().copied().unwrap_or(1);
        hostile::map(&map);
        map.truncate(at);
        hostile::map(&map);
    }
}

#[test]
fn damaged_modules_are_refused_with_words() {
    let modules: Vec<_> =
        cases().iter().filter(|case| case.filter.is_none()).step_by(9).map(abi_kit::module).collect();
    for seed in 0..ROUNDS {
        let mut module = modules[seed as usize % modules.len()].clone();
        for change in bytes(seed + 1, 3 * (1 + seed as usize % 3)).as_chunks::<3>().0 {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % module.len();
            module[at] = change[2];
        }
        hostile::module(&module);
        module.truncate(module.len() * (seed as usize % 100) / 100);
        hostile::module(&module);
    }
}

#[test]
fn calls_with_any_arguments_do_no_harm() {
    for seed in 0..ROUNDS * 20 {
        hostile::calls(&bytes(seed, 300));
    }
}

#[test]
fn any_property_path_has_an_answer() {
    let known = [&b"request"[..], b"headers", b"x-a", b"", b"\0", b"filter_state", b"wasm.", b"plugin_name"];
    for seed in 0..ROUNDS * 10 {
        let noise = bytes(seed, 6);
        let path: Vec<_> = noise.iter().map(|byte| known[usize::from(*byte) % known.len()]).collect();
        hostile::property(&path.join(&0));
        hostile::property(&noise);
    }
    hostile::property(&[0; 2000]);
    hostile::property(&[b'a'; 2000]);
}

#[test]
fn every_check_holds_for_its_seeds() {
    for (target, check) in hostile::CHECKS {
        for (path, seed) in hostile::seeds::read(target) {
            // Shown only if the check fails.
            println!("{}", path.display());
            check(&seed);
        }
    }
}

#[test]
fn every_check_holds_for_changed_seeds() {
    for (target, check) in hostile::CHECKS {
        let seeds = hostile::seeds::read(target);
        for round in 0..ROUNDS {
            let (path, seed) = &seeds[round as usize % seeds.len()];
            let mut seed = seed.clone();
            for change in bytes(round + 1, 12).as_chunks::<4>().0 {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % (seed.len() + 1);
                let to = (at + usize::from(change[2] % 4)).min(seed.len());
                seed.splice(at..to, [change[3]]);
            }
            println!("{}, changed: {seed:?}", path.display());
            check(&seed);
        }
    }
}
