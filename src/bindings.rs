//! The Worker's bindings, read once.

use std::cell::OnceCell;
use std::rc::Rc;

use clawfront_core::config::Config;
use worker::Env;

/// The settings, or everything that is wrong with them, by name.
type Settings = Result<Rc<Config>, String>;

thread_local! {
    /// Source: the bindings of the isolate's first request. Never invalidated and never stale: a new secret, variable or deploy
    /// starts new isolates.
    static SETTINGS: OnceCell<Settings> = const { OnceCell::new() };
}

pub(crate) fn config(env: &Env) -> Settings {
    SETTINGS.with(|settings| settings.get_or_init(|| parse(env)).clone())
}

fn parse(env: &Env) -> Settings {
    Config::parse(|name| env.var(name).ok().map(|value| value.to_string()))
        .map(Rc::new)
        .map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            problems.join("; ")
        })
}
