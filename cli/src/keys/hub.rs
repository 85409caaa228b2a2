//! The keys and the runs of a Worker's hub, changed and printed over the admin API.

mod address;
mod api;
pub(crate) mod console;
pub(crate) mod operate;
pub(super) mod snippet;
pub(crate) mod status;
pub(crate) mod usage;
mod view;

use clap::Args;
use clawfront_core::access::field::{FIELDS, Field};
use clawfront_core::access::key::{KeyId, NewKey};
use serde_json::{Map, Value, json};

use super::apply::Change;
use super::entry::{key_id, new_entry};
use super::fields::Fields;
use crate::outcome::{CONFLICT, NOT_IN_FORCE, Output, Problem, USAGE};
use crate::system::{entropy, now_ms};
use api::{Hub, Refused};
use snippet::Settings;

pub(crate) use address::ADMIN_KEY;

const KEYS: &str = "/keys";

const BAD_REQUEST: u16 = 400;
const MISSING: u16 = 404;

/// The hub, and the form of the output.
#[derive(Args)]
pub(crate) struct Options {
    /// Address of the Worker; default: `CLAWFRONT_URL` in .dev.vars, else the running `npm start`
    #[arg(long, value_name = "URL")]
    worker: Option<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// A key of the hub.
#[derive(Args)]
pub(crate) struct One {
    id: String,
    #[command(flatten)]
    options: Options,
}

/// A change of a key's fields.
#[derive(Args)]
pub(crate) struct Set {
    id: String,
    #[command(flatten)]
    fields: Fields,
    /// Give a field its default again; may be repeated
    #[arg(long, value_name = "FIELD")]
    unset: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// The hub, and the form of the output, of commands that also have a list.
pub(super) struct Form<'a> {
    pub(super) worker: Option<&'a str>,
    pub(super) json: bool,
}

impl<'a> Form<'a> {
    pub(super) fn of(change: &'a Change) -> Self {
        Self {
            worker: change.target.worker.as_deref(),
            json: change.source.json,
        }
    }

    fn of_options(options: &'a Options) -> Self {
        Self {
            worker: options.worker.as_deref(),
            json: options.json,
        }
    }

    /// Returns the answer as JSON, or `text`.
    fn output(&self, answer: &Value, text: String) -> Output {
        if self.json {
            Output::line(view::escaped(&answer.to_string()))
        } else {
            Output::of(text)
        }
    }
}

/// Makes a key.
pub(super) fn new(
    form: &Form<'_>,
    id: &str,
    fields: &Fields,
    client: Option<&str>,
) -> Result<Output, Problem> {
    let id = key_id(id)?;
    let given = |name: &str| fields.given().find(|(field, _)| *field == name);
    if client.is_some() && given("scopes").is_some_and(|(_, scopes)| scopes.contains("admin")) {
        let message = "--for is for a key that chats, and an administrator's does not";
        return Err(Problem::with(USAGE, message));
    }
    // The Worker checks the fields, too. Here a key that was given by mistake is not even sent.
    new_entry(&id, &NewKey::from_entropy(&id, &entropy()?), fields.given())?;
    let hub = Hub::open(form.worker)?;
    let mut body = members(fields.given());
    body.insert("id".to_owned(), id.as_str().into());
    let made = hub.change("POST", KEYS, &Value::Object(body));
    let mut answer = made.map_err(|refused| match refused {
        // The id itself has been checked here, so it is taken, or the hub is full.
        Refused::Answer {
            status: BAD_REQUEST,
            param,
            message,
            ..
        } if param == "id" => Problem::with(CONFLICT, message),
        other => other.problem(&hub, &id),
    })?;
    let key = key_of(&hub, &id, &answer)?;
    let model = view::model(&answer);
    let client = client.and_then(snippet::find);
    let mut settings = client.map(|client| client.settings(&hub.url, &key, &model));
    if let Some(settings) = &mut settings {
        // The key may name another header.
        settings
            .conversations
            .take_if(|_| given("conversations").is_some());
    }
    let text = view::new_text(&hub.url, &id, &key, &model)
        + &settings
            .as_ref()
            .map_or_else(String::new, |settings| view::settings_text(&id, settings));
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("base_url".to_owned(), format!("{}/v1", hub.url).into());
        answer.insert("model".to_owned(), model.into());
        if let Some(Settings {
            variables, snippet, ..
        }) = settings
        {
            let variables = variables.into_iter();
            let variables: Map<_, _> = variables
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            answer.insert("environment".to_owned(), variables.into());
            answer.insert("snippet".to_owned(), snippet.into());
        }
    }
    Ok(form.output(&answer, text))
}

/// Prints all keys.
pub(super) fn list(form: &Form<'_>) -> Result<Output, Problem> {
    let hub = Hub::open(form.worker)?;
    let answer = hub.get(KEYS).map_err(|refused| refused.of_hub(&hub))?;
    let text = view::list_text(&hub.url, view::data(&answer), now_ms()?);
    Ok(form.output(&answer, text))
}

/// Prints one key.
pub(super) fn show(form: &Form<'_>, id: &str) -> Result<Output, Problem> {
    let id = key_id(id)?;
    let hub = Hub::open(form.worker)?;
    let answer = hub.get(&path(&id));
    let answer = answer.map_err(|refused| refused.problem(&hub, &id))?;
    Ok(form.output(&answer, view::key_text(&answer, now_ms()?)))
}

/// Changes fields of a key.
pub(super) fn set(set: &Set) -> Result<Output, Problem> {
    let mut body = members(set.fields.given());
    for name in &set.unset {
        let name = name.replace('-', "_");
        let field = FIELDS.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| {
            let names: Vec<_> = FIELDS.iter().map(option).collect();
            let message = format!("--unset takes one of {}", names.join(", "));
            Problem::with(USAGE, message)
        })?;
        if body.insert(field.member.to_owned(), Value::Null).is_some() {
            let message = format!("--{0} and --unset {0} contradict each other", option(field));
            return Err(Problem::with(USAGE, message));
        }
    }
    if body.is_empty() {
        let message = "no field is given. Fix: add an option such as --rpm 30, or --unset FIELD";
        return Err(Problem::with(USAGE, message));
    }
    change(&set.id, &set.options, &Value::Object(body))
}

/// Disables or enables a key.
pub(super) fn disable(one: &One, is_disabled: bool) -> Result<Output, Problem> {
    change(&one.id, &one.options, &json!({ "disabled": is_disabled }))
}

fn change(id: &str, options: &Options, body: &Value) -> Result<Output, Problem> {
    let form = Form::of_options(options);
    let id = key_id(id)?;
    let hub = Hub::open(form.worker)?;
    let answer = hub.change("POST", &path(&id), body);
    let answer = answer.map_err(|refused| refused.problem(&hub, &id))?;
    Ok(form.output(&answer, view::key_text(&answer, now_ms()?)))
}

/// Gives a key a new secret; the old one works until the overlap ends.
pub(super) fn rotate(form: &Form<'_>, id: &str, overlap_s: Option<u64>) -> Result<Output, Problem> {
    let id = key_id(id)?;
    let hub = Hub::open(form.worker)?;
    let body = overlap_s.map_or_else(|| json!({}), |overlap_s| json!({ "overlap_s": overlap_s }));
    let answer = hub.change("POST", &format!("{}/rotate", path(&id)), &body);
    let answer = answer.map_err(|refused| refused.problem(&hub, &id))?;
    let key = key_of(&hub, &id, &answer)?;
    let text = view::rotated_text(&id, &key, &answer, now_ms()?);
    Ok(form.output(&answer, text))
}

/// Revokes a key, and looks whether it has gone. With the key itself, looks whether it is refused.
pub(super) fn revoke(form: &Form<'_>, id: &str, key: Option<&str>) -> Result<Output, Problem> {
    let id = key_id(id)?;
    if key.is_some_and(|key| !is_key_of(&id, key)) {
        let message = format!("the key on standard input is not one of {id}; nothing was changed");
        return Err(Problem::with(USAGE, message));
    }
    let hub = Hub::open(form.worker)?;
    // A key that was never admitted shows nothing when it is refused.
    let was_admitted = key.is_some_and(|key| hub.admits(key).is_ok_and(|is| is));
    let answer = hub.change("DELETE", &path(&id), &Value::Null);
    let mut answer = answer.map_err(|refused| refused.problem(&hub, &id))?;
    let is_deleted = answer.get("deleted").and_then(Value::as_bool) == Some(true);
    let is_gone = matches!(
        hub.get(&path(&id)),
        Err(Refused::Answer { status: MISSING, code, .. }) if code == "key_not_found"
    );
    if !(is_deleted && is_gone) {
        return Err(Problem::with(
            NOT_IN_FORCE,
            format!(
                "{} has not confirmed that {id} is revoked. Fix: run `clawfront keys revoke {id}` \
                 again",
                hub.url
            ),
        ));
    }
    let Some(key) = key else {
        let text = format!(
            "Revoked: {id}. The hub at {} refuses it from the next request on, and ends its \
             streams.\nThe key itself was not tried, because it is not known here: --key-stdin \
             tries it.\n",
            hub.url
        );
        return Ok(form.output(&answer, text));
    };
    let not_shown = match (was_admitted, hub.admits(key)) {
        (true, Ok(false)) => None,
        (false, Ok(false)) => Some("it was refused before, too".to_owned()),
        (_, Ok(true)) => Some("it is still admitted".to_owned()),
        (_, Err(refused)) => Some(refused.of_hub(&hub).message),
    };
    if let Some(why) = not_shown {
        return Err(Problem::with(
            NOT_IN_FORCE,
            format!(
                "the hub at {} has revoked {id}, but the key on standard input does not show it: \
                 {why}. Fix: see `clawfront keys show {id}`",
                hub.url
            ),
        ));
    }
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("refused".to_owned(), true.into());
    }
    let text = format!(
        "Revoked: {id}. The Worker at {} has admitted the key before, and refuses it now.\n",
        hub.url
    );
    Ok(form.output(&answer, text))
}

/// Returns true for a text that can be a key of this id.
fn is_key_of(id: &KeyId, key: &str) -> bool {
    key.starts_with(&format!("claw_{id}_")) && address::is_plain(key)
}

/// `clawfront audit`: prints the record of all changes.
pub(crate) fn audit(options: &Options) -> Result<Output, Problem> {
    let form = Form::of_options(options);
    let hub = Hub::open(form.worker)?;
    let answer = hub.get("/audit").map_err(|refused| refused.of_hub(&hub))?;
    Ok(form.output(&answer, view::audit_text(view::data(&answer))))
}

fn path(id: &KeyId) -> String {
    format!("{KEYS}/{id}")
}

/// Returns the option of a field, without its dashes.
fn option(field: &Field) -> String {
    field.name.replace('_', "-")
}

/// Returns fields as members of a body. The API takes the text of an entry for every field.
fn members<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    fields
        .filter_map(|(name, value)| {
            let field = FIELDS.iter().find(|field| field.name == name)?;
            Some((field.member.to_owned(), value.into()))
        })
        .collect()
}

/// Takes the new key out of an answer.
fn key_of(hub: &Hub, id: &KeyId, answer: &Value) -> Result<zeroize::Zeroizing<String>, Problem> {
    let key = answer
        .get("key")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !is_key_of(id, key) {
        return Err(Problem::with(
            NOT_IN_FORCE,
            format!(
                "the answer of {} has no key. Fix: run `clawfront keys revoke {id}`, and check \
                 the address",
                hub.url
            ),
        ));
    }
    Ok(key.to_owned().into())
}
