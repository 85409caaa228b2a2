//! The counters of `clawfront-core`'s `limit` at work: one set per isolate, and the platform's own counters where they are bound.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;

use clawfront_core::error::Failure;
use clawfront_core::key::Client;
use clawfront_core::limit::{Allowance, Counts, Ticket};
use futures_util::future::{Either, select};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::futures::JsFuture;
use worker::{Delay, Env};

use crate::now_ms;

thread_local! {
    /// Source: this isolate's requests. Never stale; gone with the isolate, which knows nothing of any other.
    static COUNTS: RefCell<Counts> = RefCell::new(Counts::default());
}

/// What the name of a rate-limit binding begins with; `RPM_60` counts for the keys with `rpm=60`.
const BINDING_PREFIX: &str = "RPM_";

pub(crate) fn with<T>(use_counts: impl FnOnce(&mut Counts) -> T) -> T {
    COUNTS.with_borrow_mut(use_counts)
}

/// Counts a request for a run: in this isolate, then at this location.
pub(crate) async fn request(client: &Client, env: &Env) -> Result<Option<Allowance>, Failure> {
    let allowance = with(|counts| counts.request(client, now_ms()))?;
    if let Some(limit) = client.limits.requests_per_minute
        && let Some(limiter) = limiter(env, limit)
        && !passes(&limiter, client.id.as_str()).await
    {
        return Err(with(|counts| counts.refused_elsewhere(client, now_ms())));
    }
    Ok(allowance)
}

/// How often a slot is said to be in use, in milliseconds: often enough, and not for every frame.
const TOUCH_MS: u64 = 10_000;

/// The right to one request for a run, until it is dropped.
pub(crate) struct Slot {
    ticket: Ticket,
    touched_ms: Cell<u64>,
}

impl Slot {
    pub(crate) fn take() -> Result<Self, Failure> {
        let now_ms = now_ms();
        let ticket = with(|counts| counts.enter(now_ms))?;
        Ok(Self {
            ticket,
            touched_ms: Cell::new(now_ms),
        })
    }

    /// Makes it a run of the client's.
    pub(crate) fn begin_run(&self, client: &Client) -> Result<(), Failure> {
        with(|counts| counts.begin_run(self.ticket, client, now_ms()))
    }

    /// It is still in use.
    pub(crate) fn touch(&self, now_ms: u64) {
        if now_ms >= self.touched_ms.get().saturating_add(TOUCH_MS) {
            self.touched_ms.set(now_ms);
            with(|counts| counts.hear_of(self.ticket, now_ms));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        with(|counts| counts.leave(self.ticket));
    }
}

/// The platform's counter for this many requests a minute, if the deployment has one. Not by `Env::rate_limiter`, which knows the
/// binding by its class name, and that is another one in `wrangler dev`.
fn limiter(env: &Env, limit: u32) -> Option<JsValue> {
    Reflect::get(env, &format!("{BINDING_PREFIX}{limit}").into())
        .ok()
        .filter(JsValue::is_object)
}

/// For the platform's counter to answer: it is at the same location.
const COUNTER_LIMIT: Duration = Duration::from_millis(500);

/// Whether the counter lets one more pass. One that fails, or does not answer, does: the isolate's own count has been asked.
async fn passes(limiter: &JsValue, key: &str) -> bool {
    match select(pin!(ask(limiter, key)), Delay::from(COUNTER_LIMIT)).await {
        Either::Left((answer, _)) => answer.unwrap_or(true),
        Either::Right(_) => true,
    }
}

async fn ask(limiter: &JsValue, key: &str) -> Result<bool, JsValue> {
    let limit: Function = Reflect::get(limiter, &"limit".into())?.dyn_into()?;
    let options = Object::new();
    Reflect::set(&options, &"key".into(), &key.into())?;
    let outcome = JsFuture::from(limit.call1(limiter, &options)?.dyn_into::<Promise>()?).await?;
    Ok(Reflect::get(&outcome, &"success".into())?.as_bool().unwrap_or(true))
}
