//! The proof that a pushed list is in force: a probe key is pushed with it, and tried until the
//! deployed Worker admits it.
//!
//! A revoked key itself cannot be tried, because only its hash is known here. A Worker that admits
//! the probe key has the list that lacks the revoked one. The probe key allows only `GET /v1/key`,
//! is not stored, and expires after minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clawfront_core::access::date::Date;
use clawfront_core::access::edit;
use clawfront_core::access::key::{KeyId, NewKey};
use serde::Deserialize;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::unregister;
use zeroize::Zeroizing;

use super::list::List;
use crate::connection::http::get;
use crate::connection::place::Place;
use crate::connection::stream::{Trust, connect, resolve, secure};
use crate::outcome::{Problem, USAGE};
use crate::system::{entropy, now_ms, progress, variable};

/// The variable with the deployed Worker's address. The Worker ignores it; only this command reads
/// it.
pub(crate) const WORKER_URL: &str = "CLAWFRONT_URL";

/// The beginning of the probe key's id; a random part follows.
const PROBE_ID: &str = "clawfront-probe";

/// The agent of a probe key that must not run anything. No gateway has such an agent.
const NO_AGENT: &str = "clawfront-probe";

/// Longest wait for a pushed list, in seconds. Cloudflare distributes a new version to all its
/// locations within seconds.
const TIMEOUT_S: u64 = 60;

/// The environment variable that overrides `TIMEOUT_S`, for a slow network.
const WAIT: &str = "CLAWFRONT_WAIT_S";

/// Lifetime of a probe key, in seconds: the longest wait, plus some minutes of clock difference.
const LIFETIME_S: u64 = 600;

/// Consecutive answers that must come from the new list. While a version spreads, one isolate may
/// have it and the next may not.
const IN_A_ROW: usize = 3;

/// Pause between two attempts. A Worker answers 20 unknown keys of an address in a minute before it
/// counts them; more are harmless.
const POLL: Duration = Duration::from_millis(400);

/// The address of a deployed Worker.
pub(crate) struct Deployed {
    pub(crate) url: String,
    place: Place,
    trust: Trust,
}

impl Deployed {
    pub(crate) fn parse(url: &str) -> Result<Self, Problem> {
        let url = url.trim().trim_end_matches('/');
        // People often paste the base URL of clients.
        let url = url.strip_suffix("/v1").unwrap_or(url);
        let place = Place::parse(url).ok_or_else(|| {
            Problem::with(
                USAGE,
                format!(
                    "{WORKER_URL} or --worker is not a URL that begins with https:// or http://"
                ),
            )
        })?;
        Ok(Self {
            url: url.to_owned(),
            place,
            trust: Trust::new(None)?,
        })
    }

    /// Sends `GET path` over a new connection. Returns the status and the body.
    pub(crate) fn get(&self, path: &str, key: Option<&str>) -> Result<(u16, Vec<u8>), String> {
        let broken = |broken: crate::connection::stream::Broken| broken.detail;
        let addresses = resolve(&self.place).map_err(broken)?;
        let tcp = connect(&addresses).map_err(broken)?;
        let mut stream = secure(tcp, &self.place, &self.trust).map_err(broken)?;
        let bearer = key.map(|key| Zeroizing::new(format!("Bearer {key}")));
        let mut fields = vec![("accept", "application/json")];
        fields.extend(
            bearer
                .as_ref()
                .map(|bearer| ("authorization", bearer.as_str())),
        );
        let path = format!("{}{path}", self.place.path.trim_end_matches('/'));
        let answered = get(&mut stream, &self.place, &path, &fields).map_err(broken)?;
        Ok((answered.status, answered.body))
    }
}

/// The behaviour that shows that a Worker has the pushed list.
pub(crate) enum Proof {
    /// It admits this key.
    Admits(Probe),
    /// It has no key and is closed.
    Closed,
}

/// A key that is pushed with a list for the proof.
pub(crate) struct Probe {
    pub(crate) id: KeyId,
    pub(crate) key: Zeroizing<String>,
    pub(crate) entry: String,
}

impl Probe {
    /// Makes a key that only allows `GET /v1/key`.
    pub(crate) fn new(list: &List) -> Result<Self, Problem> {
        Self::with(list, &[("agents", NO_AGENT), ("scopes", "models")])
    }

    /// Makes a key with these fields.
    pub(crate) fn with(list: &List, fields: &[(&str, &str)]) -> Result<Self, Problem> {
        let bytes: [u8; 4] = entropy()?;
        let id = format!("{PROBE_ID}-{:08x}", u32::from_le_bytes(bytes));
        let id = KeyId::parse(&id).filter(|id| list.key(id.as_str()).is_err());
        let id = id.ok_or_else(|| {
            Problem::new(
                "the list already has the id of the probe key. Fix: run \
                                           this again",
            )
        })?;
        let key = NewKey::from_entropy(&id, &entropy()?);
        let end_s = (now_ms()? / 1000).saturating_add(LIFETIME_S);
        let end = Date::from_unix_s(end_s);
        let end = end.to_string();
        let own = [
            ("expires", end.as_str()),
            ("label", "pushed by clawfront, expires by itself"),
        ];
        let entry = edit::write(&id, &key.hash, fields.iter().copied().chain(own));
        Ok(Self {
            id,
            key: key.plaintext,
            entry,
        })
    }
}

impl Proof {
    /// Waits until the Worker has the list. Returns the time it took, or the last answer of the old
    /// list. A signal to end, such as Ctrl-C, ends only the wait, because the caller still has a
    /// key to print.
    pub(crate) fn wait(&self, deployed: &Deployed) -> Result<Duration, String> {
        let began = Instant::now();
        let signals = Signals::catch();
        progress(&format!(
            "Waiting until {} has the new list …",
            deployed.url
        ));
        let wait_s = variable(WAIT)
            .and_then(|text| text.parse().ok())
            .unwrap_or(TIMEOUT_S);
        let mut in_a_row = 0_usize;
        loop {
            match self.try_once(deployed) {
                Ok(()) => {
                    in_a_row = in_a_row.saturating_add(1);
                    if in_a_row >= IN_A_ROW {
                        return Ok(began.elapsed());
                    }
                }
                Err(answer) => {
                    let is_over = began.elapsed() > Duration::from_secs(wait_s);
                    if is_over || signals.has_come() {
                        return Err(answer);
                    }
                    in_a_row = 0;
                    sleep(POLL);
                }
            }
        }
    }

    fn try_once(&self, deployed: &Deployed) -> Result<(), String> {
        match self {
            Self::Admits(probe) => {
                let (status, body) = deployed.get("/v1/key", Some(&probe.key))?;
                let shown: Shown<'_> = serde_json::from_slice(&body).unwrap_or_default();
                if status == 200 && shown.id == probe.id.as_str() {
                    return Ok(());
                }
                Err(format!("HTTP {status}"))
            }
            Self::Closed => {
                let (status, body) = deployed.get("/v1/key", None)?;
                let shown: Shown<'_> = serde_json::from_slice(&body).unwrap_or_default();
                if shown.error.code == "misconfigured" {
                    return Ok(());
                }
                Err(format!("HTTP {status}"))
            }
        }
    }
}

/// The signals that ask a command to end, kept from ending it until this value is dropped.
struct Signals {
    has_come: Arc<AtomicBool>,
    caught: Vec<SigId>,
}

impl Signals {
    fn catch() -> Self {
        let has_come = Arc::new(AtomicBool::new(false));
        let catch = |signal| flag::register(signal, Arc::clone(&has_come)).ok();
        let caught = [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter_map(catch)
            .collect();
        Self { has_come, caught }
    }

    fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Relaxed)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for caught in self.caught.drain(..) {
            unregister(caught);
        }
    }
}

/// The fields of an answer to `GET /v1/key` that are read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown<'a> {
    id: &'a str,
    #[serde(borrow)]
    error: ShownError<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ShownError<'a> {
    code: &'a str,
}
