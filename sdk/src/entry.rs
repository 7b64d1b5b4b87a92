//! The exports of a module: what `#[filter]` expands to. Decides nothing itself.
//!
//! Not the entry of the `proxy-wasm` crate: that one exports every callback of the ABI, so that hosts hand over bodies
//! which nobody reads, imports every function, and panics where a host is late with an answer.

/// Exports the callbacks of a filter: those that every module has, and the ones that are named.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ([$filter:ty] $($phase:ident)*) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static VM: $crate::__private::Vm<$filter> = const { $crate::__private::Vm::new() };
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_abi_version_0_2_1() {}

            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                $crate::__private::run_constructors();
                VM.with(|vm| vm.initialize());
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
                $crate::__private::allocate(size)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_context_create(id: u32, parent: u32) {
                VM.with(|vm| vm.on_context_create(id, parent))
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_configure(id: u32, _size: u32) -> u32 {
                VM.with(|vm| vm.on_configure(id))
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_tick(id: u32) {
                VM.with(|vm| vm.on_tick(id))
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_http_call_response(id: u32, token: u32, _headers: u32, body: usize, trailers: u32) {
                VM.with(|vm| vm.on_http_call_response(id, token, body, trailers))
            }

            /// Called by hosts that copy configured filters, once in each copy.
            #[unsafe(no_mangle)]
            extern "C" fn gateway_on_copy() {
                $crate::random::on_copy();
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_delete(id: u32) {
                VM.with(|vm| vm.on_delete(id))
            }

            $($crate::__export!(@ VM $phase);)*

            use $crate::schema::UnknownShape as _;

            const ABOUT: $crate::schema::About = $crate::schema::About {
                name: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                description: ::core::env!("CARGO_PKG_DESCRIPTION"),
                phases: &[$(::core::stringify!($phase)),*],
                config: $crate::schema::Probe::<<$filter as $crate::Filter>::Config>::SHAPE,
            };

            #[used]
            #[unsafe(link_section = "gateway.filter")]
            static SECTION: [u8; $crate::schema::length(&ABOUT)] = $crate::schema::render(&ABOUT);
        };
    };
    (@ $vm:ident request) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_headers(id: u32, _headers: u32, end_of_stream: u32) -> u32 {
            $vm.with(|vm| vm.on_request_headers(id, end_of_stream))
        }
    };
    (@ $vm:ident response) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_response_headers(id: u32, _headers: u32, end_of_stream: u32) -> u32 {
            $vm.with(|vm| vm.on_response_headers(id, end_of_stream))
        }
    };
    (@ $vm:ident request_body) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_body(id: u32, size: usize, end_of_stream: u32) -> u32 {
            $vm.with(|vm| vm.on_request_body(id, size, end_of_stream))
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_trailers(id: u32, _trailers: u32) -> u32 {
            $vm.with(|vm| vm.on_request_trailers(id))
        }
    };
    (@ $vm:ident response_body) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_response_body(id: u32, size: usize, end_of_stream: u32) -> u32 {
            $vm.with(|vm| vm.on_response_body(id, size, end_of_stream))
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_response_trailers(id: u32, _trailers: u32) -> u32 {
            $vm.with(|vm| vm.on_response_trailers(id))
        }
    };
    (@ $vm:ident log) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_log(id: u32) {
            $vm.with(|vm| vm.on_log(id))
        }
    };
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "what the host and the C library expect of a module")]
pub(crate) mod start {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }

    /// The constructors of the C library, which a reactor has to call itself.
    pub fn run_constructors() {
        // SAFETY: called once, by the host, before anything else runs.
        unsafe { __wasm_call_ctors() }
    }

    /// Memory for the host to fill; the guest frees it as a vector of this capacity.
    pub fn allocate(size: usize) -> *mut u8 {
        Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
    }
}
