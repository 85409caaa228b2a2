use super::*;

fn answer(status: u16, content_type: &str, location: &str, body: &str) -> &'static str {
    Diagnosis::of_response(&UpgradeResponse {
        status,
        location,
        content_type,
        body: body.as_bytes(),
    })
    .code()
}

#[test]
fn an_answer_is_known_by_its_status_its_headers_and_the_beginning_of_its_body() {
    let login = "https://team.cloudflareaccess.com/cdn-cgi/access/login/gw.example.com?key_id=0";
    let html = "text/html; charset=utf-8";
    for (status, content_type, location, body, code) in [
        (302, "", login, "", "access_login"),
        (
            302,
            "",
            "/cdn-cgi/access/login/gw.example.com",
            "",
            "access_login",
        ),
        (302, "", "https://sso.example.com/", "", "redirected"),
        (308, "", "", "", "redirected"),
        (200, html, "", "<title>Sign in</title>", "html_page"),
        (
            200,
            html,
            "",
            "<title>OpenClaw Control</title>",
            "websocket_disabled",
        ),
        (200, "text/plain", "", "hello", "not_a_gateway"),
        (
            403,
            "",
            "",
            r#"{"error":{"type":"proxy_attribution_required"}}"#,
            "proxy_attribution_required",
        ),
        (403, html, "", "<h1>Blocked</h1>", "forbidden"),
        (401, "", "", "", "forbidden"),
        (404, "", "", "Not Found", "not_a_gateway"),
        (426, "", "", "Upgrade Required", "not_a_gateway"),
        (400, "", "", "Bad Request", "websocket_disabled"),
        (101, "", "", "", "websocket_disabled"),
        (
            502,
            "",
            "",
            "Server failed WebSocket handshake: incorrect Sec-WebSocket-Accept header",
            "websocket_disabled",
        ),
        (502, "", "", "Bad gateway", "origin_down"),
        (
            503,
            "",
            "",
            "Too many unauthenticated sockets",
            "origin_down",
        ),
        (504, "", "", "", "origin_down"),
        (500, "", "", "", "not_a_gateway"),
        (521, "", "", "error code: 521", "connection_refused"),
        (522, "", "", "error code: 522", "connect_timeout"),
        (525, "", "", "error code: 525", "tls_failure"),
        (526, "", "", "error code: 526", "tls_failure"),
        (530, "", "", "error code: 1016", "dns_failure"),
        (530, "", "", "error code: 1033", "origin_down"),
    ] {
        assert_eq!(
            answer(status, content_type, location, body),
            code,
            "{status} {body}"
        );
    }
}

#[test]
fn a_close_is_known_by_its_code_and_by_how_far_the_connection_came() {
    for (stage, close_code, code) in [
        (Stage::Challenge, 1006, "closed_before_challenge"),
        (Stage::Hello, 1000, "closed_in_handshake"),
        (Stage::Hello, 1002, "protocol_mismatch"),
        (Stage::Ready, 1006, "gateway_closed"),
        (Stage::Ready, 4001, "device_removed"),
        (Stage::Hello, 4001, "device_removed"),
        (Stage::Ready, 1012, "gateway_draining"),
        (Stage::Challenge, 1013, "gateway_starting"),
    ] {
        assert_eq!(
            Diagnosis::of_close(stage, close_code).code(),
            code,
            "{close_code}"
        );
    }
}

#[test]
fn a_refusal_is_known_by_its_codes() {
    for (gateways, reason, code) in [
        ("PAIRING_REQUIRED", "not-paired", "device_unpaired"),
        ("NOT_PAIRED", "", "device_unpaired"),
        ("PAIRING_REQUIRED", "scope-upgrade", "scope_upgrade"),
        ("PAIRING_REQUIRED", "role-upgrade", "scope_upgrade"),
        ("PAIRING_REQUIRED", "metadata-upgrade", "metadata_upgrade"),
        ("AUTH_DEVICE_TOKEN_MISMATCH", "", "device_token_mismatch"),
        ("DEVICE_AUTH_SIGNATURE_EXPIRED", "", "clock_skew"),
        ("DEVICE_AUTH_NONCE_MISMATCH", "", "device_proof_refused"),
        ("AUTH_RATE_LIMITED", "", "auth_lockout"),
        ("UNAVAILABLE", "startup-sidecars", "gateway_starting"),
        ("UNAVAILABLE", "", "gateway_draining"),
        ("SOMETHING_NEW", "", "refused"),
    ] {
        assert_eq!(
            Diagnosis::of_refusal(gateways, reason).code(),
            code,
            "{gateways} {reason}"
        );
    }
}

#[test]
fn every_diagnosis_has_a_code_of_its_own_and_words() {
    let mut codes: Vec<_> = Diagnosis::ALL
        .iter()
        .map(|diagnosis| diagnosis.code())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Diagnosis::ALL.len());
    for diagnosis in Diagnosis::ALL {
        assert!(
            diagnosis
                .code()
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{diagnosis:?}"
        );
        assert!(
            !diagnosis.message().is_empty() && !diagnosis.fix().is_empty(),
            "{diagnosis:?}"
        );
    }
}
