//! Every binding, parsed once into types. All problems are reported together, by name and never with a value; any problem keeps
//! the Worker closed.

use core::net::IpAddr;
use std::fmt;

use crate::gateway::credential::{Auth, Credential};
use crate::gateway::device::DeviceKey;
use crate::gateway::upgrade::{ACCESS_ID_HEADER, ACCESS_SECRET_HEADER, Headers, header_value, parse_headers};
use crate::key::Clients;
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
/// The network path, where it is not the internet: no text, but whoever has it says [`BOUND`] for it.
pub const GATEWAY: &str = "GATEWAY";
pub const BOUND: &str = "<bound>";
pub const CLIENT_KEYS: &str = "CLIENT_KEYS";
pub const MODEL_ALIASES: &str = "MODEL_ALIASES";

/// `CLIENT_KEYS_2` to `CLIENT_KEYS_9`: one secret holds 5 kB, some 40 keys.
const MORE_CLIENT_KEYS: std::ops::RangeInclusive<u8> = 2..=9;

/// A deployment's settings.
#[derive(Debug)]
pub struct Config {
    pub gateway: Gateway,
    pub clients: Clients,
    pub aliases: Aliases,
}

/// Where the gateway is, and what it is shown.
#[derive(Debug)]
pub struct Gateway {
    /// `http://` or `https://`, which is what an upgrade request is sent to.
    pub url: String,
    pub headers: Headers,
    pub credential: Credential,
}

/// One thing that is wrong with the settings.
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
    /// Reads all bindings through `get`; one that is absent, or blank, is not set.
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
        let aliases =
            Aliases::parse(&get(MODEL_ALIASES).unwrap_or_default()).map_err(|what| problem(MODEL_ALIASES, what));
        let aliases = take(aliases, &mut problems).unwrap_or_default();
        match (url, credential) {
            (Some(url), Some(credential)) if problems.is_empty() => Ok(Self {
                gateway: Gateway {
                    url,
                    headers,
                    credential,
                },
                clients,
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

/// Refuses to send the credential in the clear over a network that nobody vouched for.
fn network_path(url: &str, get: &impl Fn(&str) -> Option<String>) -> Result<(), Problem> {
    let is_bound = match get(GATEWAY).as_deref() {
        None => false,
        Some(BOUND) => true,
        Some(_) => return Err(problem(GATEWAY, "is a text; it takes a service or VPC service binding")),
    };
    let may_be_plain = take_word(get, GATEWAY_PLAINTEXT, "allow")?;
    if url.starts_with("https://") || is_bound || may_be_plain || is_loopback(url) {
        Ok(())
    } else {
        Err(problem(
            GATEWAY_URL,
            "would send the credential in the clear: use wss://, an address of this host, or the binding GATEWAY; GATEWAY_PLAINTEXT=allow if the network is private",
        ))
    }
}

fn is_loopback(url: &str) -> bool {
    let authority = url.split('/').nth(2).unwrap_or_default();
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whether a setting that takes one word has it.
fn take_word(get: &impl Fn(&str) -> Option<String>, name: &str, word: &str) -> Result<bool, Problem> {
    match get(name) {
        None => Ok(false),
        Some(value) if value == word => Ok(true),
        Some(_) => Err(problem(name, ["takes nothing but ", word].concat())),
    }
}

/// What a proxy in front of the gateway wants to see.
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
                return Err(problem(GATEWAY_HEADERS, ["has what ", name, " sets"].concat()));
            }
            let value = header_value(&value).ok_or_else(|| problem(name, "is not plain ASCII"))?;
            headers.push((header.to_owned(), value));
        }
    }
    Ok(headers)
}

fn credential(get: &impl Fn(&str) -> Option<String>) -> Result<Credential, Problem> {
    let device = get(DEVICE_KEY)
        .map(|key| {
            DeviceKey::parse(&key).ok_or_else(|| {
                problem(
                    DEVICE_KEY,
                    "is not a device key: 43 characters of base64url, as `clawfront device new` makes it",
                )
            })
        })
        .transpose()?;
    // The narrowest first: with a device token the shared secrets are not sent, even where they are set.
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
            "is not set, and neither is GATEWAY_TOKEN or GATEWAY_PASSWORD: the gateway needs a credential",
        ));
    };
    Ok(Credential {
        device,
        auth,
        takes_any_scopes: take_word(get, GATEWAY_SCOPES, "any")?,
        // TLS ends at a proxy; the binding leads elsewhere, whatever the URL says.
        is_own_host: get(GATEWAY).is_none()
            && gateway_url(get(GATEWAY_URL)).is_ok_and(|url| url.starts_with("http://") && is_loopback(&url)),
    })
}

/// The names of the bindings that hold client keys, in the order in which they are read.
pub fn client_keys_names() -> impl Iterator<Item = String> {
    let numbered = MORE_CLIENT_KEYS.map(|number| format!("{CLIENT_KEYS}_{number}"));
    std::iter::once(CLIENT_KEYS.to_owned()).chain(numbered)
}

/// Reads all client keys through `get`; every mistake is described, none with a value.
pub fn clients(get: &impl Fn(&str) -> Option<String>, problems: &mut Vec<Problem>) -> Clients {
    let mut clients = Clients::default();
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
        problems.push(problem(CLIENT_KEYS, "holds no client key: nobody could be let in"));
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
    const SEED: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

    fn parse(bindings: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        Config::parse(|name| {
            bindings
                .iter()
                .find(|(binding, _)| *binding == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn keys() -> String {
        format!("phone {HASH} agents=main")
    }

    #[test]
    fn a_device_is_preferred_to_the_shared_secrets() {
        let keys = keys();
        let mut bindings = vec![
            ("GATEWAY_URL", "wss://gw.example.com/path"),
            ("GATEWAY_TOKEN", "shared"),
            ("GATEWAY_PASSWORD", "shared too"),
            ("CLIENT_KEYS", keys.as_str()),
        ];
        let config = parse(&bindings).unwrap();
        assert_eq!(config.gateway.url, "https://gw.example.com/path");
        assert!(config.gateway.credential.device.is_none());
        assert!(matches!(&config.gateway.credential.auth, Auth::Token(token) if token.expose() == "shared"));
        bindings.extend([("DEVICE_KEY", SEED), ("DEVICE_TOKEN", "device")]);
        let config = parse(&bindings).unwrap();
        assert!(config.gateway.credential.device.is_some());
        assert!(matches!(&config.gateway.credential.auth, Auth::DeviceToken(token) if token.expose() == "device"));
    }

    #[test]
    fn every_problem_is_reported_at_once_and_none_shows_a_value() {
        assert_eq!(
            parse(&[]).unwrap_err(),
            [
                "GATEWAY_URL: is not set: the gateway's address, such as wss://gateway.example.com",
                "DEVICE_TOKEN: is not set, and neither is GATEWAY_TOKEN or GATEWAY_PASSWORD: the gateway needs a credential",
                "CLIENT_KEYS: holds no client key: nobody could be let in",
            ]
        );
        let problems = parse(&[
            ("GATEWAY_URL", "wss://user:s3cret@gw.example.com"),
            ("DEVICE_KEY", "s3cret"),
            ("CLIENT_KEYS", "phone s3cret agents=main; # only a comment"),
            ("CLIENT_KEYS_2", "bot s3cret"),
        ])
        .unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(
            !problems.iter().any(|problem| problem.contains("s3cret")),
            "{problems:?}"
        );
    }

    #[test]
    fn blank_bindings_are_not_set() {
        let keys = keys();
        let problems = parse(&[("GATEWAY_URL", " "), ("GATEWAY_TOKEN", "\n"), ("CLIENT_KEYS", &keys)]).unwrap_err();
        assert_eq!(problems.len(), 2);
        let problems = parse(&[
            ("GATEWAY_URL", "wss://x"),
            ("GATEWAY_TOKEN", "t"),
            ("CLIENT_KEYS", "# nobody yet"),
        ])
        .unwrap_err();
        assert_eq!(problems, ["CLIENT_KEYS: holds no client key: nobody could be let in"]);
    }

    /// The problems of good settings with `more`.
    fn problems_with(more: &[(&str, &str)]) -> Vec<String> {
        let keys = keys();
        let mut bindings = more.to_vec();
        bindings.extend([
            ("GATEWAY_URL", "wss://gw.example.com"),
            ("GATEWAY_TOKEN", "t"),
            ("CLIENT_KEYS", &keys),
        ]);
        parse(&bindings).err().unwrap_or_default()
    }

    #[test]
    fn a_service_token_has_both_halves_and_comes_behind_the_operators_headers() {
        let keys = keys();
        let config = parse(&[
            ("GATEWAY_URL", "wss://gw.example.com"),
            ("GATEWAY_TOKEN", "t"),
            ("CLIENT_KEYS", &keys),
            ("GATEWAY_HEADERS", "X-Proxy: yes"),
            ("ACCESS_CLIENT_ID", "id.access"),
            ("ACCESS_CLIENT_SECRET", "s3cret"),
        ])
        .unwrap();
        let headers: Vec<_> = config
            .gateway
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        assert_eq!(
            headers,
            [
                ("x-proxy", "yes"),
                ("cf-access-client-id", "id.access"),
                ("cf-access-client-secret", "s3cret")
            ]
        );
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(
            problems_with(&[("ACCESS_CLIENT_ID", "x")]),
            ["ACCESS_CLIENT_SECRET: is not set, but ACCESS_CLIENT_ID is: a service token has both"]
        );
        assert_eq!(
            problems_with(&[("ACCESS_CLIENT_SECRET", "s3cret")]),
            ["ACCESS_CLIENT_ID: is not set, but ACCESS_CLIENT_SECRET is: a service token has both"]
        );
        assert_eq!(
            problems_with(&[
                ("ACCESS_CLIENT_ID", "x"),
                ("ACCESS_CLIENT_SECRET", "s3cret"),
                ("GATEWAY_HEADERS", "CF-Access-Client-Id: s3cret")
            ]),
            ["GATEWAY_HEADERS: has what ACCESS_CLIENT_ID sets"]
        );
        assert_eq!(
            problems_with(&[("GATEWAY_HEADERS", "Host: s3cret")]),
            ["GATEWAY_HEADERS: line 1: a header of this name is not yours to set: it belongs to the upgrade"]
        );
    }

    #[test]
    fn a_credential_goes_in_the_clear_only_where_somebody_vouched_for_the_network() {
        let is_refused = |url: &str, more: &[(&str, &str)]| {
            let keys = keys();
            let mut bindings = more.to_vec();
            bindings.extend([("GATEWAY_URL", url), ("GATEWAY_TOKEN", "t"), ("CLIENT_KEYS", &keys)]);
            match parse(&bindings) {
                Ok(_) => false,
                Err(problems) => {
                    assert!(problems[0].starts_with("GATEWAY_URL: would send the credential in the clear"));
                    true
                }
            }
        };
        for url in [
            "wss://gw.example.com",
            "ws://127.0.0.1:18789",
            "ws://127.9.9.9/x",
            "http://localhost:1",
            "ws://LOCALHOST",
            "ws://[::1]:18789/",
        ] {
            assert!(!is_refused(url, &[]), "{url}");
        }
        for url in [
            "ws://gw.example.com",
            "http://10.0.0.7:18789",
            "ws://127.0.0.1.example.com",
            "ws://localhost.example.com",
            "ws://[2001:db8::1]:1",
        ] {
            assert!(is_refused(url, &[]), "{url}");
            assert!(!is_refused(url, &[("GATEWAY", BOUND)]), "{url}");
            assert!(!is_refused(url, &[("GATEWAY_PLAINTEXT", "allow")]), "{url}");
        }
    }

    #[test]
    fn a_setting_of_one_word_takes_no_other() {
        assert_eq!(
            problems_with(&[("GATEWAY_PLAINTEXT", "yes"), ("GATEWAY_SCOPES", "admin")]),
            [
                "GATEWAY_PLAINTEXT: takes nothing but allow",
                "GATEWAY_SCOPES: takes nothing but any"
            ]
        );
        assert_eq!(
            problems_with(&[("GATEWAY", "https://gw.example.com")]),
            ["GATEWAY: is a text; it takes a service or VPC service binding"]
        );
    }

    #[test]
    fn keys_of_all_secrets_count_and_an_id_is_unique_across_them() {
        let (keys, again) = (keys(), keys().replace("main", "beta"));
        let problems = parse(&[
            ("GATEWAY_URL", "wss://x"),
            ("GATEWAY_TOKEN", "t"),
            ("CLIENT_KEYS", &keys),
            ("CLIENT_KEYS_3", &again),
        ])
        .unwrap_err();
        assert_eq!(problems, ["CLIENT_KEYS_3: entry 1: phone: the id is used twice"]);
    }

    #[test]
    fn an_address_that_cannot_be_a_gateway_is_refused() {
        let keys = keys();
        for url in [
            "gw.example.com",
            "ftp://gw",
            "ws://",
            "ws:///x",
            "ws://a b",
            "ws://gw?token=x",
            "ws://gw#x",
        ] {
            let problems = parse(&[("GATEWAY_URL", url), ("GATEWAY_TOKEN", "t"), ("CLIENT_KEYS", &keys)]).unwrap_err();
            assert!(
                problems.len() == 1 && problems[0].starts_with("GATEWAY_URL: "),
                "{url}: {problems:?}"
            );
        }
    }
}
