//! Native JSON and the states of devices: `PUT /v1/presence` in, the `presence` event out.

use impp_model::{Address, Basic, Device, LangText, LanguageTag, Mapped, PresenceInfo, PresenceTuple, Show};

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

/// The state that a request gives a device.
pub fn from_request(device: Option<Device>, request: SetPresence) -> Result<PresenceTuple, Refusal> {
    let language = request.lang.as_deref().map(parse_language).transpose()?;
    let note = request.note.filter(|note| !note.is_empty());
    check_note("note", note.as_deref().unwrap_or_default())?;
    let open = request.basic == BasicStatus::Open;
    Ok(PresenceTuple {
        // RFC 6121 §4.7.1: an unavailable presence has no show.
        show: request.show.filter(|_| open).map(Into::into),
        priority: request.priority.filter(|_| open),
        notes: note.map(|text| LangText { language, text }).into_iter().collect(),
        ..PresenceTuple::new(device, request.basic.into())
    })
}

/// The state that an event tells: that of its devices, else its own as that of a device without name.
pub fn from_event(event: PresenceEvent) -> Result<PresenceInfo, Refusal> {
    let tuples = if event.devices.is_empty() {
        let PresenceEvent { basic, show, note, lang, priority, .. } = event;
        vec![from_request(None, SetPresence { basic, show, note, lang, priority })?]
    } else {
        event.devices.into_iter().map(from_device).collect::<Result<_, _>>()?
    };
    Ok(PresenceInfo { tuples, ..PresenceInfo::default() })
}

fn from_device(device: DevicePresence) -> Result<PresenceTuple, Refusal> {
    let notes = device.notes.into_iter().map(from_note).collect::<Result<_, _>>()?;
    let request =
        SetPresence { basic: device.basic, show: device.show, note: None, lang: None, priority: device.priority };
    Ok(PresenceTuple { notes, ..from_request(Device::new(&device.device).ok(), request)? })
}

fn from_note(note: NoteText) -> Result<LangText, Refusal> {
    let language = note.lang.as_deref().map(parse_language).transpose()?;
    check_note("devices.notes", &note.text)?;
    Ok(LangText { language, text: note.text })
}

/// A note is shown in lists of people.
const MAX_NOTE_LEN: usize = 4096;

fn check_note(field: &'static str, note: &str) -> Result<(), Refusal> {
    let refuse = |problem| Err(Refusal::Text { field, problem });
    if note.len() > MAX_NOTE_LEN {
        return refuse(TextProblem::TooLong { limit: MAX_NOTE_LEN });
    }
    let is_refused = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match note.char_indices().find(|(_, c)| is_refused(*c)) {
        Some((at, _)) => refuse(TextProblem::Control { at }),
        None => Ok(()),
    }
}

/// The event that tells `to` the state of `from`; of what is protected nothing is shown.
pub fn to_event(info: &PresenceInfo, from: &Address, to: &Address) -> Mapped<PresenceEvent> {
    let best = info.most_available().filter(|tuple| tuple.sealed.is_none());
    let note = best.and_then(|tuple| tuple.notes.first());
    let event = PresenceEvent {
        from: from.to_string(),
        to: to.to_string(),
        basic: best.map_or(Basic::Closed, |tuple| tuple.basic).into(),
        show: best.and_then(|tuple| tuple.show).map(Into::into),
        note: note.map(|note| note.text.clone()),
        lang: note.and_then(|note| note.language.as_ref()).map(ToString::to_string),
        priority: best.and_then(|tuple| tuple.priority),
        devices: info.readable().map(to_device).collect(),
    };
    let lost = [
        ("contact", info.tuples.iter().any(|tuple| tuple.contact.is_some())),
        ("timestamp", info.tuples.iter().any(|tuple| tuple.since.is_some())),
        ("notes", !info.notes.is_empty()),
        ("sealed", info.readable().count() < info.tuples.len()),
    ];
    Mapped::without(event, lost)
}

fn to_device(tuple: &PresenceTuple) -> DevicePresence {
    let text = |note: &LangText| NoteText {
        text: note.text.clone(),
        lang: note.language.as_ref().map(LanguageTag::to_string),
    };
    DevicePresence {
        device: tuple.device.as_ref().map(ToString::to_string).unwrap_or_default(),
        basic: tuple.basic.into(),
        show: tuple.show.map(Into::into),
        notes: tuple.notes.iter().map(text).collect(),
        priority: tuple.priority,
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

    fn state(device: &str, json: &str) -> Result<PresenceTuple, Refusal> {
        parse(json.as_bytes()).and_then(|request| from_request(Device::new(device).ok(), request))
    }

    fn event(info: &PresenceInfo) -> Mapped<PresenceEvent> {
        let [from, to] = ["juliet@example.com", "carol@native.example"].map(|text| text.parse().unwrap());
        to_event(info, &from, &to)
    }

    // checks: PRS-041, PRS-049, PX-03
    #[test]
    fn the_states_of_devices_make_an_event_and_come_back() {
        let phone = state("phone", r#"{"basic":"open","show":"away","note":"a\nb","lang":"en","priority":5}"#).unwrap();
        let desk = state("desk", r#"{"basic":"closed","show":"dnd","priority":1}"#).unwrap();
        assert_eq!((desk.show, desk.priority), (None, None), "a closed device has neither");
        let mut info = PresenceInfo { tuples: vec![phone, desk], ..PresenceInfo::default() };
        let Mapped { value: told, dropped, .. } = event(&info);
        assert_eq!(dropped, [""; 0]);
        assert_eq!((told.basic, told.show, told.priority), (BasicStatus::Open, Some(ShowValue::Away), Some(5)));
        assert_eq!((told.note.as_deref(), told.lang.as_deref()), (Some("a\nb"), Some("en")));
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(from_event(parse_event(json.as_bytes()).unwrap()).unwrap(), info);
        info.tuples[0].contact = Some("im:juliet@example.com".into());
        assert_eq!(event(&info).dropped, ["contact"]);
        let nobody = event(&PresenceInfo::default()).value;
        assert_eq!((nobody.basic, nobody.devices.len()), (BasicStatus::Closed, 0));
        assert!(!from_event(nobody).unwrap().is_open());
    }

    #[test]
    fn what_is_not_presence_is_refused_with_its_field() {
        let refused = |json: &str| state("d", json).map_err(|refusal| refusal.field().unwrap_or("-").to_owned());
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
