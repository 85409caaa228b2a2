//! Writes the object of a response and its items.

use super::super::object::{
    ALWAYS, ALWAYS_AFTER_TEXT, ALWAYS_BEFORE_TEXT, End, Item, Keeping, Kind, PLAIN_TEXT, Status,
    UsageObject, status, write_part,
};
use super::ResponsesWriter;
use crate::openai::json::write::write_json;
use crate::turn::IN_NAMESPACE;

impl ResponsesWriter {
    pub(super) fn item_id(&self, index: usize, kind: Kind) -> String {
        let prefix = match kind {
            Kind::Message => "msg",
            Kind::Reasoning => "rs",
            Kind::Call => "fc",
        };
        format!("{prefix}_{}_{index}", self.fields.ids.items)
    }

    pub(super) fn write_item(&self, index: usize, item: &Item, status: Status, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"id":"#);
        write_json(out, &self.item_id(index, item.kind));
        let head: &[u8] = match item.kind {
            Kind::Message => br#","type":"message","role":"assistant","status":"#,
            Kind::Reasoning => br#","type":"reasoning","summary":[],"status":"#,
            Kind::Call => br#","type":"function_call","status":"#,
        };
        out.extend_from_slice(head);
        write_json(out, status.name());
        if let Some((id, name)) = item.call.as_deref() {
            out.extend_from_slice(br#","call_id":"#);
            write_json(out, id);
            let (space, name) = name.split_once(IN_NAMESPACE).unwrap_or(("", name));
            if !space.is_empty() {
                out.extend_from_slice(br#","namespace":"#);
                write_json(out, space);
            }
            out.extend_from_slice(br#","name":"#);
            write_json(out, name);
            out.extend_from_slice(br#","arguments":"#);
            write_json(
                out,
                if status == Status::InProgress {
                    ""
                } else {
                    &item.text
                },
            );
            out.push(b'}');
            return;
        }
        out.extend_from_slice(br#","content":["#);
        if status != Status::InProgress {
            write_part(item.kind, &item.text, out);
        }
        out.extend_from_slice(b"]}");
    }

    pub(super) fn write_response(&self, end: Option<End<'_>>, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""response":"#);
        self.write_object(end, out);
    }

    pub(super) fn write_object(&self, end: Option<End<'_>>, out: &mut Vec<u8>) {
        let status = status(end);
        out.extend_from_slice(br#"{"id":"#);
        write_json(out, &self.fields.ids.response);
        out.extend_from_slice(br#","object":"response","created_at":"#);
        write_json(out, &self.fields.created_s);
        out.extend_from_slice(br#","completed_at":"#);
        write_json(out, &self.completed_s);
        out.extend_from_slice(br#","status":"#);
        write_json(out, status.name());
        out.extend_from_slice(br#","error":"#);
        match end {
            Some(End::Error(error, code)) => {
                out.extend_from_slice(br#"{"code":"#);
                write_json(out, code);
                out.extend_from_slice(br#","message":"#);
                write_json(out, &error.message);
                out.push(b'}');
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(match status {
            Status::Incomplete => {
                br#","incomplete_details":{"reason":"max_output_tokens"},"model":"#.as_slice()
            }
            _ => br#","incomplete_details":null,"model":"#,
        });
        write_json(out, &self.fields.model);
        out.extend_from_slice(br#","previous_response_id":"#);
        write_json(out, &self.fields.previous);
        out.extend_from_slice(br#","output":["#);
        if end.is_some() {
            self.write_items(status, out);
        }
        out.extend_from_slice(br#"],"usage":"#);
        match end {
            Some(End::Answered(summary)) => write_json(out, &UsageObject::from(&summary.usage)),
            _ => out.extend_from_slice(b"null"),
        }
        if let Some(rest) = &self.rest {
            out.extend_from_slice(rest.as_bytes());
            return;
        }
        let echo = &self.fields.echo;
        out.extend_from_slice(br#","metadata":"#);
        let metadata = match &*echo.metadata {
            b"" => b"{}",
            metadata => metadata,
        };
        out.extend_from_slice(metadata);
        out.extend_from_slice(br#","safety_identifier":"#);
        write_json(out, &echo.safety_identifier);
        out.extend_from_slice(br#","prompt_cache_key":"#);
        write_json(out, &echo.prompt_cache_key);
        out.extend_from_slice(br#","background":"#);
        write_json(out, &(self.fields.keeping == Keeping::Background));
        out.extend_from_slice(ALWAYS);
        write_json(out, &(self.fields.keeping != Keeping::Sent));
        out.extend_from_slice(ALWAYS_BEFORE_TEXT);
        out.extend_from_slice(echo.text_format.as_deref().unwrap_or(PLAIN_TEXT).as_bytes());
        out.extend_from_slice(ALWAYS_AFTER_TEXT);
    }

    /// Writes all items. All but the last are complete.
    pub(super) fn write_items(&self, status: Status, out: &mut Vec<u8>) {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let is_cut = index == self.last_index() && status != Status::Completed;
            let status = if is_cut {
                Status::Incomplete
            } else {
                Status::Completed
            };
            self.write_item(index, item, status, out);
        }
    }
}
