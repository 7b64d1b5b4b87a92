//! Names of versions, and where they are kept.

use super::*;

#[test]
fn a_version_is_named_by_its_module_and_its_manifest() {
    let bare = VersionKey { sha256: [0xab; 32], manifest: None, secrets: None };
    assert_eq!(bare.version(), "abababababab");
    let with = |text: &str| VersionKey { manifest: Some(text.into()), ..bare.clone() };
    // printf 'config: 1' | sha256sum
    assert_eq!(
        with("config: 1").version(),
        format!("abababababab-{}", &hex(&Sha256::digest("config: 1"))[..4])
    );
    assert_ne!(with("config: 1").version(), with("config: 2").version());
}

#[test]
fn each_filter_directory_has_a_place_of_its_own() {
    let of = |state: &StateDirectory, filters: &str| directory_of(state, Path::new(filters));
    assert_eq!(of(&StateDirectory::Off, "/a"), None);
    assert_eq!(of(&StateDirectory::At("/s".into()), "/a"), Some("/s/filters".into()));
    let (a, b) = (of(&StateDirectory::Default, "/a").unwrap(), of(&StateDirectory::Default, "/b").unwrap());
    assert_ne!(a, b);
    assert_eq!((a.is_absolute(), a.parent()), (true, b.parent()));
}

#[tokio::test]
async fn without_a_directory_versions_last_as_long_as_the_process() {
    let mut versions = Versions::default();
    let key = VersionKey {
        sha256: Sha256::digest(b"wasm").into(),
        manifest: Some("config: 1".into()),
        secrets: None,
    };
    versions.went_live("auth", &key, Some(b"wasm".as_slice().into()), Source::File);
    versions.save().await;
    let (wasm, found) = versions.read("auth", &key.version()).await.unwrap();
    assert_eq!((&*wasm, found), (b"wasm".as_slice(), key));
    assert_eq!(versions.read("auth", "other").await.unwrap_err(), "version other is not kept");
}

#[test]
fn a_marked_version_gives_way_until_it_is_promoted_and_a_pin_to_nothing() {
    let mut versions = Versions::default();
    assert_eq!(versions.instead_of("auth", "bad"), None);
    versions.mark("auth", "bad", "traps", Some("good"));
    assert_eq!(versions.instead_of("auth", "bad").as_deref(), Some("good"));
    assert_eq!(versions.instead_of("auth", "newer"), None);
    versions.promote("auth", "bad");
    assert_eq!((versions.instead_of("auth", "bad"), versions.is_promoted("auth", "bad")), (None, true));
    versions.pin("auth", Some("old".to_owned()));
    for file in ["bad", "newer", "old"] {
        assert_eq!(versions.instead_of("auth", file).as_deref(), Some("old"));
    }
}
