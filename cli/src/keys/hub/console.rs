//! `clawfront open`: opens a Worker's console in a browser.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;

use super::ADMIN_KEY;
use super::address::find_url;
use crate::outcome::{Output, Problem};
use crate::system::variable;

/// An opener that fails does so at once; one that is itself the browser goes on.
const WAIT: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Open {
    /// Address of the Worker; default: `CLAWFRONT_URL` in .dev.vars, else the running `npm start`
    #[arg(long, value_name = "URL")]
    worker: Option<String>,
}

/// Prints the address, which has no key in it: the page asks for the key.
pub(crate) fn run(open: &Open) -> Result<Output, Problem> {
    let url = format!("{}/console/", find_url(open.worker.as_deref())?);
    let note = match opener() {
        None => "No browser is opened, because there is no desktop here.\n".to_owned(),
        Some(command) => start(command, &url),
    };
    Ok(Output {
        note,
        ..Output::line(url)
    })
}

/// Returns the platform's program that opens an address, with its first arguments.
fn opener() -> Option<&'static [&'static str]> {
    if cfg!(target_os = "macos") {
        return Some(&["open"]);
    }
    if cfg!(windows) {
        return Some(&["rundll32", "url.dll,FileProtocolHandler"]);
    }
    // Without a desktop xdg-open would show the page in the terminal.
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
        .map(variable)
        .iter()
        .any(Option::is_some);
    has_desktop.then_some(&["xdg-open"])
}

/// Starts the opener, and returns a note if that failed.
fn start(command: &[&str], url: &str) -> String {
    let Some((program, arguments)) = command.split_first() else {
        return String::new();
    };
    let child = Command::new(program)
        .args(arguments)
        .arg(url)
        // No browser needs it.
        .env_remove(ADMIN_KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return format!("No browser is opened: {program}: {error}\n"),
    };
    let began = Instant::now();
    while began.elapsed() < WAIT {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return String::new(),
            Ok(Some(_)) => return format!("No browser is opened: {program} failed.\n"),
            _ => sleep(Duration::from_millis(20)),
        }
    }
    String::new()
}
