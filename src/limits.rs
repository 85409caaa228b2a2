//! The counters of `clawfront-core`'s `limit`: one set per isolate, and the platform's own counters
//! where they are bound.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;

use clawfront_core::access::grant::Grant;
use clawfront_core::access::limit::Counts;
use clawfront_core::access::places::Ticket;
use clawfront_core::failure::{Allowance, Failure};
use futures_util::future::{Either, select};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::futures::JsFuture;
use worker::{Delay, Env};

use crate::runtime::clock::now_ms;

thread_local! {
    /// Source: this isolate's requests. Never stale; it ends with the isolate, which knows nothing
    /// of other isolates.
    static COUNTS: RefCell<Counts> = RefCell::new(Counts::default());
}

/// The prefix of a rate-limit binding's name: `RPM_60` counts for the keys with `rpm=60`.
const BINDING_PREFIX: &str = "RPM_";

pub(crate) fn with<T>(use_counts: impl FnOnce(&mut Counts) -> T) -> T {
    COUNTS.with_borrow_mut(use_counts)
}

/// Counts a request for a run: in this isolate, then at this location.
pub(crate) async fn request(client: &Grant, env: &Env) -> Result<Option<Allowance>, Failure> {
    let allowance = with(|counts| counts.request(client, now_ms()))?;
    if let Some(limit) = client.limits.requests_per_minute
        && let Some(limiter) = limiter(env, limit)
        && !passes(&limiter, client.id.as_str()).await
    {
        return Err(with(|counts| counts.refused_elsewhere(client, now_ms())));
    }
    Ok(allowance)
}

/// Interval between two marks that a slot is in use, in milliseconds. A mark for every frame would
/// cost more than it helps.
const TOUCH_MS: u64 = 10_000;

/// The right to one request for a run, until it is dropped.
pub(crate) struct Slot {
    ticket: Ticket,
    touched_ms: Cell<u64>,
    holds_body: Cell<bool>,
}

impl Slot {
    pub(crate) fn take(client: &Grant) -> Result<Self, Failure> {
        let now_ms = now_ms();
        let ticket = with(|counts| counts.places.enter(client, now_ms))?;
        Ok(Self {
            ticket,
            touched_ms: Cell::new(now_ms),
            holds_body: Cell::new(true),
        })
    }

    /// Counts `bytes` of the request's body.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<(), Failure> {
        with(|counts| counts.places.reserve(self.ticket, bytes, now_ms()))
    }

    /// Records that the body is no longer held.
    pub(crate) fn release_body(&self) {
        if self.holds_body.replace(false) {
            with(|counts| counts.places.release_body(self.ticket));
        }
    }

    /// Records that the body was read and that the run is about to be requested.
    pub(crate) fn begin_run(&self) {
        with(|counts| counts.places.begin_run(self.ticket, now_ms()));
    }

    /// Records that the slot is still in use.
    pub(crate) fn touch(&self, now_ms: u64) {
        if now_ms >= self.touched_ms.get().saturating_add(TOUCH_MS) {
            self.touched_ms.set(now_ms);
            with(|counts| counts.places.touch(self.ticket, now_ms));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        with(|counts| counts.places.leave(self.ticket));
    }
}

/// Returns the platform's counter for this number of requests a minute, if the deployment has one.
/// `Env::rate_limiter` is not used, because it recognises the binding by its class name, which is
/// different in `wrangler dev`.
fn limiter(env: &Env, limit: u32) -> Option<JsValue> {
    Reflect::get(env, &format!("{BINDING_PREFIX}{limit}").into())
        .ok()
        .filter(JsValue::is_object)
}

/// Time limit for the platform's counter, which is at the same location.
const COUNTER_LIMIT: Duration = Duration::from_millis(500);

/// Returns true if the counter lets one more request pass. A counter that fails or does not answer
/// lets it pass, because the isolate's own count has been checked before.
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
    Ok(Reflect::get(&outcome, &"success".into())?
        .as_bool()
        .unwrap_or(true))
}
