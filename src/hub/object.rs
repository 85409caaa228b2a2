//! The Durable Object.

use clawfront_core::hub::Input;
use wasm_bindgen::closure::Closure;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::hub::adopt::adopt;
use crate::hub::common::Common;
use crate::hub::serve::serve;
use crate::hub::store::{Store, Waiting};
use crate::runtime::bindings;
use crate::runtime::panic_guard::{PanicGuard, watch};

/// One for each deployment. Only the edge calls it.
#[durable_object(alarm)]
pub struct Hub {
    env: Env,
    common: Common,
    _probe: Closure<dyn FnMut()>,
}

impl DurableObject for Hub {
    fn new(state: State, env: Env) -> Self {
        let probe = Closure::new(|| {});
        watch(state.as_raw(), probe.as_ref());
        Self {
            env,
            common: Common::new(Store::new(state.as_raw(), &Waiting::new())),
            _probe: probe,
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        serve(request, &self.env, &self.common)
            .await
            .map(Into::into)
    }

    async fn alarm(&self) -> worker::Result<Response> {
        let _panic_guard = PanicGuard::new("");
        let config = bindings::config(&self.env);
        match &config {
            Ok(config) => adopt(config, &self.common),
            // There is no gateway. A deploy that fixes the settings makes the object again, and
            // its alarm must come then: so the runs are read, and no more.
            Err(_) => drop(self.common.store.runs()),
        }
        self.common.store.sweep();
        if let Ok(config) = &config {
            self.common.link(config).handle(Input::Tick);
        }
        Response::empty()
    }
}
