//! Every binding, parsed once into types. All problems are reported together, by name and never
//! with a value; any problem keeps the Worker closed.

use core::net::IpAddr;
use std::fmt;

use crate::access::admit::Grants;
use crate::access::origin::Origin;
use crate::access::places::MAX_PLACES;
use crate::access::proof::KeysSecret;
use crate::gateway::credential::{Auth, Credential};
use crate::gateway::device::DeviceKey;
use crate::gateway::endpoint::Identity;
use crate::gateway::upgrade::{
    ACCESS_ID_HEADER, ACCESS_SECRET_HEADER, Headers, header_name, header_value, parse_headers,
};
use crate::log_key::LogKey;
use crate::openai::models::Aliases;
use crate::secret::Secret;

pub const GATEWAY_URL: &str = "GATEWAY_URL";
pub const GATEWAY_TOKEN: &str = "GATEWAY_TOKEN";
pub const GATEWAY_PASSWORD: &str = "GATEWAY_PASSWORD";
pub const DEVICE_KEY: &str = "DEVICE_KEY";
pub const DEVICE_TOKEN: &str = "DEVICE_TOKEN";
pub const ACCESS_CLIENT_ID: &str = "ACCESS_CLIENT_ID";
pub const ACCESS_CLIENT_SECRET: &str = "ACCESS_CLIENT_SECRET";
pub const GATEWAY_HEADERS: &str = "GATEWAY_HEADERS";
pub const GATEWAY_SCOPES: &str = "GATEWAY_SCOPES";
pub const GATEWAY_PLAINTEXT: &str = "GATEWAY_PLAINTEXT";
pub const GATEWAY_HTTP: &str = "GATEWAY_HTTP";
pub const GATEWAY_HTTP_USER: &str = "GATEWAY_HTTP_USER";
/// The binding of a network path, if the gateway is not reached over the internet. It has no text:
/// its owner returns [`BOUND`] as its value.
pub const GATEWAY: &str = "GATEWAY";
pub const BOUND: &str = "<bound>";
/// The binding of the Durable Object that holds all runs. It has no text either.
pub const HUB: &str = "HUB";
/// The problem of a deployment without that binding.
pub const HUB_UNBOUND: &str =
    "HUB: is not bound: wrangler.toml lacks [[durable_objects.bindings]] and [[migrations]]";
pub const LOCATION_HINT: &str = "LOCATION_HINT";
pub const LINK_IDLE: &str = "LINK_IDLE";
pub const GATEWAY_RUNS: &str = "GATEWAY_RUNS";
pub const STORE_DAYS: &str = "STORE_DAYS";
pub const PUBLIC_URL: &str = "PUBLIC_URL";
pub const CLIENT_KEYS: &str = "CLIENT_KEYS";
pub const KEYS_SECRET: &str = "KEYS_SECRET";
pub const MODEL_ALIASES: &str = "MODEL_ALIASES";

/// The settings that are text, besides the client keys.
pub const TEXTS: [&str; 19] = [
    GATEWAY_URL,
    GATEWAY_TOKEN,
    GATEWAY_PASSWORD,
    DEVICE_KEY,
    DEVICE_TOKEN,
    ACCESS_CLIENT_ID,
    ACCESS_CLIENT_SECRET,
    GATEWAY_HEADERS,
    GATEWAY_SCOPES,
    GATEWAY_PLAINTEXT,
    GATEWAY_HTTP,
    GATEWAY_HTTP_USER,
    LOCATION_HINT,
    LINK_IDLE,
    GATEWAY_RUNS,
    STORE_DAYS,
    PUBLIC_URL,
    KEYS_SECRET,
    MODEL_ALIASES,
];

/// `CLIENT_KEYS_2` to `CLIENT_KEYS_9`: one secret holds 5 kB, some 40 keys.
const MORE_CLIENT_KEYS: std::ops::RangeInclusive<u8> = 2..=9;

/// The places where Cloudflare can put a Durable Object. Source: its documentation, "Data
/// location".
pub const LOCATIONS: [&str; 9] = [
    "wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me",
];

/// Time for which the connection to the gateway is kept after the last run, in seconds.
pub(crate) const LINK_IDLE_S: u64 = 300;

/// Longest time for it.
const MAX_LINK_IDLE_S: u64 = 86_400;

/// Days for which a stored response is kept, as OpenAI keeps its own.
pub(crate) const DEFAULT_STORE_DAYS: u64 = 30;

/// Most days for it.
const MAX_STORE_DAYS: u64 = 365;

/// The value of `GATEWAY_HTTP` that sends the gateway's own token.
pub const SHARED_TOKEN: &str = "shared-token";

/// The header of the user if none is set, as in the gateway's documentation.
const DEFAULT_USER_HEADER: &str = "x-forwarded-user";

/// Milliseconds in a day.
const DAY_MS: u64 = 86_400_000;

/// A deployment's settings.
#[derive(Debug)]
pub struct Config {
    pub gateway: Gateway,
    /// The place near which the hub is made: one of [`LOCATIONS`]. It counts once, for the first
    /// request of a deployment.
    pub location: Option<&'static str>,
    /// Time for which the connection to the gateway is kept after the last run.
    pub link_idle_ms: u64,
    /// Most runs that the gateway gets at a time; `None` means no limit of ours.
    pub gateway_runs: Option<usize>,
    /// Time for which a stored response is kept after its end.
    pub store_ms: u64,
    /// The scheme and the host in the links of answers, if they are not those of each request.
    pub public_url: Option<String>,
    pub clients: Grants,
    /// Recognises the keys that the hub has made. Without it there are none.
    pub keys_secret: Option<KeysSecret>,
    pub aliases: Aliases,
    pub log_key: LogKey,
}

/// The gateway's address, and the credentials that are sent to it.
#[derive(Debug)]
pub struct Gateway {
    /// The `http://` or `https://` URL of the upgrade request.
    pub url: String,
    pub headers: Headers,
    pub credential: Credential,
    /// Set if requests with clients' tools go to the gateway's HTTP endpoint.
    pub endpoint: Option<Identity>,
}

/// One mistake in the settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub binding: String,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.binding, self.what)
    }
}

impl Config {
    /// Parses all bindings through `get`. A binding that is absent, or blank, is not set.
    #[inline(never)]
    pub fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let get = |name: &str| {
            get(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let mut problems = Vec::new();
        let url = take(gateway_url(get(GATEWAY_URL)), &mut problems);
        if let Some(url) = &url {
            take(network_path(url, &get), &mut problems);
        }
        let headers = take(headers(&get), &mut problems).unwrap_or_default();
        let credential = take(credential(&get), &mut problems);
        let clients = clients(&get, &mut problems);
        let aliases = Aliases::parse(&get(MODEL_ALIASES).unwrap_or_default())
            .map_err(|what| problem(MODEL_ALIASES, what));
        let aliases = take(aliases, &mut problems).unwrap_or_default();
        let location = take(location(&get), &mut problems).flatten();
        let link_idle_s = take(link_idle_s(&get), &mut problems).unwrap_or_default();
        let gateway_runs = take(gateway_runs(&get), &mut problems).flatten();
        let store_days = take(store_days(&get), &mut problems).unwrap_or_default();
        let public_url = take(public_url(&get), &mut problems).flatten();
        let keys_secret = take(keys_secret(&get), &mut problems).flatten();
        let endpoint = take(endpoint(&get), &mut problems).flatten();

        match (url, credential) {
            (Some(url), Some(credential)) if problems.is_empty() => Ok(Self {
                log_key: LogKey::of(&credential),
                gateway: Gateway {
                    url,
                    headers,
                    credential,
                    endpoint,
                },
                location,
                link_idle_ms: link_idle_s.saturating_mul(1000),
                gateway_runs,
                store_ms: store_days.saturating_mul(DAY_MS),
                public_url,
                clients,
                keys_secret,
                aliases,
            }),
            _ => Err(problems),
        }
    }
}

fn take<T>(result: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn problem(binding: &str, what: impl Into<String>) -> Problem {
    Problem {
        binding: binding.to_owned(),
        what: what.into(),
    }
}

fn gateway_url(value: Option<String>) -> Result<String, Problem> {
    let value = value.ok_or_else(|| {
        problem(
            GATEWAY_URL,
            "is not set: the gateway's address, such as wss://gateway.example.com",
        )
    })?;
    read_gateway_url(&value)
}

/// Parses a gateway's address and returns the `http://` or `https://` URL of the upgrade request. A
/// URL without a port means port 80 or 443, as for every client of HTTP.
pub fn read_gateway_url(value: &str) -> Result<String, Problem> {
    let (scheme, rest) = value
        .split_once("://")
        .ok_or_else(|| problem(GATEWAY_URL, "is not a URL"))?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => "http",
        "wss" | "https" => "https",
        _ => {
            return Err(problem(
                GATEWAY_URL,
                "does not begin with wss://, https://, ws:// or http://",
            ));
        }
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(problem(GATEWAY_URL, "is not a URL"));
    }
    if authority.contains('@') || rest.contains(['?', '#']) {
        return Err(problem(
            GATEWAY_URL,
            "must not carry a user, a query or a fragment: credentials belong into the secrets",
        ));
    }
    Ok(format!("{scheme}://{rest}"))
}

/// Refuses to send the credential unencrypted over a network that no setting allows.
fn network_path(url: &str, get: &impl Fn(&str) -> Option<String>) -> Result<(), Problem> {
    let is_bound = match get(GATEWAY).as_deref() {
        None => false,
        Some(BOUND) => true,
        Some(_) => {
            return Err(problem(
                GATEWAY,
                "is a text; it takes a service or VPC service binding",
            ));
        }
    };
    let may_be_plain = take_word(get, GATEWAY_PLAINTEXT, "allow")?;
    if url.starts_with("https://") || is_bound || may_be_plain || is_loopback(url) {
        Ok(())
    } else {
        Err(problem(
            GATEWAY_URL,
            "would send the credential in the clear: use wss://, an address of this host, or the \
             binding GATEWAY; GATEWAY_PLAINTEXT=allow if the network is private",
        ))
    }
}

/// Returns true if the URL's host is this machine.
pub fn is_loopback(url: &str) -> bool {
    let authority = url.split('/').nth(2).unwrap_or_default();
    let host = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns true if the setting has its word, and false if it is not set.
fn take_word(
    get: &impl Fn(&str) -> Option<String>,
    name: &str,
    word: &str,
) -> Result<bool, Problem> {
    match get(name) {
        None => Ok(false),
        Some(value) if value == word => Ok(true),
        Some(_) => Err(problem(name, ["takes nothing but ", word].concat())),
    }
}

/// Returns the place near which the hub is made.
fn location(get: &impl Fn(&str) -> Option<String>) -> Result<Option<&'static str>, Problem> {
    let Some(value) = get(LOCATION_HINT) else {
        return Ok(None);
    };
    LOCATIONS
        .into_iter()
        .find(|location| *location == value)
        .map(Some)
        .ok_or_else(|| {
            let known = LOCATIONS.join(", ");
            problem(LOCATION_HINT, ["takes one of ", &known].concat())
        })
}

/// Returns the time for which the connection to the gateway is kept after the last run.
fn link_idle_s(get: &impl Fn(&str) -> Option<String>) -> Result<u64, Problem> {
    let Some(value) = get(LINK_IDLE) else {
        return Ok(LINK_IDLE_S);
    };
    let seconds = value.parse().ok();
    seconds
        .filter(|seconds| *seconds <= MAX_LINK_IDLE_S)
        .ok_or_else(|| problem(LINK_IDLE, "takes a number of seconds, from 0 to 86400"))
}

/// Returns the number of runs that the gateway gets at a time.
fn gateway_runs(get: &impl Fn(&str) -> Option<String>) -> Result<Option<usize>, Problem> {
    let Some(value) = get(GATEWAY_RUNS) else {
        return Ok(None);
    };
    let runs = value.parse().ok();
    runs.filter(|runs| (1..=MAX_PLACES).contains(runs))
        .map(Some)
        .ok_or_else(|| problem(GATEWAY_RUNS, "takes a number of runs, from 1 to 256"))
}

/// Returns the number of days for which a stored response is kept.
fn store_days(get: &impl Fn(&str) -> Option<String>) -> Result<u64, Problem> {
    let Some(value) = get(STORE_DAYS) else {
        return Ok(DEFAULT_STORE_DAYS);
    };
    let days = value.parse().ok();
    days.filter(|days| (1..=MAX_STORE_DAYS).contains(days))
        .ok_or_else(|| problem(STORE_DAYS, "takes a number of days, from 1 to 365"))
}

/// Returns the scheme and the host at which browsers reach the Worker.
fn public_url(get: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, Problem> {
    let Some(value) = get(PUBLIC_URL) else {
        return Ok(None);
    };
    let origin = value.trim_end_matches('/');
    let is_web = origin.starts_with("https://") || origin.starts_with("http://");
    let origin = is_web.then(|| Origin::parse(origin)).flatten();
    origin
        .map(|origin| Some(origin.as_str().to_owned()))
        .ok_or_else(|| {
            problem(
                PUBLIC_URL,
                "takes https://HOST or http://HOST, without a path",
            )
        })
}

/// Returns the identity under which the gateway's HTTP endpoint is asked.
fn endpoint(get: &impl Fn(&str) -> Option<String>) -> Result<Option<Identity>, Problem> {
    let user_header = get(GATEWAY_HTTP_USER).map(|name| name.to_ascii_lowercase());
    match (get(GATEWAY_HTTP).as_deref(), user_header) {
        (None, None) => Ok(None),
        (Some("trusted-proxy"), name) => {
            let user_header = name.unwrap_or_else(|| DEFAULT_USER_HEADER.to_owned());
            if header_name(&user_header).is_err() {
                return Err(problem(GATEWAY_HTTP_USER, "is not the name of a header"));
            }
            Ok(Some(Identity::TrustedProxy { user_header }))
        }
        (Some(SHARED_TOKEN), None) => match get(GATEWAY_TOKEN) {
            Some(token) => header_value(&token)
                .map(|token| Some(Identity::SharedToken(token)))
                .ok_or_else(|| problem(GATEWAY_TOKEN, "is not plain ASCII")),
            None => Err(problem(
                GATEWAY_HTTP,
                "is shared-token, but GATEWAY_TOKEN is not set",
            )),
        },
        (Some(SHARED_TOKEN) | None, Some(_)) => Err(problem(
            GATEWAY_HTTP_USER,
            "is of no use without GATEWAY_HTTP=trusted-proxy",
        )),
        (Some(_), _) => Err(problem(GATEWAY_HTTP, "takes trusted-proxy or shared-token")),
    }
}

fn keys_secret(get: &impl Fn(&str) -> Option<String>) -> Result<Option<KeysSecret>, Problem> {
    let Some(value) = get(KEYS_SECRET) else {
        return Ok(None);
    };
    let secret = KeysSecret::parse(value);
    secret.map(Some).ok_or_else(|| {
        problem(
            KEYS_SECRET,
            "takes 32 to 512 visible characters, such as openssl rand -hex 32 prints",
        )
    })
}

/// Returns the headers that a proxy in front of the gateway requires.
#[inline(never)]
fn headers(get: &impl Fn(&str) -> Option<String>) -> Result<Headers, Problem> {
    let mut headers = parse_headers(&get(GATEWAY_HEADERS).unwrap_or_default())
        .map_err(|bad| problem(GATEWAY_HEADERS, bad.to_string()))?;
    let names = [
        (ACCESS_CLIENT_ID, ACCESS_ID_HEADER),
        (ACCESS_CLIENT_SECRET, ACCESS_SECRET_HEADER),
    ];
    let set = names.map(|(name, _)| get(name).is_some());
    if let [true, false] = set {
        return Err(problem(
            ACCESS_CLIENT_SECRET,
            "is not set, but ACCESS_CLIENT_ID is: a service token has both",
        ));
    }
    if let [false, true] = set {
        return Err(problem(
            ACCESS_CLIENT_ID,
            "is not set, but ACCESS_CLIENT_SECRET is: a service token has both",
        ));
    }
    for (name, header) in names {
        if let Some(value) = get(name) {
            if headers.iter().any(|(known, _)| known == header) {
                return Err(problem(
                    GATEWAY_HEADERS,
                    ["has what ", name, " sets"].concat(),
                ));
            }
            let value = header_value(&value).ok_or_else(|| problem(name, "is not plain ASCII"))?;
            headers.push((header.to_owned(), value));
        }
    }
    Ok(headers)
}

#[inline(never)]
fn credential(get: &impl Fn(&str) -> Option<String>) -> Result<Credential, Problem> {
    let device = get(DEVICE_KEY)
        .map(|key| {
            DeviceKey::parse(&key).ok_or_else(|| {
                problem(
                    DEVICE_KEY,
                    "is not a device key: 43 characters of base64url, as `clawfront device new` \
                     makes it",
                )
            })
        })
        .transpose()?;
    // The narrowest credential comes first: with a device token the shared secrets are not sent,
    // even if they are set.
    let auth = if let Some(token) = get(DEVICE_TOKEN) {
        if device.is_none() {
            return Err(problem(DEVICE_TOKEN, "is of no use without DEVICE_KEY"));
        }
        Auth::DeviceToken(Secret::new(token))
    } else if let Some(token) = get(GATEWAY_TOKEN) {
        Auth::Token(Secret::new(token))
    } else if let Some(password) = get(GATEWAY_PASSWORD) {
        Auth::Password(Secret::new(password))
    } else {
        return Err(problem(
            DEVICE_TOKEN,
            "is not set, and neither is GATEWAY_TOKEN or GATEWAY_PASSWORD: the gateway needs a \
             credential",
        ));
    };
    Ok(Credential {
        device,
        auth,
        takes_any_scopes: take_word(get, GATEWAY_SCOPES, "any")?,
        // TLS ends at a proxy, and the binding leads elsewhere, for any URL.
        is_own_host: get(GATEWAY).is_none()
            && gateway_url(get(GATEWAY_URL))
                .is_ok_and(|url| url.starts_with("http://") && is_loopback(&url)),
    })
}

/// Returns the names of the bindings that hold client keys, in the order in which they are read.
pub fn client_keys_names() -> impl Iterator<Item = String> {
    let numbered = MORE_CLIENT_KEYS.map(|number| format!("{CLIENT_KEYS}_{number}"));
    std::iter::once(CLIENT_KEYS.to_owned()).chain(numbered)
}

/// Parses all client keys through `get`. Every mistake is described, and no description has a
/// value.
pub fn clients(get: &impl Fn(&str) -> Option<String>, problems: &mut Vec<Problem>) -> Grants {
    let mut clients = Grants::default();
    let mut found = false;
    for name in client_keys_names() {
        if let Some(entries) = get(&name) {
            found = true;
            let mut mistakes = Vec::new();
            clients.extend(&entries, &mut mistakes);
            problems.extend(mistakes.iter().map(|what| problem(&name, what.to_string())));
        }
    }
    if !found || (clients.is_empty() && problems.is_empty()) {
        problems.push(problem(
            CLIENT_KEYS,
            "holds no client key: nobody could be let in",
        ));
    }
    clients
}

#[cfg(test)]
mod tests;
