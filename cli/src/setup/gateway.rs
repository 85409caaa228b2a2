//! The step of setup that finds a gateway.

use clawfront_core::config::GATEWAY_URL;

use super::options::{Apply, Setup};
use super::values::Values;
use crate::address::{self, private, why_private};
use crate::ask;
use crate::connection::stream::Trust;
use crate::device::with_port;
use crate::outcome::{MISTAKES, Problem, USAGE};
use crate::pairing::refused;
use crate::socket::greet;
use crate::system::progress;

const ADDRESS_QUESTION: &str =
    "Address of the gateway, such as wss://gateway.example.com or 127.0.0.1:18789";

/// Finds a gateway that answers. After a wrong address it asks again.
pub(super) fn gateway(setup: &Setup, values: &mut Values, trust: &Trust) -> Result<(), Problem> {
    let mut given = setup.gateway.clone().or_else(|| values.get(GATEWAY_URL));
    let mut last = None;
    loop {
        let text = match (given.take(), &last) {
            (Some(text), _) => text,
            (None, None) => ask::line(&format!("{ADDRESS_QUESTION}: "))?,
            (None, Some(last)) => match ask::line(&format!("{ADDRESS_QUESTION} [{last}]: "))? {
                text if text.is_empty() => String::clone(last),
                text => text,
            },
        };
        let url = match address::complete(&text) {
            Ok(url) => url,
            Err(why) if ask::is_possible() => {
                progress(&format!("  {why}"));
                continue;
            }
            Err(why) => return Err(Problem::with(MISTAKES, format!("{GATEWAY_URL}: {why}"))),
        };
        values.set(GATEWAY_URL, &url);
        match reach(setup, values, trust, &url) {
            Ok(()) => return Ok(()),
            Err(problem) if ask::is_possible() => {
                progress(&format!("  {}", problem.message));
                last = Some(url);
            }
            Err(problem) => return Err(problem),
        }
    }
}

/// Checks that a gateway answers at this address. Asks before it pushes an address that Cloudflare
/// cannot reach.
fn reach(setup: &Setup, values: &Values, trust: &Trust, url: &str) -> Result<(), Problem> {
    let gateway = values.without_credential(url)?;
    if setup.apply == Apply::Both
        && !setup.allow_private
        && !values.settings.is_bound()
        && let Some(why) = why_private(url)
    {
        let fact = format!("{url} {why}: Cloudflare's network does not reach it");
        if !ask::is_possible() {
            return Err(private(&fact));
        }
        if ask::line(&format!(
            "  {fact}. Push it to the Worker anyway? (yes or no) "
        ))? != "yes"
        {
            return Err(Problem::with(
                USAGE,
                "the address was not confirmed. Fix: give the gateway's public address",
            ));
        }
    }
    greet(&gateway, trust)
        .map_err(|(failure, detail)| refused(&failure, &with_port(&gateway.url, detail)))?;
    progress(&format!("A gateway answers at {url}."));
    Ok(())
}
