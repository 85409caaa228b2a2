//! The Durable Object.

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::hub::common::Common;
use crate::hub::orphans;
use crate::hub::serve::serve;
use crate::hub::store::Store;
use crate::runtime::bindings;
use crate::runtime::panic_guard::{PanicGuard, watch};

/// One for each deployment. Only the edge calls it.
#[wasm_bindgen]
pub struct Hub {
    env: JsValue,
    common: Common,
    _probe: Closure<dyn FnMut()>,
}

#[wasm_bindgen(wasm_bindgen_futures = js_sys::futures)]
impl Hub {
    /// Makes the object's memory. `state` is the platform's handle of the object.
    #[wasm_bindgen(constructor)]
    pub fn new(state: &JsValue, env: JsValue) -> Self {
        let probe = Closure::new(|| {});
        watch(state, probe.as_ref());
        Self {
            env,
            common: Common::new(Store::new(state)),
            _probe: probe,
        }
    }

    /// Serves one request of the edge.
    pub async fn fetch(&self, request: web_sys::Request) -> Result<web_sys::Response, JsValue> {
        serve(request, &self.env, &self.common).await
    }

    /// Stops the runs that the object's former self left.
    pub async fn alarm(&self) {
        let _panic_guard = PanicGuard::new("");
        // Without settings there is no gateway. A deploy that fixes them makes the object again.
        if let Ok(config) = bindings::config(&self.env) {
            orphans::stop(&config, &self.common).await;
        }
    }
}
