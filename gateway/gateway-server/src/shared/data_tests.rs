use super::*;

const LIMITS: DataLimits = DataLimits { keys: 1_000, bytes: 64 * 1024 };

fn read(namespace: &Namespace, key: &[u8]) -> Option<(Vec<u8>, u32)> {
    let mut out = Vec::new();
    namespace.get(key, &mut out).map(|cas| (out, cas))
}

/// Reference: Proxy-Wasm shared data as observed on Envoy 1.40.
#[test]
fn cas_follows_envoy() {
    let data = SharedData::new();
    let namespace = data.namespace("a");
    assert_eq!(read(&namespace, b"k"), None);
    assert_eq!(namespace.set(b"k", b"1", 77, LIMITS), Ok(None), "a new key takes any cas");
    let (_, first) = read(&namespace, b"k").expect("stored");
    assert_ne!(first, 0);
    let mismatch = Err(SetError::CasMismatch { expected: first + 1, found: first });
    assert_eq!(namespace.set(b"k", b"2", first + 1, LIMITS), mismatch);
    assert_eq!(read(&namespace, b"k"), Some((b"1".to_vec(), first)), "nothing changed");
    assert_eq!(namespace.set(b"k", b"2", first, LIMITS), Ok(None));
    let (value, second) = read(&namespace, b"k").expect("stored");
    assert_eq!(value, b"2");
    assert!(second > first);
    assert_eq!(namespace.set(b"k", b"3", 0, LIMITS), Ok(None), "0 is unconditional");
    assert_eq!(namespace.set(b"empty", b"", 0, LIMITS), Ok(None));
    assert_eq!(read(&namespace, b"empty").map(|(value, _)| value), Some(Vec::new()), "empty is not missing");
}

#[test]
fn get_appends() {
    let data = SharedData::new();
    let namespace = data.namespace("a");
    namespace.set(b"k", b"value", 0, LIMITS).expect("set");
    let mut out = b"kept ".to_vec();
    assert!(namespace.get(b"k", &mut out).is_some());
    assert_eq!(out, b"kept value");
    assert_eq!(namespace.get(b"none", &mut out), None);
    assert_eq!(out, b"kept value");
}

#[test]
fn versions_are_shared_by_namespaces_but_values_are_not() {
    let data = SharedData::new();
    let (a, b) = (data.namespace("a"), data.namespace(b"b"));
    a.set(b"k", b"a", 0, LIMITS).expect("set");
    b.set(b"k", b"b", 0, LIMITS).expect("set");
    let (in_a, in_b) = (read(&a, b"k").expect("a"), read(&b, b"k").expect("b"));
    assert_eq!((in_a.0, in_b.0), (b"a".to_vec(), b"b".to_vec()));
    assert!(in_b.1 > in_a.1);
    assert_eq!(read(&data.namespace("a"), b"k"), read(&a, b"k"), "the same namespace again");
}

#[test]
fn a_namespace_lasts_as_long_as_it_is_held() {
    let data = SharedData::new();
    let old = data.namespace("a");
    old.set(b"k", b"v", 0, LIMITS).expect("set");
    let new = data.namespace("a");
    drop(old);
    assert!(read(&new, b"k").is_some(), "the next version of a filter finds the data");
    drop(new);
    assert_eq!(read(&data.namespace("a"), b"k"), None);
    let _other = data.namespace("b");
    assert_eq!(lock(&data.namespaces).len(), 1, "dead namespaces are forgotten");
}

#[test]
fn versions_skip_zero_when_they_wrap() {
    let versions = Versions(AtomicU32::new(u32::MAX - 1));
    assert_eq!((versions.next(), versions.next()), (u32::MAX, 1));
}

#[test]
fn a_value_larger_than_the_namespace_is_refused() {
    let data = SharedData::new();
    let namespace = data.namespace("a");
    namespace.set(b"k", b"v", 0, LIMITS).expect("set");
    let huge = vec![0; LIMITS.bytes];
    let refused = SetError::TooLarge { size: LIMITS.bytes + 1, scarce: Scarce::Bytes };
    assert_eq!(namespace.set(b"k", &huge, 0, LIMITS), Err(refused));
    assert!(read(&namespace, b"k").is_some());
    assert_eq!(namespace.set(b"", &huge, 0, LIMITS), Ok(Some(Scarce::Bytes)), "exactly the limit fits");
    assert_eq!(read(&namespace, b"k"), None, "and takes all the room");
}

#[test]
fn who_stores_a_value_decides_how_much_there_may_be() {
    let data = SharedData::new();
    let namespace = data.namespace("a");
    for n in 0..10 {
        assert_eq!(namespace.set(n.to_string().as_bytes(), b"", 0, LIMITS), Ok(None));
    }
    let few = DataLimits { keys: 3, ..LIMITS };
    assert_eq!(namespace.set(b"9", b"new", 0, few), Ok(Some(Scarce::Keys)));
    let left: Vec<_> = (0..10).filter(|n| read(&namespace, n.to_string().as_bytes()).is_some()).collect();
    assert_eq!(left, [7, 8, 9]);
    let none = DataLimits { keys: 0, ..LIMITS };
    let refused = SetError::TooLarge { size: 4, scarce: Scarce::Keys };
    assert_eq!(namespace.set(b"9", b"new", 0, none), Err(refused));
}

#[test]
fn beyond_the_limit_of_keys_the_least_recently_used_goes() {
    let data = SharedData::new();
    let namespace = data.namespace("a");
    for n in 0..LIMITS.keys {
        namespace.set(n.to_string().as_bytes(), b"", 0, LIMITS).expect("set");
    }
    assert!(read(&namespace, b"0").is_some());
    assert_eq!(namespace.set(b"one more", b"", 0, LIMITS), Ok(Some(Scarce::Keys)));
    assert!(read(&namespace, b"0").is_some(), "it was used a moment ago");
    assert!(read(&namespace, b"1").is_none(), "it was not");
    assert!(read(&namespace, b"2").is_some());
}

#[test]
fn the_lru_agrees_with_a_simple_model() {
    let (max_keys, max_bytes) = (8, 40);
    let mut lru = Lru::new(max_keys, max_bytes);
    // The model: newest last.
    let mut model: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut random = 0x2545_f491_u32;
    for step in 0..20_000_u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (key, size, write) = ((random >> 8) as u8 % 16, (random >> 16) as usize % 45, random >> 31 == 0);
        let found = model.iter().position(|(name, _)| *name == key);
        if write {
            let fits = size < max_bytes;
            let outcome = lru.insert(&[key], &vec![key; size], step);
            assert_eq!(outcome.is_ok(), fits);
            if fits {
                found.map(|at| model.remove(at));
                let bytes = |model: &Vec<(u8, Vec<u8>)>| {
                    model.iter().map(|(_, value)| 1 + value.len()).sum::<usize>()
                };
                while model.len() >= max_keys || bytes(&model) + 1 + size > max_bytes {
                    model.remove(0);
                }
                model.push((key, vec![key; size]));
                assert_eq!(lru.bytes(), bytes(&model));
            }
        } else {
            let value = lru.get(&[key]).map(|entry| entry.value.clone());
            assert_eq!(value, found.map(|at| model[at].1.clone()), "step {step}");
            if let Some(at) = found {
                let entry = model.remove(at);
                model.push(entry);
            }
        }
    }
}
