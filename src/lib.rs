//! The Worker: the only crate that names the runtime. It moves bytes; `clawfront-core` decides.
//!
//! `edge` takes a request through its steps, `relay` carries out an exchange, and `runtime` wraps
//! what the platform offers.

mod edge;
mod limits;
mod relay;
mod runtime;

use worker::{Context, Env, Request, event};

/// Serves one request.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    edge::serve(request, env, context).await
}
