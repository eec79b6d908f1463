//! Events and what they say (Matrix client-server API, room events, instant messaging, presence, typing).

use super::Names;
use adapter_api::model::{
    Address, Basic, Cause, Content, Failure, InstantMessage, LangText, MessageOperation, PresenceInfo, PresenceTuple,
    Relation, Show, Side,
};
use serde_json::{Value, json};

/// The largest text in octets: with its escapes and all that stands around it an event has 65,536.
pub(crate) const MAX_BODY: usize = 32 * 1024;

/// The largest text as JSON writes it.
const MAX_WRITTEN: usize = 56 * 1024;

/// What of an event concerns us.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    /// A user says something.
    Said { sender: Address, room: String, event: String, message: Box<InstantMessage> },
    /// A user says what we can't read or carry; why.
    Unreadable { room: String, event: String, failure: Failure },
    /// Somebody comes or goes.
    Member { room: String, sender: String, who: String, member: Member },
    /// Who is typing in a room.
    Typing { room: String, users: Vec<Address> },
    /// A user's state.
    Presence { user: Address, state: PresenceInfo },
}

/// The membership that an event gives somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Invited,
    Joined,
    /// Left, was sent away, or refused to come.
    Gone,
}

/// What an event says; none where it does not concern us.
pub(crate) fn read_event(names: &Names, event: &Value) -> Option<Seen> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let content = event.get("content")?;
    let said = |name: &str| content.get(name).and_then(Value::as_str);
    Some(match event.get("type")?.as_str()? {
        "m.room.message" | "m.sticker" => {
            let (sender, room, id) = (names.address(&text("sender"))?, text("room_id"), text("event_id"));
            match read_message(content) {
                Ok(mut message) => {
                    message.id = Some(id.as_str().into());
                    Seen::Said { sender, room, event: id, message: Box::new(message) }
                }
                Err(failure) => Seen::Unreadable { room, event: id, failure },
            }
        }
        "m.room.encrypted" => {
            names.address(&text("sender"))?;
            let failure =
                Failure::new(Side::Near, Cause::NotAcceptable).with_text("this room is encrypted, which ends here");
            Seen::Unreadable { room: text("room_id"), event: text("event_id"), failure }
        }
        "m.room.member" => {
            let member = match said("membership")? {
                "invite" => Member::Invited,
                "join" => Member::Joined,
                "leave" | "ban" => Member::Gone,
                _ => return None,
            };
            Seen::Member { room: text("room_id"), sender: text("sender"), who: text("state_key"), member }
        }
        "m.typing" => {
            let users = content.get("user_ids")?.as_array()?;
            let users = users.iter().filter_map(|user| names.address(user.as_str()?)).collect();
            Seen::Typing { room: text("room_id"), users }
        }
        "m.presence" => {
            let user = names.address(&text("sender"))?;
            Seen::Presence { user, state: read_state(content)? }
        }
        _ => return None,
    })
}

fn read_message(content: &Value) -> Result<InstantMessage, Failure> {
    let refused = |cause, text: &str| Err(Failure::new(Side::Near, cause).with_text(text));
    let relates = content.get("m.relates_to");
    let id = |value: Option<&Value>| value.and_then(|value| value.get("event_id")?.as_str()).map(str::to_owned);
    let replaces = relates.filter(|relates| relates.get("rel_type").is_some_and(|kind| kind == "m.replace"));
    let replies = id(relates.and_then(|relates| relates.get("m.in_reply_to")));
    // An edit has its text there; beside it is what those see who know no edits.
    let content = replaces.and_then(|_| content.get("m.new_content")).unwrap_or(content);
    let Some(body) = content.get("body").and_then(Value::as_str) else {
        return refused(Cause::BadRequest, "a message without text");
    };
    let body = match content.get("msgtype").and_then(Value::as_str).unwrap_or_default() {
        "m.text" | "m.notice" => body.to_owned(),
        // XEP-0245 and the others know it so.
        "m.emote" => format!("/me {body}"),
        other => {
            return refused(
                Cause::UnsupportedMedia,
                &format!("{} is not carried", other.chars().take(40).collect::<String>()),
            );
        }
    };
    let mut message = InstantMessage::new(Content::text(body));
    message.relations.extend(id(replaces).map(|id| Relation::Replaces { id: id.as_str().into() }));
    message.relations.extend(replies.map(|id| Relation::RepliesTo { id: id.as_str().into(), author: None, quoted: 0 }));
    Ok(message)
}

/// A user's state, as an event and the answer to a question have it; none where it does not say.
pub(crate) fn read_state(content: &Value) -> Option<PresenceInfo> {
    let text = |name: &str| content.get(name).and_then(Value::as_str);
    Some(read_presence(text("presence")?, text("status_msg")))
}

fn read_presence(presence: &str, status: Option<&str>) -> PresenceInfo {
    let basic = if ["online", "unavailable", "busy"].contains(&presence) { Basic::Open } else { Basic::Closed };
    let mut tuple = PresenceTuple::new(None, basic);
    tuple.show = match presence {
        "unavailable" => Some(Show::Away),
        "busy" => Some(Show::Dnd),
        _ => None,
    };
    tuple
        .notes
        .extend(status.filter(|text| !text.is_empty()).map(|text| LangText { language: None, text: text.to_owned() }));
    PresenceInfo { tuples: vec![tuple], ..PresenceInfo::default() }
}

/// The content of the event that carries a message.
pub(crate) fn message_content(operation: &MessageOperation) -> Result<Value, Failure> {
    let message = &operation.message;
    if let Some(sealed) = &message.sealed {
        return Err(sealed.refusal());
    }
    let is_text = &*message.content.media_type == Content::TEXT;
    let text = message.content.as_text().filter(|_| is_text);
    let text = text.ok_or_else(|| Failure::new(Side::Far, Cause::UnsupportedMedia).with_text("text/plain only"))?;
    let written = serde_json::to_string(text).map_or(usize::MAX, |written| written.len());
    if text.len() > MAX_BODY || written > MAX_WRITTEN {
        return Err(Failure::new(Side::Far, Cause::TooLarge).with_text(format!("more than {MAX_BODY} octets of text")));
    }
    Ok(match text.strip_prefix("/me ") {
        Some(emote) => json!({ "msgtype": "m.emote", "body": emote }),
        None => json!({ "msgtype": "m.text", "body": text }),
    })
}

/// The content of the event that tells a user why what he said did not arrive.
pub(crate) fn notice(failure: &Failure, event: &str) -> Value {
    let body = format!("Not delivered: {failure}");
    json!({ "msgtype": "m.notice", "body": body, "m.relates_to": { "m.in_reply_to": { "event_id": event } } })
}

/// How a ghost shows the state of whom it stands for: Matrix's word, and the note.
pub(crate) fn to_presence(info: &PresenceInfo) -> (&'static str, String) {
    let Some(tuple) = info.most_available().filter(|tuple| tuple.basic == Basic::Open) else {
        return ("offline", String::new());
    };
    let notes = tuple.notes.iter().chain(&info.notes);
    let note = notes.map(|note| note.text.as_str()).next().unwrap_or_default().to_owned();
    (to_show(tuple.show), note)
}

/// Matrix has less to say of who is there.
fn to_show(show: Option<Show>) -> &'static str {
    match show {
        Some(Show::Away | Show::Xa | Show::Dnd) => "unavailable",
        Some(Show::Chat) | None => "online",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { domain: "matrix.example".parse().unwrap(), ghosts: "_il_".to_owned() }
    }

    fn read(kind: &str, content: Value) -> Option<Seen> {
        let event = json!({ "type": kind, "sender": "@juliet:matrix.example", "room_id": "!r", "event_id": "$e",
            "state_key": "@x:matrix.example", "content": content });
        read_event(&names(), &event)
    }

    fn said(content: Value) -> InstantMessage {
        match read("m.room.message", content) {
            Some(Seen::Said { message, .. }) => *message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_edits_and_answers_are_read() {
        let plain = said(json!({ "msgtype": "m.text", "body": "hi" }));
        assert_eq!((plain.content.as_text(), plain.id.as_ref().map(|id| id.as_str())), (Some("hi"), Some("$e")));
        assert_eq!(said(json!({ "msgtype": "m.emote", "body": "waves" })).content.as_text(), Some("/me waves"));
        let edit =
            said(json!({ "msgtype": "m.text", "body": "* b", "m.new_content": { "msgtype": "m.text", "body": "b" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": "$a" } }));
        assert_eq!(
            (edit.content.as_text(), &edit.relations[..]),
            (Some("b"), &[Relation::Replaces { id: "$a".into() }][..])
        );
        let answer = said(
            json!({ "msgtype": "m.text", "body": "c", "m.relates_to": { "m.in_reply_to": { "event_id": "$a" } } }),
        );
        assert!(matches!(&answer.relations[..], [Relation::RepliesTo { id, .. }] if id.as_str() == "$a"));
    }

    #[test]
    fn what_cant_be_carried_is_said_and_what_is_ours_is_not_heard() {
        let refused = |kind, content| match read(kind, content) {
            Some(Seen::Unreadable { failure, .. }) => failure.cause,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            refused("m.room.message", json!({ "msgtype": "m.image", "body": "x.png" })),
            Cause::UnsupportedMedia
        );
        assert_eq!(refused("m.room.message", json!({ "msgtype": "m.text" })), Cause::BadRequest);
        assert_eq!(refused("m.room.encrypted", json!({})), Cause::NotAcceptable);
        let ghost = json!({ "type": "m.room.message", "sender": "@_il_a=40b.example:matrix.example", "room_id": "!r",
            "event_id": "$e", "content": { "msgtype": "m.text", "body": "ours" } });
        assert_eq!(read_event(&names(), &ghost), None);
        for nonsense in
            [json!(1), json!({}), json!({ "type": 1, "content": {} }), json!({ "type": "m.typing", "content": {} })]
        {
            assert_eq!(read_event(&names(), &nonsense), None);
        }
    }

    #[test]
    fn presence_goes_both_ways_as_far_as_matrix_has_words() {
        let state = |presence: &str| match read("m.presence", json!({ "presence": presence, "status_msg": "here" })) {
            Some(Seen::Presence { state, .. }) => state,
            other => panic!("{other:?}"),
        };
        assert_eq!(to_presence(&state("online")), ("online", "here".to_owned()));
        assert_eq!(to_presence(&state("unavailable")), ("unavailable", "here".to_owned()));
        assert_eq!(to_presence(&state("offline")), ("offline", String::new()));
        assert_eq!(state("busy").tuples[0].show, Some(Show::Dnd));
        assert_eq!(to_presence(&PresenceInfo::default()), ("offline", String::new()));
    }

    #[test]
    fn text_that_escapes_make_too_long_is_refused() {
        let message = |text: String| MessageOperation {
            source: adapter_api::model::Endpoint::bare("a@b.example".parse().unwrap()),
            destination: adapter_api::model::Endpoint::bare("juliet@matrix.example".parse().unwrap()),
            max_forwards: adapter_api::model::MaxForwards::INITIAL,
            trans_id: "t".into(),
            message: InstantMessage::new(Content::text(text)),
        };
        let cause = |text| message_content(&message(text)).err().map(|failure| failure.cause);
        assert_eq!(cause("x".repeat(MAX_BODY)), None);
        assert_eq!(cause("x".repeat(MAX_BODY + 1)), Some(Cause::TooLarge));
        assert_eq!(cause("\u{1}".repeat(MAX_BODY)), Some(Cause::TooLarge));
    }
}
