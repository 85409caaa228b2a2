use super::*;
use crate::access::proof;
use crate::agent::AgentId;
use crate::session::Session;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn links(key: &str, run: &str) -> Links {
    Links {
        secret: KeysSecret::parse(SECRET.to_owned()).unwrap(),
        origin: "https://claw.example.com".to_owned(),
        key: KeyId::parse(key).unwrap(),
        run: run.to_owned(),
    }
}

fn link_of(links: &Links, source: &str, session: &str) -> (String, Option<Linked>) {
    let agent = AgentId::parse("main").unwrap();
    let nonce = [session.as_bytes()[0]; 16];
    let session = Session::fresh(&links.key, &nonce).key(&agent);
    let file = File {
        source,
        agent: &agent,
        session: &session,
    };
    links.link(&file, 1_795_374_174)
}

#[test]
fn a_link_has_an_id_instead_of_the_path() {
    let links = links("phone", "r1");
    let (link, linked) = link_of(&links, "/srv/openclaw/ws/red square.png", "a");
    let linked = linked.unwrap();
    assert_eq!(
        link,
        format!(
            "![red square.png](https://claw.example.com/v1/files/{}/content)",
            linked.id
        )
    );
    assert!(links.secret.made_file(&linked.id), "{}", linked.id);
    let row = format!("1795374174000\t{}", linked.row);
    let read = Row::read(&row).unwrap();
    assert_eq!(read.key, "phone");
    assert_eq!(read.agent, "main");
    assert_eq!(read.created_s, 1_795_374_174);
    assert_eq!(read.source, "/srv/openclaw/ws/red square.png");
    let (link, _) = link_of(&links, "./voice.wav", "a");
    assert!(link.starts_with("[voice.wav]("), "{link}");
}

#[test]
fn an_id_is_of_its_key_session_run_and_path() {
    let id = |key, run, source, session| {
        let (_, linked) = link_of(&links(key, run), source, session);
        linked.unwrap().id
    };
    let first = id("phone", "r1", "/a.png", "a");
    assert_eq!(first, id("phone", "r1", "/a.png", "a"));
    assert_eq!(first.len(), 45);
    for other in [
        id("other", "r1", "/a.png", "a"),
        id("phone", "r2", "/a.png", "a"),
        id("phone", "r1", "/b.png", "a"),
        id("phone", "r1", "/a.png", "b"),
    ] {
        assert_ne!(first, other);
    }
    let of_key = |id: &str| id.get(..proof::FILE_OF_KEY_CHARS).unwrap().to_owned();
    assert_eq!(of_key(&first), of_key(&id("phone", "r2", "/b.png", "b")));
    assert_ne!(of_key(&first), of_key(&id("other", "r1", "/a.png", "a")));
}

#[test]
fn a_forged_id_is_refused() {
    let links = links("phone", "r1");
    let id = link_of(&links, "/a.png", "a").1.unwrap().id;
    let mut forged = vec![
        String::new(),
        "file-".to_owned(),
        id.replace("file-", "fila-"),
    ];
    for place in 5..id.len() {
        let mut bytes = id.clone().into_bytes();
        bytes[place] = if bytes[place] == b'a' { b'b' } else { b'a' };
        forged.push(String::from_utf8(bytes).unwrap());
    }
    forged.push(format!("{id}a"));
    forged.push(id.get(..44).unwrap().to_owned());
    // A key of the hub has such a proof, too.
    let key = links.secret.new_key(&links.key, &[7; 15]).plaintext;
    forged.push(key.to_string());
    for forged in forged {
        assert!(!links.secret.made_file(&forged), "{forged}");
    }
}

#[test]
fn a_name_cannot_end_its_link() {
    let links = links("phone", "r1");
    for (source, shown) in [
        (
            "/a/](https:)//evil.example) x.png",
            "![evil.example_ x.png](",
        ),
        (
            "/a/b](javascript:alert(1)).png",
            "![b__javascript:alert_1__.png](",
        ),
        ("/a/<img src=x>\n.gif", "![_img src=x__.gif]("),
        ("C:\\files\\a\"b.webp", "![a_b.webp]("),
        ("/own#er/r #3.png", "![r #3.png]("),
        ("/a/inv\u{202E}gnp.exe", "[inv_gnp.exe]("),
        ("/", "[file]("),
        ("", "[file]("),
    ] {
        let (link, linked) = link_of(&links, source, "a");
        assert!(link.starts_with(shown), "{link}");
        assert!(linked.is_some() && link.ends_with("/content)"), "{link}");
    }
    let (link, _) = link_of(&links, &format!("/{}.png", "x".repeat(500)), "a");
    assert!(link.len() < 250, "{link}");
}

#[test]
fn a_file_elsewhere_keeps_its_url() {
    let links = links("phone", "r1");
    for (source, shown) in [
        (
            "https://files.example/a b.png?x=(1)",
            "![a b.png](https://files.example/a%20b.png?x=%281%29)",
        ),
        (
            "HTTP://files.example/",
            "[files.example](HTTP://files.example/)",
        ),
    ] {
        let (link, linked) = link_of(&links, source, "a");
        assert_eq!((link.as_str(), linked), (shown, None));
    }
    // Not a URL of a page: the gateway decides about it.
    for source in [
        "file:///etc/passwd",
        "media://inbound/x.png",
        "httpss/x.png",
    ] {
        assert!(link_of(&links, source, "a").1.is_some(), "{source}");
    }
}

#[test]
fn only_media_is_shown_in_place() {
    let row = Row {
        until_ms: 99_000,
        key: "phone",
        created_s: 1,
        agent: "main",
        session: "agent:main:edge:phone:a",
        source: "/srv/a;b\".png",
    };
    for (kind, shown, disposition) in [
        ("image/png", "image/png", "inline"),
        ("audio/wav; x=y", "audio/wav", "inline"),
        ("application/pdf", "application/pdf", "attachment"),
        ("text/plain; charset=utf-8", "text/plain", "attachment"),
        ("text/html", "application/octet-stream", "attachment"),
        ("image/png, text/html", "image/png", "inline"),
        ("image/svg+xml", "application/octet-stream", "attachment"),
        (
            "application/xhtml+xml",
            "application/octet-stream",
            "attachment",
        ),
        ("", "application/octet-stream", "attachment"),
    ] {
        let head = row.head(&ResponseMeta::default(), kind);
        let header = |name| {
            let mut headers = head.headers.iter();
            headers
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(header("content-type"), Some(shown), "{kind}");
        assert_eq!(
            header("content-disposition"),
            Some(&*format!("{disposition}; filename*=UTF-8''a%3Bb_.png"))
        );
        assert_eq!(header("x-content-type-options"), Some("nosniff"));
        assert_eq!(
            header("content-security-policy"),
            Some("sandbox; default-src 'none'")
        );
    }
}

#[test]
fn one_range_is_written_again() {
    for (header, written) in [
        ("bytes=0-9", Some("bytes=0-9")),
        (" bytes=5-", Some("bytes=5-")),
        ("bytes=-7", Some("bytes=-7")),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
        ("bytes=0-1\r\nx: y", None),
        ("bytes=0-1111111111111111", None),
    ] {
        assert_eq!(range(header).as_deref(), written, "{header}");
    }
}

#[test]
fn links_are_taken_out_of_a_conversation() {
    let links = links("phone", "r1");
    let (link, _) = link_of(&links, "/a.png", "a");
    let (other, _) = link_of(&links, "/b.pdf", "a");
    for (text, rest) in [
        (format!("Here.\n\n{link}"), Some("Here.")),
        (format!("Here.\n\n{link}\n\n{other}\n"), Some("Here.")),
        (link.clone(), Some("")),
        (format!("{link}\nThe rest."), Some("The rest.")),
        (format!("See {link}"), None),
        (
            "[x](z/v1/files/file-zzz hidden words /content)".to_owned(),
            None,
        ),
        (link.replace("file-", "fila-"), None),
        ("![a](https://other.example/a.png)".to_owned(), None),
        (
            "[a](https://x.example/v1/files/other/content)".to_owned(),
            None,
        ),
        ("Nothing.".to_owned(), None),
    ] {
        assert_eq!(without_links(&text).as_deref(), rest, "{text}");
    }
}

#[test]
fn the_origin_is_the_clients() {
    for (url, forwarded, expected) in [
        ("https://a.example/v1/x?y", None, "https://a.example"),
        ("http://127.0.0.1:8787/v1", None, "http://127.0.0.1:8787"),
        ("http://a.example/v1", Some("https"), "https://a.example"),
        (
            "http://a.example/v1",
            Some("HTTPS, http"),
            "https://a.example",
        ),
        (
            "http://a.example/v1",
            Some("http, https"),
            "http://a.example",
        ),
        ("https://a.example/v1", Some("http"), "https://a.example"),
        ("http://a.example", Some("gopher"), "http://a.example"),
    ] {
        assert_eq!(origin(url, forwarded), expected, "{url}");
    }
}

#[test]
fn the_object_is_openais() {
    let row = Row {
        until_ms: 99_000,
        key: "phone",
        created_s: 7,
        agent: "main",
        session: "agent:main:edge:phone:a",
        source: "/srv/a\\\"b.png",
    };
    let object: serde_json::Value = serde_json::from_slice(&row.object("file-x", 12)).unwrap();
    assert_eq!(object["filename"], "_b.png");
    assert_eq!(object["bytes"], 12);
    assert_eq!(object["expires_at"], 99);
    assert_eq!(object["object"], "file");
}
