use super::*;

#[test]
fn the_demo_configuration_is_valid() {
    let text = config_text("127.0.0.1:9".parse().unwrap(), "off");
    let config = gateway_config::parse_text(&text, "demo", Path::new("/scratch")).unwrap();
    assert_eq!(config.filters.directory.as_deref(), Some(Path::new("/scratch/filters")));
    assert_eq!(config.listeners[0].bind.port(), 0);
}

#[test]
fn the_shipped_manifest_is_valid_and_knows_the_demo_key() {
    let manifest = gateway_config::parse_manifest(API_KEY.manifest, "api-key.yaml").unwrap();
    let config: serde_json::Value = serde_json::from_slice(&manifest.config).unwrap();
    assert_eq!(config["consumers"][0], json!({ "name": CONSUMER, "keys": [KEY] }));
}

#[test]
fn the_embedded_module_loads() {
    let info = proxy_wasm_host::Module::inspect(API_KEY.wasm).unwrap();
    assert_eq!(info.abi.to_string(), "0.2.1");
    // The SDK's dispatcher links the functions for gRPC and foreign calls; this filter calls none of them.
    let unexpected =
        |name: &&String| !name.starts_with("proxy_grpc_") && *name != "proxy_call_foreign_function";
    assert_eq!(info.unsupported.iter().find(unexpected), None);
}

#[test]
fn the_scratch_directory_offers_the_filter_and_installs_nothing() {
    let scratch = scratch().unwrap();
    assert_eq!(fs::read(scratch.path().join("available/api-key.wasm")).unwrap(), API_KEY.wasm);
    assert!(scratch.path().join("available/api-key.yaml").is_file());
    let in_filters: Vec<_> =
        fs::read_dir(scratch.path().join("filters")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(in_filters, ["README.txt"]);
}

#[test]
fn the_instructions_name_every_address_and_the_key() {
    let [gateway, admin, origin] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let text = instructions(&Addresses { gateway, admin, origin }, Path::new("/scratch"));
    let step_2 = text.split("\n2. ").nth(1).unwrap().split("\n3. ").next().unwrap();
    assert!(step_2.contains("wait for the line \"filter is live\""), "{step_2}");
    for expected in
        ["http://127.0.0.1:1/hello", "http://127.0.0.1:2", "http://127.0.0.1:3", "cd /scratch", KEY]
    {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
}
