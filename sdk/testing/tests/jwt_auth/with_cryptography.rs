//! With the host's cryptography, as in the gateway.

use std::sync::OnceLock;

use gateway_sdk::testing::TestHost;
use gateway_sdk_testing::ModuleHost;
use jwt_auth::JwtAuth;

use super::{compiled, over};

fn host() -> TestHost {
    static COMPILED: OnceLock<ModuleHost> = OnceLock::new();
    let module = COMPILED.get_or_init(compiled);
    over(move |requests, answers| module.serve(requests, answers).expect("served until the end"))
}

#[path = "../../../../filters/jwt-auth/src/tests.rs"]
#[allow(clippy::unwrap_used, reason = "written as a test of the filter itself, where it is allowed")]
mod table;
