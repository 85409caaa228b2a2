//! The settings of a client, with a new key.

use clap::ValueEnum;

/// A client whose settings can be printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Client {
    OpenWebui,
    OpenaiPython,
    OpenaiNode,
    Curl,
}

impl Client {
    /// Returns its settings. Address, key and model have no character that needs an escape.
    pub(super) fn snippet(self, url: &str, key: &str, model: &str) -> String {
        match self {
            Self::OpenWebui => format!(
                "Admin Settings, Connections, OpenAI API:\n  URL    {url}/v1\n  Key    {key}\n  \
                 Model  {model}\n"
            ),
            Self::OpenaiPython => format!(
                r#"from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
answer = client.chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "Hello!"}}]
)
print(answer.choices[0].message.content)
"#
            ),
            Self::OpenaiNode => format!(
                r#"import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{url}/v1", apiKey: "{key}" }});
const answer = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello!" }}],
}});
console.log(answer.choices[0].message.content);
"#
            ),
            Self::Curl => format!(
                r#"curl -N {url}/v1/chat/completions \
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \
  -d '{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Hello!"}}]}}'
"#
            ),
        }
    }
}
