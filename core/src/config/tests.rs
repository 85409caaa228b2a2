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
    assert!(
        matches!(&config.gateway.credential.auth, Auth::Token(token) if token.expose() == "shared")
    );
    bindings.extend([("DEVICE_KEY", SEED), ("DEVICE_TOKEN", "device")]);
    let config = parse(&bindings).unwrap();
    assert!(config.gateway.credential.device.is_some());
    assert!(
        matches!(&config.gateway.credential.auth, Auth::DeviceToken(token) if token.expose() == "device")
    );
}

#[test]
fn every_problem_is_reported_at_once_and_none_shows_a_value() {
    assert_eq!(
        parse(&[]).unwrap_err(),
        [
            "GATEWAY_URL: is not set: the gateway's address, such as wss://gateway.example.com",
            "DEVICE_TOKEN: is not set, and neither is GATEWAY_TOKEN or GATEWAY_PASSWORD: the \
             gateway needs a credential",
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
fn every_setting_that_is_read_is_listed() {
    let read = core::cell::RefCell::new(std::collections::BTreeSet::new());
    let parsed = Config::parse(|name| {
        read.borrow_mut().insert(name.to_owned());
        None
    });
    assert!(parsed.is_err());
    let known = TEXTS.iter().map(|name| (*name).to_owned());
    let known = known.chain(client_keys_names()).chain([GATEWAY.to_owned()]);
    let read = read.into_inner();
    // These are read only if another one is set.
    let read = read
        .into_iter()
        .chain([GATEWAY, GATEWAY_PLAINTEXT, GATEWAY_SCOPES].map(str::to_owned));
    assert_eq!(
        read.collect::<std::collections::BTreeSet<_>>(),
        known.collect()
    );
}

#[test]
fn blank_bindings_are_not_set() {
    let keys = keys();
    let problems = parse(&[
        ("GATEWAY_URL", " "),
        ("GATEWAY_TOKEN", "\n"),
        ("CLIENT_KEYS", &keys),
    ])
    .unwrap_err();
    assert_eq!(problems.len(), 2);
    let problems = parse(&[
        ("GATEWAY_URL", "wss://x"),
        ("GATEWAY_TOKEN", "t"),
        ("CLIENT_KEYS", "# nobody yet"),
    ])
    .unwrap_err();
    assert_eq!(
        problems,
        ["CLIENT_KEYS: holds no client key: nobody could be let in"]
    );
}

/// Returns the problems of good settings with `more`.
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
        [
            "ACCESS_CLIENT_SECRET: is not set, but ACCESS_CLIENT_ID is: a service token has \
             both"
        ]
    );
    assert_eq!(
        problems_with(&[("ACCESS_CLIENT_SECRET", "s3cret")]),
        [
            "ACCESS_CLIENT_ID: is not set, but ACCESS_CLIENT_SECRET is: a service token has \
             both"
        ]
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
        [
            "GATEWAY_HEADERS: line 1: a header of this name is not yours to set: it belongs \
             to the upgrade"
        ]
    );
}

#[test]
fn a_credential_goes_in_the_clear_only_where_somebody_vouched_for_the_network() {
    let is_refused = |url: &str, more: &[(&str, &str)]| {
        let keys = keys();
        let mut bindings = more.to_vec();
        bindings.extend([
            ("GATEWAY_URL", url),
            ("GATEWAY_TOKEN", "t"),
            ("CLIENT_KEYS", &keys),
        ]);
        match parse(&bindings) {
            Ok(_) => false,
            Err(problems) => {
                assert!(
                    problems[0].starts_with("GATEWAY_URL: would send the credential in the clear")
                );
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
    assert_eq!(
        problems,
        ["CLIENT_KEYS_3: entry 1: phone: the id is used twice"]
    );
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
        let problems = parse(&[
            ("GATEWAY_URL", url),
            ("GATEWAY_TOKEN", "t"),
            ("CLIENT_KEYS", &keys),
        ])
        .unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].starts_with("GATEWAY_URL: "),
            "{url}: {problems:?}"
        );
    }
}

#[test]
fn the_http_endpoint_is_asked_under_an_identity_that_a_header_can_hold() {
    let keys = keys();
    let with = |token, more: &[(&'static str, &'static str)]| {
        let bindings = [
            ("GATEWAY_URL", "wss://gw.example.com"),
            ("GATEWAY_TOKEN", token),
            ("CLIENT_KEYS", keys.as_str()),
        ];
        let parsed = parse(&[&bindings[..], more].concat());
        parsed.map(|config| match config.gateway.endpoint {
            Some(Identity::TrustedProxy { user_header }) => user_header,
            Some(Identity::SharedToken(token)) => token.expose().to_owned(),
            None => "none".to_owned(),
        })
    };
    let shared = ("GATEWAY_HTTP", "shared-token");
    let trusted = ("GATEWAY_HTTP", "trusted-proxy");
    assert_eq!(with("t", &[]).unwrap(), "none");
    assert_eq!(with("t", &[shared]).unwrap(), "t");
    assert_eq!(with("t", &[trusted]).unwrap(), "x-forwarded-user");
    let other = ("GATEWAY_HTTP_USER", "X-User");
    assert_eq!(with("t", &[trusted, other]).unwrap(), "x-user");
    assert_eq!(
        with("t\nx: y", &[shared]).unwrap_err(),
        ["GATEWAY_TOKEN: is not plain ASCII"]
    );
}

#[test]
fn the_hub_is_made_near_a_place_that_exists() {
    let keys = keys();
    let bindings = [
        ("GATEWAY_URL", "wss://gw.example.com"),
        ("GATEWAY_TOKEN", "shared"),
        ("CLIENT_KEYS", keys.as_str()),
    ];
    let with = |location| parse(&[&bindings[..], &[("LOCATION_HINT", location)]].concat());
    assert_eq!(with("").unwrap().location, None);
    assert_eq!(with("weur").unwrap().location, Some("weur"));
    assert_eq!(
        with("Europe").unwrap_err(),
        ["LOCATION_HINT: takes one of wnam, enam, sam, weur, eeur, apac, oc, afr, me"]
    );
}

#[test]
fn the_gateway_gets_as_many_runs_as_the_operator_says() {
    let keys = keys();
    let bindings = [
        ("GATEWAY_URL", "wss://gw.example.com"),
        ("GATEWAY_TOKEN", "shared"),
        ("CLIENT_KEYS", keys.as_str()),
    ];
    let with = |runs| parse(&[&bindings[..], &[("GATEWAY_RUNS", runs)]].concat());
    for (runs, expected) in [("", None), ("1", Some(1)), ("256", Some(256))] {
        assert_eq!(with(runs).unwrap().gateway_runs, expected, "{runs}");
    }
    for runs in ["0", "257", "-1", "all"] {
        assert_eq!(
            with(runs).unwrap_err(),
            ["GATEWAY_RUNS: takes a number of runs, from 1 to 256"]
        );
    }
}

#[test]
fn the_connection_is_kept_for_as_long_as_the_operator_says() {
    let keys = keys();
    let bindings = [
        ("GATEWAY_URL", "wss://gw.example.com"),
        ("GATEWAY_TOKEN", "shared"),
        ("CLIENT_KEYS", keys.as_str()),
    ];
    let with = |idle| parse(&[&bindings[..], &[("LINK_IDLE", idle)]].concat());
    for (idle, ms) in [("", 300_000), ("0", 0), ("86400", 86_400_000)] {
        assert_eq!(with(idle).unwrap().link_idle_ms, ms, "{idle}");
    }
    for idle in ["-1", "86401", "5m", "0.5"] {
        assert_eq!(
            with(idle).unwrap_err(),
            ["LINK_IDLE: takes a number of seconds, from 0 to 86400"]
        );
    }
}

#[test]
fn stored_responses_are_kept_for_as_long_as_the_operator_says() {
    let keys = keys();
    let bindings = [
        ("GATEWAY_URL", "wss://gw.example.com"),
        ("GATEWAY_TOKEN", "shared"),
        ("CLIENT_KEYS", keys.as_str()),
    ];
    let with = |days| parse(&[&bindings[..], &[("STORE_DAYS", days)]].concat());
    for (days, ms) in [
        ("", 2_592_000_000),
        ("1", 86_400_000),
        ("365", 31_536_000_000),
    ] {
        assert_eq!(with(days).unwrap().store_ms, ms, "{days}");
    }
    for days in ["0", "366", "-1", "30d", "0.5"] {
        assert_eq!(
            with(days).unwrap_err(),
            ["STORE_DAYS: takes a number of days, from 1 to 365"]
        );
    }
}

#[test]
fn the_address_of_links_has_no_path() {
    let keys = keys();
    let bindings = [
        ("GATEWAY_URL", "wss://gw.example.com"),
        ("GATEWAY_TOKEN", "shared"),
        ("CLIENT_KEYS", keys.as_str()),
    ];
    let with = |url| parse(&[&bindings[..], &[("PUBLIC_URL", url)]].concat());
    assert_eq!(parse(&bindings).unwrap().public_url, None);
    for (url, expected) in [
        ("https://claw.example.com", "https://claw.example.com"),
        ("http://192.168.1.5:8787/", "http://192.168.1.5:8787"),
    ] {
        assert_eq!(with(url).unwrap().public_url.as_deref(), Some(expected));
    }
    for url in [
        "claw.example.com",
        "ftp://claw.example.com",
        "https://claw.example.com/v1",
        "https://a b",
        "javascript://x",
    ] {
        assert_eq!(
            with(url).unwrap_err(),
            ["PUBLIC_URL: takes https://HOST or http://HOST, without a path"],
            "{url}"
        );
    }
}
