//! The values of an entry's fields: how each kind is parsed.
//!
//! An error is the end of a sentence that begins with the field's name. It never has the value.

use core::net::IpAddr;
use std::borrow::Cow;

use ipnet::IpNet;

use crate::access::date::Date;
use crate::access::origin::Origin;
use crate::access::policy::{Scope, Word};
use crate::agent::{AgentId, Agents};

/// The end of a sentence that describes a valid value.
pub(super) type Mistake = Cow<'static, str>;

/// Longest list of origins, networks or headers, in entries.
const MAX_LIST: usize = 16;

/// Longest label, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// Longest header name of `conversations`, in bytes.
const MAX_HEADER_NAME_BYTES: usize = 64;

/// Parts of the names of headers that can never name a conversation: they hold secrets, or have a
/// meaning of their own.
const NO_CONVERSATION: [&str; 9] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
    "x-openclaw-",
    "content-type",
];

pub(super) fn switch(text: &str) -> Result<bool, Mistake> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is on or off".into()),
    }
}

pub(super) fn word<T: Word>(text: &str) -> Result<T, Mistake> {
    let word = T::all().iter().find(|word| word.name() == text);
    word.copied().ok_or_else(|| {
        let names: Vec<_> = T::all().iter().map(|word| word.name()).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        format!("is {} or {last}", others.join(", ")).into()
    })
}

pub(super) fn date(text: &str) -> Result<Option<Date>, Mistake> {
    let date = Date::parse(text).ok_or("is written 2027-01-31 or 2027-01-31T18:00:00Z")?;
    Ok(Some(date))
}

pub(super) fn count(text: &str, max: u32) -> Result<u32, Mistake> {
    text.parse()
        .ok()
        .filter(|count| (1..=max).contains(count) && text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("is a number from 1 to {max}").into())
}

pub(super) fn agent(text: &str) -> Result<Option<AgentId>, Mistake> {
    Ok(Some(AgentId::parse(text).ok_or("is not an agent id")?))
}

pub(super) fn agents(text: &str) -> Result<Agents, Mistake> {
    if text == "*" {
        return Ok(Agents::Any);
    }
    let agents = list(text, AgentId::parse);
    Ok(Agents::Listed(agents.ok_or(
        "is * or agent ids with commas between them, each once",
    )?))
}

pub(super) fn scopes(text: &str) -> Result<Vec<Scope>, Mistake> {
    let scopes = list(text, |name| word(name).ok());
    Ok(scopes
        .filter(|scopes| !scopes.contains(&Scope::Admin) || scopes.len() == 1)
        .ok_or(
            "are chat, models, responses and status, with commas between them, each once; or admin \
             alone",
        )?)
}

pub(super) fn origins(text: &str) -> Result<Vec<Origin>, Mistake> {
    Ok(short_list(text, Origin::parse).ok_or(
        "are at most 16, each once, as browsers write them: https://host or https://host:port, no \
         *, no default port",
    )?)
}

/// Parses blocks of addresses, or single addresses. IPv4 is written as IPv4, and a block by its
/// first address.
#[inline(never)]
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, Mistake> {
    let network = |text: &str| {
        let network: IpNet = text
            .parse()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
        (network.trunc() == network && network.addr().to_canonical() == network.addr())
            .then_some(network)
    };
    Ok(short_list(text, network).ok_or(
        "are at most 16, each once, by their first address: 203.0.113.0/24 or 2001:db8::/32",
    )?)
}

pub(super) fn header_names(text: &str) -> Result<Vec<String>, Mistake> {
    let header_name = |text: &str| {
        let valid = !text.is_empty()
            && text.len() <= MAX_HEADER_NAME_BYTES
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let name = text.to_ascii_lowercase();
        (valid && name != "host" && !NO_CONVERSATION.iter().any(|part| name.contains(part)))
            .then_some(name)
    };
    Ok(short_list(text, header_name)
        .ok_or("are at most 16 header names, each once, that hold no secret")?)
}

pub(super) fn label(text: &str) -> Result<Option<String>, Mistake> {
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    // Control characters, and characters that change the direction of the text after them.
    let is_odd = |c: char| {
        c == '"' || c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    if text.is_empty() || text.len() > MAX_LABEL_BYTES || text.contains(is_odd) {
        return Err(format!(
            "is a text of 1 to {MAX_LABEL_BYTES} bytes, in double quotes if it has blanks"
        )
        .into());
    }
    Ok(Some(text.to_owned()))
}

/// Parses values with commas between them, each of them once.
fn list<T: PartialEq>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let mut list = Vec::new();
    for item in text.split(',') {
        let item = parse(item)?;
        if list.contains(&item) {
            return None;
        }
        list.push(item);
    }
    Some(list)
}

/// Parses a [`list`] of at most [`MAX_LIST`] values.
fn short_list<T: PartialEq>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    list(text, parse).filter(|list| list.len() <= MAX_LIST)
}
