//! The commands that messages name: they have other names in a checkout than with the npm package,
//! which sets a variable.

use std::env;

/// The npm package sets this variable when it runs the program.
const PACKAGE: &str = "CLAWFRONT_PACKAGE";

/// The way in which this program was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Invocation {
    Checkout,
    Package,
}

impl Invocation {
    pub(crate) fn current() -> Self {
        match env::var_os(PACKAGE) {
            Some(value) if !value.is_empty() => Self::Package,
            _ => Self::Checkout,
        }
    }

    /// Returns the command that runs wrangler.
    pub(crate) fn wrangler(self) -> &'static str {
        match self {
            Self::Checkout => "npm run wrangler --",
            Self::Package => "npx wrangler",
        }
    }

    /// Returns the command that deploys.
    pub(crate) fn deploy(self) -> &'static str {
        match self {
            Self::Checkout => "npm run deploy",
            Self::Package => "npx clawfront deploy",
        }
    }

    /// Returns the command that serves the settings of a file on this machine.
    pub(crate) fn serve(self) -> &'static str {
        match self {
            Self::Checkout => "npm start",
            Self::Package => "npx clawfront serve",
        }
    }
}
