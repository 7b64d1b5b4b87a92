//! The other side of `gateway_sdk::testing`: runs a compiled module in the gateway's own host, as a test says.
//!
//! Owns the translation between the test's protocol and the host's API. It must never decide anything: what a message, a
//! callout or a tick means is the test's.
#![forbid(unsafe_code)]

mod worker;

use std::io::{self, BufRead, Write};
use std::rc::Rc;
use std::sync::Arc;

use gateway_crypto::AwsLc;
use gateway_sdk::testing::protocol::{Answered, Op};
use proxy_wasm_host::crypto::Cryptography;
use proxy_wasm_host::fake::{FakeServices, Ticker};
use proxy_wasm_host::{Engine, EngineError, LoadError, Module, Plugin, PluginConfig, StartError};

use worker::Worker;

/// Why a test cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// This machine runs no WebAssembly.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The module is none that the gateway would load.
    #[error("the module is not usable: {0}")]
    Load(#[from] LoadError),
    /// The test is gone.
    #[error("cannot talk to the test: {0}")]
    Io(#[from] io::Error),
    /// The test speaks another version of the protocol.
    #[error("the test asks for something unknown ({0}); build both with the same version of the SDK")]
    Protocol(#[from] serde_json::Error),
}

/// A compiled module, ready to serve tests.
pub struct ModuleHost {
    module: Module,
    cryptography: bool,
    _ticker: Ticker,
}

impl ModuleHost {
    /// Compiles the module.
    ///
    /// # Errors
    /// This machine runs no WebAssembly, or the module is none that the gateway would load.
    pub fn new(module: &[u8]) -> Result<Self, ServeError> {
        let engine = Engine::new()?;
        let ticker = Ticker::start(&engine);
        Ok(Self { module: Module::compile(&engine, module)?, cryptography: true, _ticker: ticker })
    }

    /// As a host that computes no hashes and signatures for filters, such as Envoy.
    #[must_use]
    pub fn without_cryptography(mut self) -> Self {
        self.cryptography = false;
        self
    }

    /// Serves one test: one line of JSON for each thing to do, one for each answer, until the input ends.
    ///
    /// # Errors
    /// The test is gone, or speaks another version of the protocol.
    pub fn serve(&self, requests: impl BufRead, answers: impl Write) -> Result<(), ServeError> {
        if self.cryptography {
            return self.serve_with(Rc::new(AwsLc), requests, answers);
        }
        self.serve_on(Rc::new(FakeServices::default()), requests, answers)
    }

    /// The same with something else in the place of what the gateway computes hashes and signatures with.
    ///
    /// # Errors
    /// As [`ModuleHost::serve`].
    pub fn serve_with(
        &self,
        cryptography: Rc<dyn Cryptography>,
        requests: impl BufRead,
        answers: impl Write,
    ) -> Result<(), ServeError> {
        self.serve_on(Rc::new(FakeServices::with_cryptography(cryptography)), requests, answers)
    }

    fn serve_on(
        &self,
        services: Rc<FakeServices>,
        requests: impl BufRead,
        mut answers: impl Write,
    ) -> Result<(), ServeError> {
        let mut workers = Vec::new();
        for line in requests.lines() {
            let (worker, op): (usize, Op) = serde_json::from_str(&line?)?;
            let answered = match op {
                Op::Start { configuration, properties, upstreams, now_ns } => {
                    services.upstreams.borrow_mut().clone_from(&upstreams);
                    services.now_ns.set(now_ns);
                    for (path, value) in properties {
                        let path = String::from_utf8_lossy(&path).replace('\0', ".");
                        services.properties.borrow_mut().insert(path, value);
                    }
                    let config = PluginConfig {
                        name: "filter".to_owned(),
                        configuration,
                        callouts: upstreams,
                        ..PluginConfig::default()
                    };
                    start(&self.module, &services, config, &mut workers)
                }
                op => match workers.get_mut(worker) {
                    Some(worker) => worker.perform(op),
                    None => Answered::Refused { logs: Vec::new() },
                },
            };
            serde_json::to_writer(&mut answers, &answered)?;
            writeln!(answers)?;
            answers.flush()?;
        }
        Ok(())
    }
}

/// Serves one test on a module, as [`ModuleHost::serve`] does.
///
/// # Errors
/// See [`ServeError`].
pub fn serve(module: &[u8], requests: impl BufRead, answers: impl Write) -> Result<(), ServeError> {
    ModuleHost::new(module)?.serve(requests, answers)
}

fn start(
    module: &Module,
    services: &Rc<FakeServices>,
    config: PluginConfig,
    workers: &mut Vec<Worker>,
) -> Answered {
    match Plugin::start(module, Arc::new(config), services.clone()) {
        Ok(plugin) => {
            let mut worker = Worker::new(plugin, services.clone());
            let answered = worker.called(Ok(false));
            workers.push(worker);
            answered
        }
        Err(StartError::Refused { .. }) => Answered::Refused { logs: worker::take_logs(services) },
        Err(error) => {
            let mut logs = worker::take_logs(services);
            logs.push((proxy_wasm_host::LogLevel::Critical as u32, error.to_string()));
            Answered::Refused { logs }
        }
    }
}
