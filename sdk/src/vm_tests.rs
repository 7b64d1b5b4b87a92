use std::cell::Cell;

use super::*;
use crate::context::Context;
use crate::error::Result;
use crate::host::native::{State, run};

thread_local! {
    static ALIVE: Cell<usize> = const { Cell::new(0) };
}

struct Counted;

impl Filter for Counted {
    type Config = crate::NoConfig;

    async fn init(_: Self::Config, _: &Context) -> Result<Self> {
        ALIVE.set(ALIVE.get() + 1);
        Ok(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

#[test]
fn a_filter_goes_with_its_context_though_streams_are_kept() {
    run(State::default(), || {
        let vm = Vm::<Counted>::new();
        vm.on_context_create(1, 0);
        assert_eq!(vm.on_configure(1), 1);
        vm.on_context_create(2, 1);
        vm.on_delete(2);
        assert_eq!((ALIVE.get(), vm.spare.borrow().len()), (1, 1));
        vm.on_delete(1);
        assert_eq!((ALIVE.get(), vm.spare.borrow().len()), (0, 0));
    });
}
