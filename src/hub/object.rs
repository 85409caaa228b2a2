//! The Durable Object.

use clawfront_core::hub::Input;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::Env;

use crate::hub::adopt::adopt;
use crate::hub::common::Common;
use crate::hub::serve::serve;
use crate::hub::store::{Store, Waiting};
use crate::runtime::bindings;
use crate::runtime::panic_guard::{PanicGuard, watch};

/// One for each deployment. Only the edge calls it. It is exported without the macro of `worker`,
/// whose requests, responses and errors are code for every product of the platform.
#[wasm_bindgen]
pub struct Hub {
    env: Env,
    common: Common,
    _probe: Closure<dyn FnMut()>,
}

#[wasm_bindgen(wasm_bindgen_futures = worker::wasm_bindgen_futures)]
impl Hub {
    #[wasm_bindgen(constructor)]
    pub fn new(state: &JsValue, env: Env) -> Self {
        let probe = Closure::new(|| {});
        watch(state, probe.as_ref());
        Self {
            env,
            common: Common::new(Store::new(state, &Waiting::new())),
            _probe: probe,
        }
    }

    pub async fn fetch(&self, request: web_sys::Request) -> Result<web_sys::Response, JsValue> {
        serve(request, &self.env, &self.common).await
    }

    pub fn alarm(&self) {
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
    }
}
