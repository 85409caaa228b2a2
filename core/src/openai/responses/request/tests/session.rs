use super::*;
use crate::turn::Otherwise;

/// A request that refers to an item of `first`.
fn referring(first: &AcceptedResponse, kind: &str, rest: &str) -> String {
    let id = format!("{kind}_{}_0", first.ids().items);
    format!(
        r#"{{"input":[{{"role":"user","content":"q1"}},{{"type":"item_reference","id":"{id}"}},{{"role":"user","content":"q2"}}]{rest}}}"#
    )
}

#[test]
fn a_response_that_names_another_continues_in_its_session() {
    let phone = client("phone", "agents=main");
    let first = accepted_of(&phone, r#"{"input":"hi"}"#, None).unwrap();
    let id = first.ids().response;
    assert_eq!(id.len(), 77, "{id}");
    let fresh = "agent:main:edge:phone:run:02020202020202020202020202020202";
    assert_eq!(session(&first), fresh);
    let body =
        |user: &str| format!(r#"{{"previous_response_id":"{id}","input":"and?","user":{user}}}"#);
    for user in ["null", r#""""#, r#"" ""#] {
        let second = accepted_of(&phone, &body(user), None).unwrap();
        assert_eq!(session(&second), fresh);
        assert_eq!(
            (second.previous.as_deref(), second.ids().response),
            (Some(id.as_str()), id.clone())
        );
    }
    for (user, header) in [
        (r#""alice""#, None),
        ("null", Some("trip")),
        (r#""alice""#, Some("trip")),
    ] {
        assert_eq!(
            refused_param(accepted_of(&phone, &body(user), header)),
            "previous_response_id",
            "it would go on in another session: {user} {header:?}"
        );
    }
}

#[test]
fn the_id_of_another_keys_response_leads_nowhere() {
    let id = accepted(r#"{"input":"hi"}"#).unwrap().ids().response;
    let other = client("guest", "agents=main");
    let mut cut = id.clone();
    cut.pop();
    let of_nobody = format!("resp_{}{UNIQUE}", "0".repeat(40));
    let of_no_session = format!("resp_{UNIQUE}");
    for id in [
        id.as_str(),
        &cut,
        &of_nobody,
        &of_no_session,
        "resp_",
        "chatcmpl-1",
        "resp_\u{fc}",
        &id.to_uppercase(),
    ] {
        let body = serde_json::json!({ "input": "hi", "previous_response_id": id }).to_string();
        assert_eq!(
            refused_param(accepted_of(&other, &body, None)),
            "previous_response_id",
            "{id}"
        );
    }
}

#[test]
fn a_reference_to_an_item_continues_in_its_session_with_new_messages_only() {
    let phone = client("phone", "agents=main");
    let first = accepted_of(&phone, r#"{"input":"q1"}"#, None).unwrap();
    let second = accepted_of(&phone, &referring(&first, "msg", ""), None).unwrap();
    assert_eq!(session(&second), session(&first));
    let turn = &second.accepted.turn;
    assert_eq!(turn.message, "q2");
    let earlier = turn.earlier.clone().unwrap();
    assert!(earlier.turns.is_empty() && matches!(earlier.otherwise, Otherwise::Refuse(_)));
    assert_eq!(
        second.ids().items,
        first.ids().items,
        "and is gone on from again"
    );
    for (name, session_header) in [(r#","user":"anna""#, None), ("", Some("trip"))] {
        let named = |body: &str| accepted_of(&phone, body, session_header);
        let first = named(&format!(r#"{{"input":"q1"{name}}}"#)).unwrap();
        assert_eq!(
            session(&named(&referring(&first, "msg", name)).unwrap()),
            session(&first)
        );
        assert_eq!(
            refused_param(accepted_of(&phone, &referring(&first, "msg", ""), None)),
            "input[1].id"
        );
    }
}

#[test]
fn a_reference_to_an_item_of_another_key_or_session_is_refused() {
    let phone = client("phone", "agents=main");
    let first = accepted_of(&phone, r#"{"input":"q1"}"#, None).unwrap();
    let guest = client("guest", "agents=main");
    assert_eq!(
        refused_param(accepted_of(&guest, &referring(&first, "msg", ""), None)),
        "input[1].id"
    );
    assert_eq!(
        refused_param(accepted_of(&phone, &referring(&first, "ws", ""), None)),
        "input[1].id"
    );
    assert_eq!(
        refused_param(accepted_of(
            &phone,
            &referring(&first, "msg", ""),
            Some("trip")
        )),
        "input[1].id"
    );
    let user = referring(&first, "msg", r#","user":"anna""#);
    assert_eq!(
        refused_param(accepted_of(&phone, &user, None)),
        "input[1].id"
    );
    let id = first.unnamed_ids(UNIQUE).response;
    let body = format!(r#"{{"input":"q2","previous_response_id":"{id}"}}"#);
    assert_eq!(
        refused_param(accepted_of(&phone, &body, None)),
        "previous_response_id"
    );
}

#[test]
fn a_session_that_the_client_named_is_named_again() {
    let phone = client("phone", "agents=main");
    let id = accepted_of(&phone, r#"{"input":"hi","user":"alice"}"#, None)
        .unwrap()
        .ids()
        .response;
    assert_eq!(id.len(), 45, "{id}");
    let next = |user: &str, header: Option<&str>| {
        accepted_of(
            &phone,
            &format!(r#"{{"previous_response_id":"{id}","input":"and?","user":{user}}}"#),
            header,
        )
    };
    let again = next(r#""alice""#, None).unwrap();
    assert_eq!(session(&again), "agent:main:edge:phone:user:=alice");
    assert_eq!(again.ids().response, id);
    for (user, header) in [
        ("null", None),
        (r#""bob""#, None),
        (r#""alice""#, Some("alice")),
        ("null", Some("trip")),
    ] {
        assert_eq!(
            refused_param(next(user, header)),
            "previous_response_id",
            "{user} {header:?}"
        );
    }
}

#[test]
fn a_response_that_names_another_can_branch_off_from_it() {
    let phone = client("phone", "agents=main");
    let first = accepted_of(&phone, r#"{"input":"hi"}"#, None).unwrap();
    assert!(first.branch_ids().is_none() && first.accepted.turn.origin.is_none());
    let id = first.ids().response;
    let body = format!(r#"{{"previous_response_id":"{id}","input":"and?"}}"#);
    let second = accepted_of(&phone, &body, None).unwrap();
    let origin = second.accepted.turn.origin.clone().unwrap();
    assert_eq!(origin.run, first.accepted.turn.run.digits());
    assert!(id.ends_with(&origin.run));
    // The branch's id leads to the branch's session, and no other key there.
    let branch = second.branch_ids().unwrap().response;
    let body = format!(r#"{{"previous_response_id":"{branch}","input":"and?"}}"#);
    let third = accepted_of(&phone, &body, None).unwrap();
    assert_eq!(third.accepted.turn.session, origin.session.unwrap());
    let guest = client("guest", "agents=main");
    assert_eq!(
        refused_param(accepted_of(&guest, &body, None)),
        "previous_response_id"
    );

    // A session that its client names stays the one that it names.
    let named = |body: &str| accepted_of(&phone, body, Some("trip")).unwrap();
    let first = named(r#"{"input":"hi"}"#);
    let id = first.ids().response;
    let second = named(&format!(
        r#"{{"previous_response_id":"{id}","input":"and?"}}"#
    ));
    let origin = second.accepted.turn.origin.clone().unwrap();
    assert!(origin.session.is_none());
    assert_eq!(second.branch_ids().unwrap().response, second.ids().response);
}
