use super::*;
use crate::agent::{AboutAgent, Input};
use crate::openai::testing;

fn client(fields: &str) -> Grant {
    testing::client("phone", fields)
}

fn agent(id: &str) -> AgentId {
    AgentId::parse(id).unwrap()
}

fn known(agents: &[&str], default_agent: Option<&str>) -> AgentList {
    AgentList {
        agents: agents.iter().map(|id| agent(id)).collect(),
        default_agent: default_agent.map(agent),
        ..AgentList::default()
    }
}

fn ids(client: &Grant, known: Option<&AgentList>) -> Vec<String> {
    ids_by(Names::All, client, known)
}

fn ids_by(names: Names, client: &Grant, known: Option<&AgentList>) -> Vec<String> {
    let aliases = Aliases::parse("gpt-4o=main other=secret").unwrap();
    list(client, &aliases, known, names)
        .into_iter()
        .map(|model| model.id)
        .collect()
}

#[test]
fn a_model_names_an_agent_in_every_documented_form() {
    let aliases = Aliases::parse("gpt-4o=main,\n notes=beta").unwrap();
    for (model, expected) in [
        ("openclaw:beta", Some("beta")),
        ("openclaw/beta", Some("beta")),
        ("agent:beta", Some("beta")),
        ("OpenClaw/Beta", Some("beta")),
        (" AGENT:BETA ", Some("beta")),
        ("beta", Some("beta")),
        ("gpt-4o", Some("main")),
        ("GPT-4o", Some("main")),
        // The operator's name takes precedence over the gateway's.
        ("notes", Some("beta")),
        ("openclaw/notes", Some("notes")),
        ("", None),
        ("openclaw", None),
        ("OpenClaw", None),
        ("openclaw/default", None),
        ("openclaw:default", None),
    ] {
        assert_eq!(
            agent_of(model, &aliases),
            Ok(expected.map(agent)),
            "{model}"
        );
    }
    for model in [
        "openclaw/",
        "agent:",
        "openclaw/a b",
        "gpt-4.1",
        "a/b",
        &"m".repeat(300),
    ] {
        assert_eq!(
            agent_of(model, &aliases),
            Err(Failure::ModelNotFound),
            "{model}"
        );
    }
}

#[test]
fn aliases_that_cannot_be_are_named_by_their_place() {
    for (text, why) in [
        (
            "gpt-4o",
            "alias 1 is not of the form name=agent, such as gpt-4o=main",
        ),
        (
            "a=b, x/y=main",
            "alias 2 is not of the form name=agent, such as gpt-4o=main",
        ),
        (
            "openclaw=main",
            "alias 1 is not of the form name=agent, such as gpt-4o=main",
        ),
        (
            "a=a:b",
            "alias 1 is not of the form name=agent, such as gpt-4o=main",
        ),
        ("a=b A=c", "alias 2 is given twice"),
    ] {
        assert_eq!(Aliases::parse(text), Err(why.to_owned()), "{text}");
    }
    assert_eq!(Aliases::parse(" "), Ok(Aliases::default()));
}

#[test]
fn a_key_lists_its_agents_of_those_that_are_there() {
    let there = known(&["main", "secret"], Some("main"));
    assert_eq!(
        ids(&client("agents=main,beta"), Some(&there)),
        ["openclaw", "openclaw/main", "main", "gpt-4o"]
    );
    assert_eq!(
        ids(&client("agents=*"), Some(&there)),
        [
            "openclaw",
            "openclaw/main",
            "openclaw/secret",
            "main",
            "secret",
            "gpt-4o",
            "other"
        ]
    );
    let no_default = known(&["main", "beta"], None);
    assert_eq!(
        ids(&client("agents=main,beta"), Some(&no_default)),
        ["openclaw/main", "openclaw/beta", "main", "beta", "gpt-4o"]
    );
    assert_eq!(
        ids(&client("agents=beta"), Some(&there)),
        Vec::<String>::new()
    );
}

#[test]
fn a_list_has_one_name_of_each_agent() {
    let one = |fields: &str, known: Option<&AgentList>| ids_by(Names::One, &client(fields), known);
    let there = known(&["main", "beta", "secret"], Some("main"));
    assert_eq!(one("agents=main", Some(&there)), ["openclaw"]);
    assert_eq!(
        one("agents=*", Some(&there)),
        ["openclaw", "openclaw/beta", "openclaw/secret"]
    );
    assert_eq!(
        one("agents=main,beta default=beta", Some(&there)),
        ["openclaw", "openclaw/main"]
    );
    let no_default = known(&["main", "beta"], None);
    assert_eq!(
        one("agents=main,beta", Some(&no_default)),
        ["openclaw/main", "openclaw/beta"]
    );
    assert_eq!(one("agents=gone", Some(&there)), Vec::<String>::new());
    assert_eq!(
        one("agents=main,beta default=beta", None),
        ["openclaw", "openclaw/main"]
    );
    assert_eq!(one("agents=*", None), ["openclaw"]);
    // `openclaw/default` means another agent.
    let odd = known(&["main", "default", "openclaw", "gpt-4o"], Some("main"));
    assert_eq!(
        one("agents=*", Some(&odd)),
        [
            "openclaw",
            "default",
            "openclaw/openclaw",
            "openclaw/gpt-4o"
        ]
    );
    let taken = Aliases::parse("default=main").unwrap();
    let ids: Vec<_> = list(&client("agents=*"), &taken, Some(&odd), Names::One)
        .into_iter()
        .map(|model| model.id)
        .collect();
    assert_eq!(
        ids,
        [
            "openclaw",
            "agent:default",
            "openclaw/openclaw",
            "openclaw/gpt-4o"
        ]
    );
}

#[test]
fn a_query_or_else_the_key_asks_for_all_names() {
    let (one, all) = (client("agents=main"), client("agents=main aliases=on"));
    for (query, client, names) in [
        (None, &one, Names::One),
        (None, &all, Names::All),
        (Some(""), &one, Names::One),
        (Some("limit=20&aliases=true"), &one, Names::All),
        (Some("aliases=false"), &all, Names::One),
        (Some("aliases=yes"), &all, Names::All),
        (Some("xaliases=true"), &one, Names::One),
    ] {
        assert_eq!(Names::of(query, client), names, "{query:?}");
    }
}

#[test]
fn without_the_gateway_the_key_alone_is_listed() {
    assert_eq!(
        ids(&client("agents=main,beta default=beta"), None),
        [
            "openclaw",
            "openclaw/main",
            "openclaw/beta",
            "main",
            "beta",
            "gpt-4o"
        ]
    );
    assert_eq!(ids(&client("agents=*"), None), ["openclaw"]);
    assert_eq!(
        ids(&client("agents=* default=main"), None),
        ["openclaw", "openclaw/main", "main", "gpt-4o"]
    );
}

#[test]
fn every_listed_name_is_found_and_means_what_it_is_listed_for() {
    let there = known(&["main", "beta"], Some("main"));
    let aliases = Aliases::parse("gpt-4o=main").unwrap();
    let odd = known(&["main", "default", "openclaw", "gpt-4o"], Some("main"));
    for (known, fields, names) in [
        (Some(&there), "agents=*", Names::All),
        (Some(&odd), "agents=*", Names::All),
        (Some(&odd), "agents=*", Names::One),
        (None, "agents=*", Names::All),
        (None, "agents=* default=main", Names::All),
    ] {
        let client = client(fields);
        for model in list(&client, &aliases, known, names) {
            let found = find(&model.id, &client, &aliases, known).unwrap();
            assert_eq!(found.id, model.id);
            // A name without a root is the root itself, or the default of an unknown agent.
            let root = model
                .root
                .or_else(|| model.id.contains('/').then(|| model.id.clone()));
            assert_eq!(found.root, root, "{}", model.id);
        }
    }
    assert_eq!(
        ids(&client("agents=*"), Some(&odd)),
        [
            "openclaw",
            "openclaw/main",
            "openclaw/openclaw",
            "openclaw/gpt-4o",
            "main",
            "default",
            "gpt-4o"
        ]
    );
    assert_eq!(
        find(" main ", &client("agents=*"), &aliases, Some(&there))
            .unwrap()
            .id,
        "main"
    );
    for id in ["gamma", "openclaw/gamma", "", "x/y"] {
        let client = self::client("agents=beta,gamma");
        let found = find(id, &client, &aliases, Some(&known(&["main"], Some("main"))));
        assert_eq!(found, Err(Failure::ModelNotFound), "{id}");
    }
}

#[test]
fn a_model_has_the_details_of_its_agent_under_every_name() {
    let there = AgentList {
        about: vec![AboutAgent {
            id: agent("main"),
            name: Some("Main".to_owned()),
            context_tokens: Some(200_000),
            input: Some(Input::TextAndImages),
            thinking: ["off", "low", "adaptive"].map(str::to_owned).to_vec(),
        }],
        ..known(&["main", "beta"], Some("main"))
    };
    let (client, aliases) = (client("agents=*"), Aliases::parse("gpt-4o=main").unwrap());
    for (id, known) in [
        ("openclaw", true),
        ("main", true),
        ("gpt-4o", true),
        ("openclaw/main", true),
        ("beta", false),
    ] {
        let model = find(id, &client, &aliases, Some(&there)).unwrap();
        assert_eq!(
            (model.name.as_deref(), model.context_length),
            if known {
                (Some("Main"), Some(200_000))
            } else {
                (None, None)
            }
        );
        for listed in list(&client, &aliases, Some(&there), Names::All)
            .into_iter()
            .filter(|model| model.id == id)
        {
            assert_eq!(
                (listed.name, listed.context_length),
                (model.name.clone(), model.context_length),
                "{id}"
            );
        }
    }
    let mut out = Vec::new();
    write_one(
        &find("main", &client, &aliases, Some(&there)).unwrap(),
        &mut out,
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"id":"main","object":"model","created":0,"owned_by":"openclaw","root":"openclaw/main","name":"Main","context_length":200000,"architecture":{"input_modalities":["text","image"],"output_modalities":["text"]},"reasoning":{"supported_efforts":["adaptive","low","none"]}}"#
    );
}

#[test]
fn a_model_that_cannot_think_has_no_efforts() {
    for levels in [&[][..], &["off"]] {
        let levels: Vec<_> = levels.iter().copied().map(str::to_owned).collect();
        assert_eq!(Reasoning::of(&levels), None);
    }
}

#[test]
fn a_list_is_written_as_openai_writes_it() {
    let mut out = Vec::new();
    write_list(
        &list(
            &client("agents=main"),
            &Aliases::default(),
            Some(&known(&["main"], None)),
            Names::All,
        ),
        &mut out,
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"object":"list","data":["#,
            r#"{"id":"openclaw","object":"model","created":0,"owned_by":"openclaw","root":"openclaw/main"},"#,
            r#"{"id":"openclaw/main","object":"model","created":0,"owned_by":"openclaw"},"#,
            r#"{"id":"main","object":"model","created":0,"owned_by":"openclaw","root":"openclaw/main"}]}"#,
        )
    );
}
