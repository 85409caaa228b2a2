use super::*;

#[test]
fn a_clients_instructions_are_placed_by_the_keys_policy() {
    let body = r#"{"messages":[{"role":"user","content":"q1"},{"role":"system","content":"be brief"},{"role":"developer","content":"no jokes"},
            {"role":"user","content":"hi"}],"response_format":{"type":"json_object"}}"#;
    let turn = |fields: &str| {
        accepted(body, &format!("agents=main {fields}")).map(|accepted| accepted.turn)
    };
    let allowed = turn("").unwrap();
    assert!(!allowed.message.contains("be brief"));
    assert!(
        unframed(allowed.extra_system_prompt)
            .starts_with("be brief\n\nno jokes\n\nAnswer with one JSON value")
    );
    let user = turn("system=user").unwrap();
    assert_eq!(user.extra_system_prompt, None);
    let (frame, message) = user.message.rsplit_once(">\n\n").unwrap();
    assert!(frame.contains(">\nbe brief\n\nno jokes\n\nAnswer with one JSON value"));
    assert_eq!(message, allowed.message);
    assert_eq!(
        refused_param(body, "agents=main system=refuse"),
        "messages[1].role"
    );
    for (body, fields) in [
        (
            r#"{"messages":[{"role":"system","content":" "},{"role":"user","content":"hi"}]}"#,
            "system=refuse",
        ),
        (
            r#"{"messages":[{"role":"user","content":"hi"}]}"#,
            "system=user",
        ),
    ] {
        let turn = accepted(body, &format!("agents=main {fields}"))
            .unwrap()
            .turn;
        assert_eq!(
            (turn.message.as_str(), turn.extra_system_prompt),
            ("hi", None),
            "{fields}"
        );
    }
    let object =
        r#"{"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_object"}}"#;
    let turn = accepted(object, "agents=main system=refuse").unwrap().turn;
    assert!(
        turn.extra_system_prompt.is_none() && turn.message.contains("Answer with one JSON value")
    );
    let again = r#"{"user":"a","messages":[{"role":"system","content":"x"},{"role":"user","content":"q1"},
            {"role":"assistant","content":"a1"},{"role":"user","content":"q2"}]}"#;
    let turn = accepted(again, "agents=main system=user").unwrap().turn;
    let Some(Earlier {
        otherwise: Otherwise::Send(whole),
        ..
    }) = turn.earlier
    else {
        panic!("{again}");
    };
    assert!(
        turn.message.contains(">\nx\n<") && turn.message.ends_with(">\n\nq2"),
        "{}",
        turn.message
    );
    assert!(
        whole.message.contains(">\nx\n<") && whole.message.contains("User: q1\nAssistant: a1"),
        "{}",
        whole.message
    );
    let reset =
        r#"{"messages":[{"role":"system","content":"x"},{"role":"user","content":"/reset"}]}"#;
    assert_eq!(
        accepted(reset, "agents=main system=user").err(),
        Some(Failure::CommandNotAllowed)
    );
}

#[test]
fn a_valid_trace_is_passed_on() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let passed = |value: &str| {
        let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
        accepted_with(body, &[("traceparent", value)], "agents=main")
            .unwrap()
            .turn
            .traceparent
    };
    assert_eq!(passed(TRACE).as_deref(), Some(TRACE));
    for odd in [
        "",
        "00",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
    ] {
        assert_eq!(passed(odd), None, "{odd}");
    }
}

#[test]
fn the_model_names_an_agent_of_the_key_or_its_default() {
    let fields = "agents=main,beta default=beta";
    assert_eq!(choice("openclaw/main", fields), Ok(named("main")));
    assert_eq!(choice("gpt-4o", fields), Ok(named("main")));
    assert_eq!(choice("openclaw", fields), Ok(named("beta")));
    for model in ["gpt-5", "openclaw/gamma", "gamma", &"m".repeat(300)] {
        assert_eq!(
            choice(model, fields),
            Err(Failure::ModelNotFound),
            "{model}"
        );
    }
}

#[test]
fn without_a_default_of_the_key_the_gateways_is_asked_for() {
    assert_eq!(
        choice("openclaw", "agents=*"),
        Ok(AgentChoice::GatewayDefault(Agents::Any))
    );
    assert_eq!(choice("openclaw", "agents=beta"), Ok(named("beta")));
}

#[test]
fn the_agent_header_wins_over_the_model() {
    let agent = |header| {
        with_headers(Some(header), None, "agents=main,beta default=main").map(|a| a.turn.agent)
    };
    assert_eq!(agent("Beta"), Ok(named("beta")));
    assert_eq!(
        agent(" "),
        Err(Failure::ModelNotFound),
        "the model counts, and there is no gpt-9.9"
    );
    assert_eq!(agent("gamma"), Err(Failure::ModelNotFound));
    assert_eq!(agent("agent:main"), Err(Failure::ModelNotFound));
}

#[test]
fn a_raw_session_key_cannot_reach_an_agent_that_the_key_cannot() {
    let raw = |agent: Option<&str>, session: &str| {
        let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
        let mut headers = vec![(SESSION_HEADER, session)];
        headers.extend(agent.map(|agent| (AGENT_HEADER, agent)));
        accepted_with(body, &headers, "agents=main,beta sessions=any").map(|a| a.turn.agent)
    };
    assert_eq!(raw(None, "agent:beta:x"), Ok(named("beta")));
    assert_eq!(raw(None, "agent:gamma:x"), Err(Failure::ModelNotFound));
    assert!(matches!(
        raw(Some("main"), "agent:beta:x"),
        Err(Failure::InvalidRequest { .. })
    ));
}

#[test]
fn the_session_is_the_headers_then_the_users_then_fresh() {
    let key = |session: Option<&str>, user: &str| {
        let body = format!(r#"{{"user":{user},"messages":[{{"role":"user","content":"hi"}}]}}"#);
        let headers: Vec<_> = session
            .map(|session| (SESSION_HEADER, session))
            .into_iter()
            .collect();
        accepted_with(&body, &headers, "agents=main").map(|accepted| session_key(&accepted))
    };
    assert_eq!(
        key(Some("trip"), r#""alice""#).unwrap(),
        "agent:main:edge:phone:key:=trip"
    );
    assert_eq!(
        key(Some(" "), r#""alice""#).unwrap(),
        "agent:main:edge:phone:user:=alice"
    );
    assert_ne!(
        key(None, r#""alice ""#).unwrap(),
        key(None, r#""alice""#).unwrap()
    );
    for user in [r#""""#, r#"" ""#, "null"] {
        assert_eq!(
            key(None, user).unwrap(),
            "agent:main:edge:phone:run:02020202020202020202020202020202"
        );
    }
    assert_eq!(
        key(Some("cron:x"), "null"),
        Err(Failure::invalid(
            SESSION_HEADER,
            "x-openclaw-session-key names a reserved namespace (subagent:, cron:, acp:)."
        ))
    );
    assert_eq!(
        key(None, r#""a\nb""#),
        Err(Failure::invalid(
            "user",
            "user contains control characters."
        ))
    );
}

#[test]
fn a_conversation_header_of_the_keys_list_names_the_session() {
    let body = r#"{"user":"alice","messages":[{"role":"user","content":"hi"}]}"#;
    let fields = "agents=main conversations=x-openwebui-chat-id,x-session-id";
    let key = |headers: &[(&str, &str)], fields| {
        accepted_with(body, headers, fields).map(|a| session_key(&a))
    };
    let chat = ("x-openwebui-chat-id", "7f3c");
    let other = ("x-session-id", "7f3c");
    assert_eq!(
        key(&[chat], fields).unwrap(),
        "agent:main:edge:phone:chat:x-openwebui-chat-id:=7f3c"
    );
    assert_eq!(
        key(&[other], fields).unwrap(),
        "agent:main:edge:phone:chat:x-session-id:=7f3c"
    );
    assert_eq!(
        key(&[other, chat], fields),
        key(&[chat], fields),
        "in the order of the list"
    );
    assert_eq!(
        key(&[chat, (SESSION_HEADER, "trip")], fields).unwrap(),
        "agent:main:edge:phone:key:=trip"
    );
    assert_eq!(
        key(&[("x-session-id", " ")], fields).unwrap(),
        "agent:main:edge:phone:user:=alice"
    );
    assert_eq!(
        key(&[chat], "agents=main").unwrap(),
        "agent:main:edge:phone:user:=alice"
    );
    assert_eq!(
        key(&[("x-session-id", "cron:x")], fields),
        Err(Failure::invalid(
            "x-session-id",
            "x-session-id names a reserved namespace (subagent:, cron:, acp:)."
        ))
    );
}

#[test]
fn a_chat_uis_own_call_leaves_no_trace_in_the_conversation() {
    let body = r####"{"messages":[{"role":"user","content":"### Task:\nGenerate a title.\n<chat_history>…</chat_history>"}]}"####;
    let chat = [("x-openwebui-chat-id", "7f3c")];
    let accept =
        |fields: &str| accepted_with(body, &chat, &format!("agents=main {fields}")).unwrap();
    let aside = accept("conversations=x-openwebui-chat-id");
    assert!(aside.is_ui_task);
    assert_eq!(
        session_key(&aside),
        "agent:main:edge:phone:run:02020202020202020202020202020202"
    );
    let inline = accept("conversations=x-openwebui-chat-id tasks=inline");
    assert!(!inline.is_ui_task);
    assert_eq!(
        session_key(&inline),
        "agent:main:edge:phone:chat:x-openwebui-chat-id:=7f3c"
    );
    assert!(!accept("").is_ui_task, "a fresh session needs no other");
}

#[test]
fn thoughts_are_wanted_by_header_or_key() {
    let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let wants = |header: &str, fields| {
        accepted_with(body, &[(REASONING_HEADER, header)], fields).map(|a| a.turn.wants_thoughts)
    };
    for (header, fields, expected) in [
        ("", "agents=main", false),
        ("on", "agents=main", true),
        ("", "agents=main reasoning=on", true),
        ("off", "agents=main reasoning=on", false),
    ] {
        assert_eq!(wants(header, fields), Ok(expected), "{header} {fields}");
    }
    assert!(wants("yes", "agents=main").is_err());
}

#[test]
fn a_run_that_its_client_names_is_the_same_whenever_it_asks() {
    let body = r#"{"user":"alice","messages":[{"role":"user","content":"hi"}]}"#;
    let fresh = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let run = |body, key: &str, agent: &str| {
        let accepted = accepted_with(
            body,
            &[(IDEMPOTENCY_HEADER, key), (AGENT_HEADER, agent)],
            "agents=main,beta",
        )
        .unwrap();
        assert!(accepted.is_keyed && accepted.turn.may_exist);
        (
            accepted.turn.run.as_str().to_owned(),
            session_key(&accepted),
        )
    };
    assert_eq!(run(body, "k1", "main"), run(body, "k1", "main"));
    assert_eq!(
        run(fresh, "k1", "main"),
        run(fresh, "k1", "main"),
        "and its session is the same one"
    );
    let runs = [
        run(body, "k1", "main").0,
        run(body, "k2", "main").0,
        run(body, "k1", "beta").0,
        run(fresh, "k1", "main").0,
    ];
    for (i, a) in runs.iter().enumerate() {
        for b in runs.iter().skip(i + 1) {
            assert_ne!(a, b);
        }
    }
    assert!(!accepted(body, "agents=main").unwrap().turn.may_exist);
    for bad in ["x".repeat(256).as_str(), "caf\u{e9}"] {
        let refused = accepted_with(body, &[(IDEMPOTENCY_HEADER, bad)], "agents=main");
        assert_eq!(testing::refused_param(refused), IDEMPOTENCY_HEADER);
    }
}

#[test]
fn a_named_session_is_sent_only_new_messages() {
    let body = r#"{"user":"alice","messages":[{"role":"user","content":"q1"},{"role":"assistant","content":"a1"},{"role":"user","content":"q2"}]}"#;
    assert_eq!(accepted(body, "agents=main").unwrap().turn.message, "q2");
}

#[test]
fn a_request_names_a_model_unless_a_header_names_the_agent() {
    for body in [
        r#"{"messages":[{"role":"user","content":"hi"}],"model":null}"#,
        r#"{"messages":[{"role":"user","content":"hi"}],"model":" "}"#,
    ] {
        assert_eq!(refused_param(body, "agents=main"), "model");
        let of_header = accepted_with(body, &[(AGENT_HEADER, "main")], "agents=main").unwrap();
        assert_eq!(of_header.model, "openclaw");
    }
}
