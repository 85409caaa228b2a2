//! The Worker's bindings, read once.

use std::cell::OnceCell;
use std::rc::Rc;

use clawfront_core::config::{BOUND, Config, GATEWAY, HUB, HUB_UNBOUND};
use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;
use worker::Env;

/// The settings, or a list of all errors in them, by name.
type Settings = Result<Rc<Config>, String>;

thread_local! {
    /// Source: the bindings of the isolate's first request. Never invalidated and never stale: a
    /// new secret, variable or deploy starts new isolates.
    static SETTINGS: OnceCell<Settings> = const { OnceCell::new() };

    /// Source, invalidation and staleness are those of the settings.
    static NETWORK: OnceCell<Option<JsValue>> = const { OnceCell::new() };
}

/// Returns the binding that leads to the gateway instead of the internet, if there is one.
pub(crate) fn network() -> Option<JsValue> {
    NETWORK.with(|network| network.get().cloned().flatten())
}

/// Returns the object whose `fetch` leads to the gateway.
pub(crate) fn network_or_internet() -> JsValue {
    network().unwrap_or_else(|| js_sys::global().into())
}

pub(crate) fn config(env: &Env) -> Settings {
    SETTINGS.with(|settings| settings.get_or_init(|| parse(env)).clone())
}

/// Returns the binding of this name if it leads to a service: another class is another binding.
fn service(env: &Env, name: &str) -> Option<JsValue> {
    let binding = Reflect::get(env, &name.into()).ok()?;
    let class = Object::try_from(&binding)?.constructor().name();
    (class == "Fetcher").then_some(binding)
}

fn parse(env: &Env) -> Settings {
    let network = NETWORK.with(|network| network.get_or_init(|| service(env, GATEWAY)).is_some());
    Config::parse(|name| {
        if name == GATEWAY && network {
            return Some(BOUND.to_owned());
        }
        Reflect::get(env, &name.into()).ok()?.as_string()
    })
    .map(Rc::new)
    .map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })
    .and_then(|config| {
        // `Env::durable_object` recognises the binding by its class name, which is different in
        // `wrangler dev`.
        let is_bound = Reflect::get(env, &HUB.into()).is_ok_and(|hub| hub.is_object());
        is_bound
            .then_some(config)
            .ok_or_else(|| HUB_UNBOUND.to_owned())
    })
}
