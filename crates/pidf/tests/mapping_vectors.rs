//! Walks the mapping tables of `tests/vectors/presence.json` and the priorities of `tests/vectors/uri.json`.

use std::fs;
use std::path::Path;

use impp_model::{Device, LangText, PresenceInfo, PresenceTuple, Show};
use pidf::mapping::{
    contact_priority, device_name, of_tuple, show_activities, show_of_activity, to_info, to_tuple, tuple_id,
    xmpp_priority,
};
use pidf::{Activity, Basic, Contact, Element, Note, Person, Presence, Priority, Status, Tuple, namespace, rpid};
use serde_json::{Map, Value, json};

/// Entries of `mapping` that speak of stanzas and dialogs, not of documents: the adapters' tests have them.
const ELSEWHERE: [&str; 7] = ["PRV-011", "PRV-012", "PRV-014", "PRV-015", "PRV-029", "PRV-209", "PRV-215"];

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(name);
    serde_json::from_slice(&fs::read(path).expect("the vectors are in the repository")).expect("they are JSON")
}

/// What our functions make of an entry's input, as far as its expectation has names for it.
fn mapped(input: &Map<String, Value>, to_pidf: bool) -> Option<Map<String, Value>> {
    let keys: Vec<&str> = input.keys().map(String::as_str).collect();
    let result = match (to_pidf, keys.as_slice()) {
        (true, ["priority"]) => {
            let priority = i8::try_from(input["priority"].as_i64()?).ok()?;
            let mapped = contact_priority(priority).map(|priority| f64::from(priority.thousandths()) / 1000.0);
            json!({ "contact_priority": mapped })
        }
        (false, ["contact_priority"]) => {
            let text =
                input["contact_priority"].as_str().map_or_else(|| input["contact_priority"].to_string(), Into::into);
            json!({ "priority": Priority::parse(&text).ok().map(xmpp_priority) })
        }
        (true, ["resource"]) => json!({ "tuple_id": tuple_id(input["resource"].as_str()?) }),
        (false, ["tuple_id"]) => json!({ "resource": device_name(input["tuple_id"].as_str()?) }),
        (false, ["notes"]) => {
            let tuple = Tuple { notes: notes(&input["notes"])?, ..Tuple::new("t", Basic::Open) };
            let kept = of_tuple(&tuple, None)?.notes;
            json!({ "status": kept.first()?.text.as_str(), "count": kept.len() })
        }
        (true, ["resources"]) => resources(&input["resources"])?,
        (false, ["previous_tuples", "tuples"]) => complete_state(input)?,
        (false, ["tuples"]) if input["tuples"].as_array()?.is_empty() => {
            let info = to_info(&Presence::new("pres:a@b"), None).value;
            let unavailable = info.tuples.is_empty() && info.notes.is_empty();
            json!({ "type": unavailable.then_some("unavailable"), "from": "bare" })
        }
        (false, keys) if keys.contains(&"basic") => stanza(input),
        (true, keys) if keys.iter().all(|key| ["type", "show", "status", "lang"].contains(key)) => tuple(input)?,
        (_, _) => return None,
    };
    result.as_object().cloned()
}

fn notes(list: &Value) -> Option<Vec<Note>> {
    let pair = |pair: &Value| {
        let lang = pair[0].as_str().map(|lang| lang.to_owned().into());
        Some(Note::new(lang, pair[1].as_str()?.to_owned()))
    };
    list.as_array()?.iter().map(pair).collect()
}

fn state(device: &str, basic: Basic) -> PresenceTuple {
    PresenceTuple::new(Device::new(device).ok(), basic)
}

fn basic(stanza: &Value) -> Basic {
    if stanza["type"] == "unavailable" { Basic::Closed } else { Basic::Open }
}

/// A stanza as a tuple.
fn tuple(input: &Map<String, Value>) -> Option<Value> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let mut state = match text("type").as_deref() {
        None => state("r", Basic::Open),
        Some("unavailable") => state("r", Basic::Closed),
        Some(_) => return None,
    };
    state.show = text("show").as_deref().and_then(Show::parse);
    let single = text("status").map(|status| vec![Note::new(text("lang").map(Into::into), status)]);
    let notes = single.or_else(|| notes(input.get("status")?)).unwrap_or_default();
    let text = |note: &Note| LangText { language: note.lang.as_deref().map(Into::into), text: note.text.to_string() };
    state.notes = notes.iter().map(text).collect();
    let tuple = to_tuple(&state, None, None);
    let show = tuple.status.extension("show", namespace::JABBER_CLIENT).map(|show| show.element().text().into_owned());
    let activities = state.show.map(show_activities).unwrap_or_default();
    let notes: Vec<_> = tuple.notes.iter().map(|note| json!([note.lang.as_deref(), note.text.as_str()])).collect();
    let first = tuple.notes.first();
    Some(json!({
        "basic": tuple.status.basic?.as_str(),
        "show_ext": show,
        "rpid_activities_optional": activities.iter().map(|activity| activity.name()).collect::<Vec<_>>(),
        "note": first.map(|note| note.text.as_str()),
        "note_lang": first.and_then(|note| note.lang.as_deref()),
        "content_language": first.and_then(|note| note.lang.as_deref()),
        "notes": notes,
    }))
}

/// A tuple as a stanza.
fn stanza(input: &Map<String, Value>) -> Value {
    let text = |name: &str| input.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let mut tuple = Tuple { id: "t".into(), ..Tuple::default() };
    tuple.status = Status { basic: text("basic").as_deref().and_then(Basic::parse), ..Status::default() };
    tuple.contact = Some(Contact::new("im:a@example.com", None));
    if let Some(show) = text("show_ext") {
        tuple.status.extensions.push(Element::new("show", namespace::JABBER_CLIENT).with_text(show).into());
    }
    let mut presence = Presence::new("pres:a@example.com").with_tuples(vec![tuple]);
    if let Some(name) = text("rpid_activity") {
        let activity = Element::new("activities", namespace::RPID).with_child(Element::new(name, namespace::RPID));
        presence.persons.push(Person { elements: vec![activity.into()], ..Person::default() });
    }
    let info = to_info(&presence, None).value;
    // A tuple that says nothing of availability yields no stanza, hence neither type nor show.
    let state = info.tuples.first();
    let closed = state.is_some_and(|state| state.basic == Basic::Closed);
    json!({ "type": closed.then_some("unavailable"), "show": state.and_then(|state| state.show).map(Show::as_str) })
}

fn resources(list: &Value) -> Option<Value> {
    let tuples = list.as_array()?.iter().map(|resource| {
        let basic = basic(resource);
        resource["res"].as_str().map(|name| to_tuple(&state(name, basic), None, None))
    });
    let tuples: Vec<Tuple> = tuples.collect::<Option<_>>()?;
    Some(json!({ "tuples_open": tuples.iter().filter(|tuple| tuple.status.basic == Some(Basic::Open)).count() }))
}

fn complete_state(input: &Map<String, Value>) -> Option<Value> {
    let tuple = |id: &Value, basic| Some(state(&device_name(id.as_str()?), basic));
    let before: Option<Vec<_>> = input["previous_tuples"].as_array()?.iter().map(|id| tuple(id, Basic::Open)).collect();
    let after: Option<Vec<_>> = input["tuples"]
        .as_array()?
        .iter()
        .map(|found| tuple(&found["id"], Basic::parse(found["basic"].as_str()?)?))
        .collect();
    let info = |tuples| PresenceInfo { tuples, ..PresenceInfo::default() };
    let (before, after) = (info(before?), info(after?));
    let address =
        |tuple: &PresenceTuple| format!("romeo@example.net/{}", tuple.device.as_ref().map_or("", Device::as_str));
    let there = after.tuples.iter().map(|tuple| json!([address(tuple), null]));
    let gone = before.vanished(&after).map(|tuple| json!([address(tuple), "unavailable"]));
    Some(json!({ "stanzas": there.chain(gone).collect::<Vec<_>>() }))
}

// checks: PRS-040, PRS-041, PRS-043, PRS-044, PRS-045, PRS-046, PRS-047, PRS-048, PRS-057, PX-13
#[test]
fn rfc8048_s6_the_mapping_vectors_hold() {
    let (mut failures, mut elsewhere) = (Vec::new(), Vec::new());
    for vector in vectors("presence.json")["mapping"].as_array().expect("a list") {
        let input = vector["input"].as_object().expect("an object");
        let Some(found) = mapped(input, vector["direction"] == "xmpp-to-sip") else {
            elsewhere.push(vector["id"].as_str().expect("a name").to_owned());
            continue;
        };
        for (name, expected) in vector["expected"].as_object().expect("an object") {
            if found.get(name) != Some(expected) {
                failures.push(format!("{}: {name}: {:?} for {expected}", vector["id"], found.get(name)));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(elsewhere, ELSEWHERE);
}

// checks: PRS-057, PX-13
#[test]
fn rfc4480_s3_2_the_activity_tables_hold() {
    let vectors = vectors("presence.json");
    let to_show = vectors["rpid_activity_to_show"].as_object().expect("an object");
    let names: Vec<_> = Activity::ALL.iter().map(|activity| activity.name()).collect();
    assert!(to_show.keys().all(|name| names.contains(&name.as_str())), "every activity is known");
    for activity in Activity::ALL {
        let show = show_of_activity(*activity).map(Show::as_str);
        assert_eq!(json!(show), to_show[activity.name()], "{}", activity.name());
        assert_eq!(Activity::from_name(activity.name()), Some(*activity));
    }
    for (show, activities) in vectors["show_to_rpid"].as_object().expect("an object") {
        let mapped = Show::parse(show).map(show_activities).unwrap_or_default();
        let names: Vec<_> = mapped.iter().map(|activity| activity.name()).collect();
        assert_eq!(json!(names), *activities, "{show}");
        if let [_, ..] = mapped {
            assert_eq!(rpid::activities_element(mapped).element().elements().count(), mapped.len());
        }
    }
}

// checks: PRS-046
#[test]
fn rfc3922_s5_1_7_the_priority_tables_hold() {
    let tables = &vectors("uri.json")["presence_priority"];
    for entry in tables["xmpp_to_pidf"].as_array().expect("a list") {
        let priority = i8::try_from(entry["xmpp"].as_i64().expect("a number")).expect("a small one");
        assert_eq!(json!(contact_priority(priority).map(|mapped| mapped.to_string())), entry["pidf"], "{priority}");
    }
    for entry in tables["pidf_to_xmpp"].as_array().expect("a list") {
        let priority = Priority::parse(entry["pidf"].as_str().expect("text")).expect("sound");
        assert_eq!(json!(xmpp_priority(priority)), entry["xmpp"], "{priority}");
    }
}
