//! The settings of a client, with a new key. The texts are those of the documents: the tests run
//! each snippet of docs/clients.md, and a section of docs/recipes.md says whether somebody ran it.

/// The document of the libraries: each section has snippets, the first of a language is the one.
const LIBRARIES: &str = include_str!("../../../../docs/clients.md");

/// The document of the apps: each section has steps, a file of settings, or both.
const APPS: &str = include_str!("../../../../docs/recipes.md");

/// The Worker of the documents.
const EXAMPLE: &str = "https://clawfront.example.workers.dev";

/// The model of the documents, in code.
const MODEL: &str = "\"openclaw\"";

/// The step of a recipe that makes the key, which is done.
const MAKE: &str = "1. Make a";

/// The option of a key by which an app's chats are sessions.
const CONVERSATIONS: &str = "--conversations ";

/// A client whose settings can be printed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    name: String,
    text: Text,
}

/// The settings as the documents have them.
#[derive(Debug, PartialEq, Eq)]
enum Text {
    /// Code, which reads the address and the key from the environment.
    Code(String),
    /// The section of an app, and the header by which it names a conversation.
    Section(String, Option<String>),
}

/// The settings of a client, for one key.
pub(super) struct Settings {
    /// The variables of the environment that the snippet reads.
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) snippet: String,
    /// The header that the key should name, but does not.
    pub(super) conversations: Option<String>,
}

/// Returns the names of all clients.
pub(crate) fn names() -> Vec<String> {
    clients().into_iter().map(|client| client.name).collect()
}

pub(super) fn find(name: &str) -> Option<Client> {
    clients().into_iter().find(|client| client.name == name)
}

fn clients() -> Vec<Client> {
    let apps = sections(APPS).filter_map(|(title, body)| app(&title, &body));
    let libraries = sections(LIBRARIES).flat_map(|(title, body)| library(&title, &body));
    apps.chain(libraries).collect()
}

impl Client {
    /// Returns its settings for a key. Address, key and model have no character that needs an
    /// escape.
    pub(super) fn settings(self, url: &str, key: &str, model: &str) -> Settings {
        let of_key = |text: &str| {
            text.replace(EXAMPLE, url)
                .replace(MODEL, &format!("\"{model}\""))
        };
        match self.text {
            Text::Code(code) => Settings {
                variables: vec![
                    ("OPENAI_BASE_URL", format!("{url}/v1")),
                    ("OPENAI_API_KEY", key.to_owned()),
                ],
                snippet: of_key(&code),
                conversations: None,
            },
            Text::Section(section, conversations) => Settings {
                variables: Vec::new(),
                snippet: of_key(&section).replace("`openclaw`", &format!("`{model}`")),
                conversations,
            },
        }
    }
}

/// Returns the titles and the lines of a document's sections.
fn sections(document: &'static str) -> impl Iterator<Item = (String, Vec<&'static str>)> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for line in document.lines() {
        match (line.strip_prefix("## "), all.last_mut()) {
            (Some(title), _) => all.push((title.to_owned(), Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    all.into_iter()
}

/// Returns the clients of a section with snippets: one for each language.
fn library(title: &str, lines: &[&str]) -> Vec<Client> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut open = false;
    for line in lines {
        match (line.strip_prefix("```"), blocks.last_mut()) {
            (Some(language), _) if !open => {
                open = true;
                blocks.push((language, String::new()));
            }
            (Some(_), _) => open = false,
            (None, Some((_, code))) if open => *code += &[line, "\n"].concat(),
            _ => {}
        }
    }
    // A later snippet of a language is for another use of the library.
    let mut first: Vec<(&str, String)> = Vec::new();
    for (language, code) in blocks {
        if first.iter().all(|(known, _)| *known != language) {
            first.push((language, code));
        }
    }
    let has_one = first.len() == 1;
    let client = |(language, code)| Client {
        name: if has_one {
            slug(title)
        } else {
            format!("{}-{language}", slug(title))
        },
        text: Text::Code(code),
    };
    first.into_iter().map(client).collect()
}

/// Returns the app of a section with steps or a file of settings, without the step that makes the
/// key.
fn app(title: &str, lines: &[&str]) -> Option<Client> {
    let is_step = |line: &&&str| line.starts_with("1. ") || line.starts_with("```toml");
    lines.iter().find(is_step)?;
    let is_made = |line: &&&str| line.starts_with(MAKE);
    let made = lines.iter().find(is_made);
    let conversations = made.and_then(|line| line.split_once(CONVERSATIONS));
    let conversations = conversations.and_then(|(_, rest)| rest.split(' ').next());
    let kept = lines.iter().filter(|line| !line.starts_with(MAKE));
    let kept: Vec<_> = kept
        .map(|line| renumbered(&plain(line), made.is_some()))
        .collect();
    Some(Client {
        name: slug(title),
        text: Text::Section(
            format!("{title}\n{}\n", kept.join("\n").trim()),
            conversations.map(str::to_owned),
        ),
    })
}

/// Returns a step with the number of the step before it.
fn renumbered(line: &str, is_due: bool) -> String {
    match line.split_once(". ") {
        Some((number, rest)) if is_due => match number.parse::<u32>() {
            Ok(number) => format!("{}. {rest}", number.saturating_sub(1)),
            Err(_) => line.to_owned(),
        },
        _ => line.to_owned(),
    }
}

/// Returns a line of Markdown without its marks of emphasis and the targets of its links.
fn plain(line: &str) -> String {
    let line = line.strip_prefix('*').unwrap_or(line);
    let line = line.strip_suffix('*').unwrap_or(line);
    let mut parts = line.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    let text = parts.fold(first, |text, part| {
        text + part.split_once(')').map_or(part, |(_, after)| after)
    });
    if text.len() == line.len() {
        return text;
    }
    text.replace('[', "")
}

/// Returns a title as a name: "A phone" is `phone`.
fn slug(title: &str) -> String {
    let name = title.to_lowercase().replace(' ', "-");
    name.strip_prefix("a-").unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_with_settings_is_a_client() {
        assert_eq!(
            names(),
            [
                "open-webui",
                "librechat",
                "phone",
                "home-assistant",
                "n8n",
                "codex",
                "curl",
                "openai-python",
                "openai-node",
                "ai-sdk",
                "langchain-js",
                "langchain-python",
            ]
        );
    }

    #[test]
    fn code_is_that_of_the_document_with_the_key_s_model() {
        for client in clients() {
            let Text::Code(code) = &client.text else {
                continue;
            };
            assert!(LIBRARIES.contains(&format!("\n{code}```")), "{code}");
            assert!(code.contains(MODEL), "{code}");
            let name = client.name.clone();
            let settings = client.settings("https://x", "claw_a_b", "openclaw/main");
            assert!(settings.snippet.contains("\"openclaw/main\""), "{name}");
            let key = ("OPENAI_API_KEY", "claw_a_b".to_owned());
            assert!(settings.variables.contains(&key), "{name}");
        }
    }

    #[test]
    fn an_app_has_its_steps_without_the_one_that_is_done() {
        let settings = |name: &str| {
            let client = find(name).unwrap();
            client.settings("https://x", "claw_a_b", "openclaw/main")
        };
        let webui = settings("open-webui");
        assert_eq!(
            webui.conversations.as_deref(),
            Some("x-openwebui-chat-id"),
            "{}",
            webui.snippet
        );
        assert!(webui.snippet.starts_with("Open WebUI\nWe ran version"));
        assert!(
            webui
                .snippet
                .contains("\n1. Start Open WebUI with `ENABLE_")
        );
        assert!(!webui.snippet.contains("clawfront keys new"));
        for name in names() {
            let snippet = settings(&name).snippet;
            assert!(!snippet.contains("clawfront.example"), "{name}: {snippet}");
            assert!(!snippet.contains("]("), "{name}: {snippet}");
        }
        assert!(
            settings("codex")
                .snippet
                .contains("base_url = \"https://x/v1\"")
        );
        assert!(settings("phone").snippet.contains("API host: `https://x`."));
        assert_eq!(plain("*a* [b](c.md#d), [e](f)."), "a* b, e.");
    }
}
