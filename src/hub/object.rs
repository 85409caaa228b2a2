//! The Durable Object.

use wasm_bindgen::closure::Closure;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::hub::books::Shared;
use crate::hub::serve::serve;
use crate::runtime::panic_guard::watch;

/// One for each deployment. Only the edge calls it.
#[durable_object(fetch)]
pub struct Hub {
    env: Env,
    books: Shared,
    _probe: Closure<dyn FnMut()>,
}

impl DurableObject for Hub {
    fn new(state: State, env: Env) -> Self {
        let probe = Closure::new(|| {});
        watch(state.as_raw(), probe.as_ref());
        Self {
            env,
            books: Shared::default(),
            _probe: probe,
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        serve(request, &self.env, &self.books).await.map(Into::into)
    }
}
