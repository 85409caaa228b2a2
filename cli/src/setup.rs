//! `clawfront setup`: from nothing to a Worker that reaches its gateway. What was done is kept in the file at each step, so a run that was
//! interrupted goes on where it stopped, and one that was not changes nothing.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use clawfront_core::config::{
    CLIENT_KEYS, Config, DEVICE_KEY, DEVICE_TOKEN, GATEWAY_PASSWORD, GATEWAY_TOKEN, GATEWAY_URL, Gateway,
};
use clawfront_core::error::Failure;
use clawfront_core::gateway::diagnosis::Diagnosis;
use clawfront_core::gateway::pairing::{Pairing, Step};
use clawfront_core::secret::Secret;
use tungstenite::Message;
use zeroize::Zeroizing;

use crate::connection::Trust;
use crate::device::{MAX_FRAMES, new_key, variable};
use crate::doctor::gateway::{Received, open, read};
use crate::doctor::{self, Scope};
use crate::keys::{self, wrangler};
use crate::settings::{Settings, Source};
use crate::{MISTAKES, NOT_APPROVED, Output, Problem, USAGE};

/// For the handshake.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Between two looks whether the device was approved.
const POLL: Duration = Duration::from_secs(3);

/// Stands in for the client keys while there are none: settings are read as a whole.
const NO_KEY: &str = "none sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab agents=*";

pub(crate) const AFTER_HELP: &str = concat!(
    "Asks on a terminal for what no option says. The gateway's shared secret is read from GATEWAY_TOKEN or GATEWAY_PASSWORD, never
from an option; with --credential=device it is used once, to pair, and kept nowhere.

Examples:
  clawfront setup
  GATEWAY_TOKEN=$(pass show openclaw) clawfront setup --gateway wss://gateway.example.com --key phone --agents main

",
    crate::exit_codes!()
);

#[derive(Args)]
pub(crate) struct Setup {
    /// Address of the gateway, such as `wss://gateway.example.com`
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// What the Worker shows to the gateway beside its device
    #[arg(long, value_name = "KIND", default_value = "device")]
    credential: Kind,
    /// Public name of the first client key
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Agents that the first client key may reach, with commas between them, or *
    #[arg(long)]
    agents: Option<String>,
    /// Seconds to wait for the device's approval; a request for it lives five minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
    /// Where the settings go: the file alone, which is where this command goes on after an interruption, or the deployed Worker too
    #[arg(long, value_name = "WHERE", default_value = "file")]
    apply: Apply,
    /// Name of the Worker, where it is not the configuration's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The device's own token, which can be revoked alone
    Device,
    /// The gateway's shared token
    Token,
    /// The gateway's shared password
    Password,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Apply {
    File,
    #[value(alias = "worker")]
    Both,
}

pub(crate) fn run(setup: &Setup) -> Result<Output, Problem> {
    let trust = Trust::new(setup.scope.ca.as_deref())?;
    let mut values = Values {
        settings: Settings::read(&setup.source)?,
        own: BTreeMap::new(),
    };
    let answers = answers(setup, &values)?;
    values.set(GATEWAY_URL, &answers.url);
    if values.get(DEVICE_KEY).is_none() {
        values.set(DEVICE_KEY, new_key()?.encode().as_str());
    }
    // Before anything is kept: what is wrong with an address is said at once.
    let shown = values.gateway(Some(&Shared::none()))?;
    values.keep(setup, &[GATEWAY_URL, DEVICE_KEY])?;
    say(&format!(
        "Kept in {}: GATEWAY_URL, DEVICE_KEY",
        setup.source.file.display()
    ));
    credential(setup, &mut values, answers.shared, &shown, &trust)?;
    let mut text = String::new();
    if let Some((id, agents)) = &answers.key {
        let key = keys::add(&setup.source.file, id, agents)?;
        text = format!("Key of {id}, for the client, shown only here:\n  {}\n\n", key.as_str());
    }
    let pushed = push(setup, &values);
    let mut report = doctor::examine(&setup.source, &setup.scope)?;
    let mut output = Output::of(text + &report.text());
    output.code = report.code();
    // The key above is kept already; it must be seen whatever becomes of the Worker.
    match pushed {
        Ok(note) => output.note = note,
        Err(problem) => {
            output.note = format!("clawfront: {}\n", problem.message);
            output.code = problem.code;
        }
    }
    Ok(output)
}

fn push(setup: &Setup, values: &Values) -> Result<String, Problem> {
    if setup.apply == Apply::File {
        return Ok(String::new());
    }
    let names = [GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN, GATEWAY_TOKEN, GATEWAY_PASSWORD];
    let settings: Vec<_> = names
        .into_iter()
        .filter_map(|name| Some((name, values.get(name)?)))
        .collect();
    let options = wrangler::Options {
        name: setup.name.clone(),
        env: setup.source.env.clone(),
        config: setup.source.config.exists().then(|| setup.source.config.clone()),
    };
    let set = keys::push_with(&setup.source.file, &settings, &options)?;
    Ok(format!("The Worker's secrets: {} set.\n", set.join(", ")))
}

/// What the operator said, by option, by environment, in an earlier run, or when asked.
struct Answers {
    url: String,
    shared: Option<Shared>,
    /// Where there is no client key yet: id and agents.
    key: Option<(String, String)>,
}

/// The gateway's shared secret.
struct Shared {
    name: &'static str,
    secret: Secret,
}

impl Shared {
    /// In the place of one, where settings are read and none is needed.
    fn none() -> Self {
        Self {
            name: GATEWAY_TOKEN,
            secret: Secret::new("none".to_owned()),
        }
    }
}

fn answers(setup: &Setup, values: &Values) -> Result<Answers, Problem> {
    let mut missing = Vec::new();
    let mut ask = |given: Option<String>, question: &str, option: &'static str| -> Result<String, Problem> {
        match given {
            Some(answer) => Ok(answer),
            None if std::io::stdin().is_terminal() => prompt(question),
            None => {
                missing.push(option);
                Ok(String::new())
            }
        }
    };
    let url = setup.gateway.clone().or_else(|| values.get(GATEWAY_URL));
    let url = ask(url, "Address of the gateway (wss://…): ", "--gateway")?;
    let key = if keys::has_keys(&setup.source.file)? {
        None
    } else {
        Some((
            ask(
                setup.key.clone(),
                "Name of the first client key (such as phone): ",
                "--key",
            )?,
            ask(
                setup.agents.clone(),
                "Agents that it may reach (such as main, or *): ",
                "--agents",
            )?,
        ))
    };
    let names: &[&'static str] = match setup.credential {
        Kind::Device => &[GATEWAY_TOKEN, GATEWAY_PASSWORD],
        Kind::Token => &[GATEWAY_TOKEN],
        Kind::Password => &[GATEWAY_PASSWORD],
    };
    let found = names.iter().find_map(|name| {
        let secret = variable(name).or_else(|| values.get(name))?;
        Some(Shared {
            name,
            secret: Secret::new(secret),
        })
    });
    let has_token = setup.credential == Kind::Device && values.get(DEVICE_TOKEN).is_some();
    let shared = match (found, names.first()) {
        (None, Some(name)) if !has_token => {
            if std::io::stdin().is_terminal() {
                let secret = rpassword::prompt_password("The gateway's shared secret (not shown): ")
                    .map_err(|error| Problem::new(format!("the secret cannot be read: {error}")))?;
                Some(Shared {
                    name,
                    secret: Secret::new(secret.trim().to_owned()),
                })
            } else {
                missing.push(name);
                None
            }
        }
        (found, _) => found,
    };
    if missing.is_empty() {
        return Ok(Answers { url, shared, key });
    }
    Err(Problem::with(
        USAGE,
        format!(
            "without a terminal nothing can be asked; missing are {}",
            missing.join(", ")
        ),
    ))
}

/// Sees that the gateway takes the Worker, and keeps by what.
fn credential(
    setup: &Setup,
    values: &mut Values,
    shared: Option<Shared>,
    shown: &Gateway,
    trust: &Trust,
) -> Result<(), Problem> {
    if setup.credential == Kind::Device && values.get(DEVICE_TOKEN).is_some() {
        let gateway = values.gateway(None)?;
        match shake_hands(&gateway, trust) {
            Ok(_) => {
                say("The device is paired, and its token is good.");
                return Ok(());
            }
            Err((failure, _)) if is_stale(&failure) => say("The device's token is good no more; pairing it again."),
            Err((failure, detail)) => return Err(refused(&failure, &detail)),
        }
    }
    let shared = shared.ok_or_else(|| {
        Problem::with(
            USAGE,
            "to pair the device again, set GATEWAY_TOKEN or GATEWAY_PASSWORD to the gateway's shared secret",
        )
    })?;
    let gateway = values.gateway(Some(&shared))?;
    let token = pair(&gateway, trust, Duration::from_secs(setup.wait))?;
    match (setup.credential, token) {
        (Kind::Device, Some(token)) => {
            values.set(DEVICE_TOKEN, token.expose());
            values.keep(setup, &[DEVICE_TOKEN])?;
            say("The device is paired; kept: DEVICE_TOKEN");
            if values.settings.get(shared.name).is_some() {
                say(&format!(
                    "{} is of no use any more: take it out of {}.",
                    shared.name,
                    setup.source.file.display()
                ));
            }
            Ok(())
        }
        (Kind::Device, None) => Err(Problem::new(format!(
            "{} gave the device no token: remove it there (openclaw devices remove), and run this again",
            shown.url
        ))),
        (Kind::Token | Kind::Password, _) => {
            values.set(shared.name, shared.secret.expose());
            values.keep(setup, &[shared.name])
        }
    }
}

/// Whether a device has to be paired again to get another token.
fn is_stale(failure: &Failure) -> bool {
    matches!(
        failure.diagnosis(),
        Some(Diagnosis::DeviceToken | Diagnosis::DeviceRemoved | Diagnosis::ScopeMissing)
    ) || needs_approval(failure)
}

fn needs_approval(failure: &Failure) -> bool {
    matches!(
        failure.diagnosis(),
        Some(Diagnosis::Unpaired | Diagnosis::ScopeUpgrade | Diagnosis::MetadataUpgrade)
    )
}

/// Waits for the operator's approval, and for no longer than that.
fn pair(gateway: &Gateway, trust: &Trust, wait: Duration) -> Result<Option<Secret>, Problem> {
    let until = Instant::now().checked_add(wait);
    let mut told = String::new();
    loop {
        let (failure, detail) = match shake_hands(gateway, trust) {
            Ok(token) => return Ok(token),
            Err(failed) => failed,
        };
        let is_waiting = needs_approval(&failure);
        if !is_waiting && !failure.diagnosis().is_some_and(Diagnosis::is_passing) {
            return Err(refused(&failure, &detail));
        }
        let words = refused(&failure, &detail).message;
        if words != told {
            say(&words);
            told = words;
        }
        if until.is_none_or(|until| Instant::now().checked_add(POLL).is_none_or(|next| next > until)) {
            return Err(Problem::with(
                if is_waiting { NOT_APPROVED } else { crate::FAILED },
                format!(
                    "gave up after {} s; run this again, it goes on from here",
                    wait.as_secs()
                ),
            ));
        }
        sleep(POLL);
    }
}

fn refused(failure: &Failure, detail: &str) -> Problem {
    let cause = failure.cause();
    let (code, hint) = cause.map_or_else(Default::default, |cause| (cause.code, cause.hint));
    let said = if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    };
    let code_of_exit = if needs_approval(failure) {
        NOT_APPROVED
    } else {
        crate::FAILED
    };
    Problem::with(code_of_exit, format!("{code}{said}: {hint}"))
}

/// One connection, as the command line; the token that the gateway gives the device.
fn shake_hands(gateway: &Gateway, trust: &Trust) -> Result<Option<Secret>, (Failure, String)> {
    let mut socket = open(gateway, trust)?;
    let mut pairing = Pairing::default();
    let until = Instant::now().checked_add(TIMEOUT);
    let mut outcome = Err(Failure::Protocol("the gateway did not say hello"));
    for _ in 0..MAX_FRAMES {
        let step = match read(&mut socket, until) {
            Received::Frame(frame) => pairing.receive(&frame, &gateway.credential),
            Received::Closed(code) => Err(pairing.closed(code)),
            Received::Nothing => Err(Failure::TimedOut(clawfront_core::error::Deadline::Handshake)),
        };
        match step {
            Ok(Step::Wait) => {}
            Ok(Step::Send(frame)) => {
                // One that cannot be sent is followed by the socket's end.
                let _ = socket.send(Message::text(frame));
            }
            Ok(Step::Paired { device_token }) => {
                outcome = Ok(device_token);
                break;
            }
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    // A gateway that does not say goodbye changes nothing.
    let _ = socket.close(None).and_then(|()| socket.flush());
    outcome.map_err(|failure| (failure, String::new()))
}

/// The settings as they are, and what this run knows beyond.
struct Values {
    settings: Settings,
    own: BTreeMap<&'static str, Zeroizing<String>>,
}

impl Values {
    fn get(&self, name: &str) -> Option<String> {
        let own = self.own.get(name).map(|value| value.to_string());
        own.or_else(|| self.settings.get(name))
            .filter(|value| !value.trim().is_empty())
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.own.insert(name, Zeroizing::new(value.to_owned()));
    }

    /// What is written is read by the next run.
    fn keep(&self, setup: &Setup, names: &[&'static str]) -> Result<(), Problem> {
        let new: Vec<_> = names
            .iter()
            .filter_map(|name| Some((*name, self.own.get(name)?.as_str())))
            .filter(|(name, value)| self.settings.get(name).as_deref() != Some(value))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        keys::set_variables(&setup.source.file, &new)
    }

    /// The gateway, with the shared secret in the place of the device's token, where one is given.
    fn gateway(&self, shared: Option<&Shared>) -> Result<Gateway, Problem> {
        let get = |name: &str| match (name, shared) {
            (CLIENT_KEYS, _) => Some(NO_KEY.to_owned()),
            (DEVICE_TOKEN | GATEWAY_TOKEN | GATEWAY_PASSWORD, Some(shared)) => {
                (shared.name == name).then(|| shared.secret.expose().to_owned())
            }
            (name, _) if name.starts_with(CLIENT_KEYS) => None,
            (name, _) => self.get(name),
        };
        Config::parse(get).map(|config| config.gateway).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Problem::with(MISTAKES, problems.join("\n"))
        })
    }
}

fn prompt(question: &str) -> Result<String, Problem> {
    let failed = |error: std::io::Error| Problem::new(format!("no answer can be read: {error}"));
    let mut stderr = std::io::stderr();
    stderr
        .write_all(question.as_bytes())
        .and_then(|()| stderr.flush())
        .map_err(failed)?;
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).map_err(failed)? == 0 {
        return Err(Problem::with(USAGE, "no answer"));
    }
    Ok(line.trim().to_owned())
}

/// While it goes on: the end of all may be minutes away.
fn say(words: &str) {
    // Nowhere is left to say it if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{words}");
}
