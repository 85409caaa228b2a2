//! The Worker: the only crate that names the runtime. It moves bytes; `clawfront-core` decides.
//!
//! `edge` takes a request through its first steps and hands it on. `hub` is the Durable Object that
//! answers it. `runtime` wraps what the platform offers.

mod context;
mod edge;
mod hub;
mod runtime;
mod strangers;

use std::convert::Infallible;

use worker::{Context, Env, event};

pub use crate::hub::Hub;

/// Serves one request.
#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    _: Context,
) -> Result<web_sys::Response, Infallible> {
    Ok(edge::serve(request, env).await)
}
