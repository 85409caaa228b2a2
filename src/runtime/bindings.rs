//! The Worker's bindings, read once.

use std::cell::OnceCell;
use std::rc::Rc;

use clawfront_core::config::{BOUND, Config, GATEWAY, HUB, HUB_UNBOUND};
use js_sys::{Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};

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

pub(crate) fn config(env: &JsValue) -> Settings {
    SETTINGS.with(|settings| settings.get_or_init(|| parse(env)).clone())
}

fn parse(env: &JsValue) -> Settings {
    let binding = |name: &str| Reflect::get(env, &name.into()).unwrap_or_default();
    let network = NETWORK.with(|network| {
        let is_set = network.get_or_init(|| Some(binding(GATEWAY)).filter(is_service));
        is_set.is_some()
    });
    Config::parse(|name| {
        if name == GATEWAY && network {
            return Some(BOUND.to_owned());
        }
        binding(name).as_string()
    })
    .map(Rc::new)
    .map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })
    .and_then(|config| {
        // Its class has another name in `wrangler dev`, so any object counts.
        binding(HUB)
            .is_object()
            .then_some(config)
            .ok_or_else(|| HUB_UNBOUND.to_owned())
    })
}

/// Returns true if requests can be sent to the binding: a service or a VPC service.
fn is_service(binding: &JsValue) -> bool {
    let object = binding.dyn_ref::<Object>();
    object.is_some_and(|object| object.constructor().name() == "Fetcher")
}
