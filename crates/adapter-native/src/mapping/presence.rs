//! Native JSON and the states of devices: `PUT /v1/presence` in, the `presence` event out.

use impp_model::{Address, DateTime};
use pidf::mapping::{DeviceState, Losses, Show, States, most_available};
use pidf::{Basic, Note};

use super::{Refusal, TextProblem, parse_json, parse_language};
use crate::wire::{BasicStatus, DevicePresence, NoteText, PresenceEvent, SetPresence, ShowValue};

/// Reads the JSON body of `PUT /v1/presence`.
pub fn parse(json: &[u8]) -> Result<SetPresence, Refusal> {
    parse_json(json)
}

/// Reads the data of a `presence` event.
pub fn parse_event(json: &[u8]) -> Result<PresenceEvent, Refusal> {
    parse_json(json)
}

/// The state that a request gives the device of this name.
pub fn from_request(device: &str, request: SetPresence) -> Result<DeviceState, Refusal> {
    let lang = request.lang.as_deref().map(parse_language).transpose()?;
    let note = request.note.filter(|note| !note.is_empty());
    if let Some(problem) = note.as_deref().and_then(note_problem) {
        return Err(Refusal::Text { field: "note", problem });
    }
    let open = request.basic == BasicStatus::Open;
    let lang = lang.map(|lang| lang.to_string().into());
    Ok(DeviceState {
        device: device.to_owned(),
        basic: request.basic.into(),
        // RFC 6121 §4.7.1: an unavailable presence has no show.
        show: request.show.filter(|_| open).map(Into::into),
        priority: request.priority.filter(|_| open),
        notes: note.map(|text| Note::new(lang, text)).into_iter().collect(),
    })
}

/// The states that an event tells: those of its devices, else its own as that of a device without name.
pub fn from_event(event: PresenceEvent) -> Result<Vec<DeviceState>, Refusal> {
    if event.devices.is_empty() {
        let PresenceEvent { basic, show, note, lang, priority, .. } = event;
        return Ok(vec![from_request("", SetPresence { basic, show, note, lang, priority })?]);
    }
    event.devices.into_iter().map(from_device).collect()
}

fn from_device(device: DevicePresence) -> Result<DeviceState, Refusal> {
    let notes: Result<Vec<Note>, Refusal> = device.notes.into_iter().map(from_note).collect();
    let request =
        SetPresence { basic: device.basic, show: device.show, note: None, lang: None, priority: device.priority };
    Ok(DeviceState { notes: notes?, ..from_request(&device.device, request)? })
}

fn from_note(note: NoteText) -> Result<Note, Refusal> {
    let lang = note.lang.as_deref().map(parse_language).transpose()?;
    match note_problem(&note.text) {
        Some(problem) => Err(Refusal::Text { field: "devices.notes", problem }),
        None => Ok(Note::new(lang.map(|lang| lang.to_string().into()), note.text)),
    }
}

/// A note is shown in lists of people.
const MAX_NOTE_LEN: usize = 4096;

fn note_problem(note: &str) -> Option<TextProblem> {
    if note.len() > MAX_NOTE_LEN {
        return Some(TextProblem::TooLong { limit: MAX_NOTE_LEN });
    }
    let refused = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    note.char_indices().find(|(_, c)| refused(*c)).map(|(at, _)| TextProblem::Control { at })
}

/// The event that tells `to` what a document says of `from`, and what the document loses thereby; `now` leaves out
/// activities of the past and future. `None` when the document tells nothing (RFC 3922 §5.2.11).
pub fn to_event(
    document: &pidf::Presence,
    from: &Address,
    to: &Address,
    now: Option<&DateTime>,
) -> Option<(PresenceEvent, Losses)> {
    let states = match States::of(document, now) {
        States::Devices(states) => states,
        States::Unavailable => Vec::new(),
        States::NotMapped => return None,
    };
    Some((event_of(&states, from, to), Losses::of(document)))
}

/// The event that tells `to` the states of all devices of `from`.
pub fn event_of(states: &[DeviceState], from: &Address, to: &Address) -> PresenceEvent {
    let best = most_available(states);
    let note = best.and_then(|state| state.notes.first());
    PresenceEvent {
        from: from.to_string(),
        to: to.to_string(),
        basic: best.map_or(Basic::Closed, |state| state.basic).into(),
        show: best.and_then(|state| state.show).map(Into::into),
        note: note.map(|note| note.text.to_string()),
        lang: note.and_then(|note| note.lang.as_ref()).map(ToString::to_string),
        priority: best.and_then(|state| state.priority),
        devices: states.iter().map(to_device).collect(),
    }
}

fn to_device(state: &DeviceState) -> DevicePresence {
    let text =
        |note: &Note| NoteText { text: note.text.to_string(), lang: note.lang.as_ref().map(ToString::to_string) };
    DevicePresence {
        device: state.device.clone(),
        basic: state.basic.into(),
        show: state.show.map(Into::into),
        notes: state.notes.iter().map(text).collect(),
        priority: state.priority,
    }
}

impl From<BasicStatus> for Basic {
    fn from(status: BasicStatus) -> Self {
        match status {
            BasicStatus::Open => Self::Open,
            BasicStatus::Closed => Self::Closed,
        }
    }
}

impl From<Basic> for BasicStatus {
    fn from(basic: Basic) -> Self {
        match basic {
            Basic::Open => Self::Open,
            Basic::Closed => Self::Closed,
        }
    }
}

impl From<ShowValue> for Show {
    fn from(show: ShowValue) -> Self {
        match show {
            ShowValue::Away => Self::Away,
            ShowValue::Chat => Self::Chat,
            ShowValue::Dnd => Self::Dnd,
            ShowValue::Xa => Self::Xa,
        }
    }
}

impl From<Show> for ShowValue {
    fn from(show: Show) -> Self {
        match show {
            Show::Away => Self::Away,
            Show::Chat => Self::Chat,
            Show::Dnd => Self::Dnd,
            Show::Xa => Self::Xa,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pidf::mapping::to_document;

    fn state(device: &str, json: &str) -> DeviceState {
        from_request(device, parse(json.as_bytes()).unwrap()).unwrap()
    }

    fn addresses() -> [Address; 2] {
        ["juliet@example.com", "carol@native.example"].map(|text| text.parse().unwrap())
    }

    // checks: PRS-041, PRS-049, PX-03
    #[test]
    fn the_states_of_devices_make_an_event_and_come_back() {
        let [from, to] = addresses();
        let phone = state("phone", r#"{"basic":"open","show":"away","note":"a\nb","lang":"en","priority":5}"#);
        let states = vec![phone, state("desk", r#"{"basic":"closed","show":"dnd","priority":1}"#)];
        assert_eq!((states[1].show, states[1].priority), (None, None), "a closed device has neither");
        let document = to_document(&from, &states, None);
        let (event, losses) = to_event(&document, &from, &to, None).unwrap();
        assert_eq!((event.basic, event.show, event.priority), (BasicStatus::Open, Some(ShowValue::Away), Some(5)));
        assert_eq!((event.note.as_deref(), event.lang.as_deref()), (Some("a\nb"), Some("en")));
        assert_eq!((losses.degraded, losses.dropped), (vec!["person"], vec!["contact"]));
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(from_event(parse_event(json.as_bytes()).unwrap()).unwrap(), states);
        let (event, _) = to_event(&pidf::Presence::new("pres:a@b"), &from, &to, None).unwrap();
        assert_eq!((event.basic, event.devices.len()), (BasicStatus::Closed, 0));
        assert_eq!(from_event(event).unwrap()[0].basic, Basic::Closed);
    }

    // checks: PRS-054
    #[test]
    fn notes_without_tuples_make_no_event() {
        let [from, to] = addresses();
        let mut document = pidf::Presence::new("pres:a@b");
        document.notes.push(Note::new(None, "In Tokyo"));
        assert_eq!(to_event(&document, &from, &to, None), None);
    }

    #[test]
    fn what_is_not_presence_is_refused_with_its_field() {
        let refused = |json: &str| {
            let read = parse(json.as_bytes()).and_then(|request| from_request("d", request));
            read.map_err(|refusal| refusal.field().unwrap_or("-").to_owned())
        };
        assert_eq!(refused(r#"{"basic":"maybe"}"#), Err("basic".to_owned()));
        assert_eq!(refused(r#"{"basic":"open","priority":0.5}"#), Err("priority".to_owned()));
        assert_eq!(refused(r#"{"basic":"open","priority":128}"#), Err("priority".to_owned()));
        assert_eq!(refused(r#"{"basic":"open","lang":"e n"}"#), Err("lang".to_owned()));
        assert_eq!(refused(r#"{"basic":"open","note":"a\u0007"}"#), Err("note".to_owned()));
        assert_eq!(refused(r#"{"basic":"open"} {}"#), Err("-".to_owned()));
        let long = format!(r#"{{"basic":"open","note":"{}"}}"#, "a".repeat(MAX_NOTE_LEN + 1));
        assert_eq!(refused(&long), Err("note".to_owned()));
        assert_eq!(refused(r#"{"basic":"open","note":"","priority":-1}"#).unwrap().priority, Some(-1));
    }
}
