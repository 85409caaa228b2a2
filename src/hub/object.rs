//! The Durable Object.

use clawfront_core::hub::Input;
use wasm_bindgen::closure::Closure;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::hub::adopt::adopt;
use crate::hub::common::Common;
use crate::hub::serve::serve;
use crate::hub::store::Store;
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
            common: Common::new(Store::new(state.as_raw())),
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
        // Without settings there is no gateway. A deploy that fixes them makes the object again.
        if let Ok(config) = bindings::config(&self.env) {
            adopt(&config, &self.common);
            self.common.store.sweep();
            self.common.link(&config).handle(Input::Tick);
        }
        Response::empty()
    }
}
