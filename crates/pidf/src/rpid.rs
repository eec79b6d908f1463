//! Rich presence (RFC 4480): views of its elements, and elements to send.
//!
//! ```
//! use pidf::{Activity, Person, rpid};
//!
//! let person = Person { elements: vec![rpid::activities_element(&[Activity::Meeting])], ..Person::default() };
//! assert_eq!(rpid::activities(&person, None).collect::<Vec<_>>(), [Activity::Meeting]);
//! ```

use std::borrow::Cow;

use impp_model::DateTime;
use strict_xml::{Element, SharedStr};

use crate::activity::Activity;
use crate::check::Parent;
use crate::component::Person;
use crate::extension::{Extension, may_interpret};
use crate::namespace::{DATA_MODEL, RPID};

/// Where an RPID element may stand (RFC 4480 §3.1, table 1).
#[derive(Debug)]
pub(crate) struct Rule {
    name: &'static str,
    pub(crate) parents: &'static [Parent],
    /// Whether it takes from and until.
    pub(crate) timed: bool,
}

/// The rule for an element of RPID; `None` for other elements.
pub(crate) fn rule(name: &str, ns: &str) -> Option<&'static Rule> {
    match ns {
        RPID => RULES.iter().find(|rule| name == rule.name),
        // RFC 4479 §5.1 moved it to the data model.
        DATA_MODEL if name == "deviceID" => Some(&DEVICE_ID),
        _ => None,
    }
}

const fn rule_of(name: &'static str, parents: &'static [Parent], timed: bool) -> Rule {
    Rule { name, parents, timed }
}

static DEVICE_ID: Rule = rule_of("deviceID", &[Parent::Tuple, Parent::Device], false);

static RULES: &[Rule] = &[
    rule_of("activities", &[Parent::Person], true),
    rule_of("class", &[Parent::Person, Parent::Tuple, Parent::Device], false),
    rule_of("deviceID", &[Parent::Tuple], false),
    rule_of("mood", &[Parent::Person], true),
    rule_of("place-is", &[Parent::Person], true),
    rule_of("place-type", &[Parent::Person], true),
    rule_of("privacy", &[Parent::Person, Parent::Tuple], true),
    rule_of("relationship", &[Parent::Tuple], false),
    rule_of("service-class", &[Parent::Tuple], false),
    rule_of("sphere", &[Parent::Person], true),
    rule_of("status-icon", &[Parent::Person, Parent::Tuple], true),
    rule_of("time-offset", &[Parent::Person], true),
    rule_of("user-input", &[Parent::Person, Parent::Tuple, Parent::Device], false),
];

/// An element whose children name what is the case: activities, mood, place-type, privacy, relationship, service-class,
/// sphere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enumeration<'a>(&'a Element);

/// One of the values of an [`Enumeration`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// The local name of an empty element of RPID.
    Name(&'a str),
    /// The free text of `<other>`.
    Other(Cow<'a, str>),
    /// A value of another namespace (RFC 4480 §6).
    Foreign(&'a Element),
}

impl<'a> Enumeration<'a> {
    /// Looks at an element of RPID; `None` for others, and for those that may not be interpreted.
    pub fn of(element: &'a Element) -> Option<Self> {
        (element.ns == RPID && may_interpret(element, &[RPID, DATA_MODEL])).then_some(Self(element))
    }

    /// The values in order, notes left out.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        self.0.elements().filter_map(|child| match (child.ns.as_str(), child.name.as_str()) {
            (RPID, "note") => None,
            (RPID, "other") => Some(Value::Other(child.text())),
            (RPID, name) => Some(Value::Name(name)),
            (_, _) => Some(Value::Foreign(child)),
        })
    }

    /// The text of the notes in it.
    pub fn notes(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        self.0.children_named("note", RPID).map(Element::text)
    }

    /// Text that stands where elements belong, such as a sphere by RFC 4480's own example.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        let text = self.0.text();
        (!text.trim().is_empty()).then_some(text)
    }

    /// When the value began to hold.
    pub fn from(&self) -> Option<DateTime> {
        DateTime::parse(self.0.attr("from")?.trim()).ok()
    }

    /// Until when the value is expected to hold.
    pub fn until(&self) -> Option<DateTime> {
        DateTime::parse(self.0.attr("until")?.trim()).ok()
    }

    /// Whether the value holds at this time; a bound that is no date-time holds nothing.
    pub fn covers(&self, now: &DateTime) -> bool {
        let bound = |name: &str, parsed: Option<DateTime>, fits: fn(std::cmp::Ordering) -> bool| {
            self.0.attr(name).is_none() || parsed.is_some_and(|bound| fits(bound.cmp_instant(now)))
        };
        bound("from", self.from(), std::cmp::Ordering::is_le) && bound("until", self.until(), std::cmp::Ordering::is_gt)
    }
}

/// What the person does, of every `<activities>` that may be interpreted; `now` leaves out past and future ones.
pub fn activities<'a>(person: &'a Person, now: Option<&'a DateTime>) -> impl Iterator<Item = Activity> + use<'a> {
    let enumerations = person.elements.iter().filter(|element| element.is("activities", RPID));
    enumerations
        .filter_map(|element| Enumeration::of(element.element()))
        .filter(move |enumeration| now.is_none_or(|now| enumeration.covers(now)))
        .flat_map(|enumeration| enumeration.values())
        .filter_map(|value| match value {
            Value::Name(name) => Activity::from_name(name),
            Value::Other(_) => Some(Activity::Other),
            Value::Foreign(_) => None,
        })
}

/// An `<activities>` element; `<unknown/>` when there are none.
pub fn activities_element(activities: &[Activity]) -> Extension {
    let mut element = Element::new("activities", RPID);
    for activity in activities {
        element = element.with_child(Element::new(activity.sent_as(), RPID));
    }
    if activities.is_empty() {
        element = element.with_child(Element::new(Activity::Unknown.name(), RPID));
    }
    element.into()
}

/// Whether somebody uses a service, a device, or anything (RFC 4480 §3.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInput {
    /// `active`, as against `idle`.
    pub active: bool,
    /// After how many seconds without input the device is called idle; not 0.
    pub idle_threshold: Option<u32>,
    /// The time of the last input; configuration must be able to keep it back.
    pub last_input: Option<DateTime>,
}

impl UserInput {
    /// Reads a `<user-input>` element; attributes that are no numbers or times count as absent.
    pub fn of(element: &Element) -> Option<Self> {
        let text = element.text();
        let active = match text.trim() {
            "active" => true,
            "idle" => false,
            _ => return None,
        };
        element.is("user-input", RPID).then(|| Self {
            active,
            idle_threshold: element
                .attr("idle-threshold")
                .and_then(|seconds| seconds.trim().parse().ok())
                .filter(|seconds| *seconds != 0),
            last_input: element.attr("last-input").and_then(|time| DateTime::parse(time.trim()).ok()),
        })
    }

    /// The element to send.
    pub fn to_element(&self) -> Extension {
        let mut element = Element::new("user-input", RPID).with_text(if self.active { "active" } else { "idle" });
        if let Some(seconds) = self.idle_threshold.filter(|seconds| *seconds != 0) {
            element.set_attr("idle-threshold", seconds.to_string());
        }
        if let Some(time) = &self.last_input {
            element.set_attr("last-input", SharedStr::copy(time.as_str()));
        }
        element.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(inside: &str) -> Element {
        let text = format!("<r:x xmlns:r='{RPID}' xmlns:z='urn:z'>{inside}</r:x>");
        let root = strict_xml::parse_document(text.as_bytes(), &crate::limits::xml()).unwrap();
        root.elements().next().unwrap().clone()
    }

    fn person(inside: &str) -> Person {
        Person { elements: vec![element(inside).into()], ..Person::default() }
    }

    // checks: PX-13, X-17
    #[test]
    fn rfc4480_s3_2_values_free_text_and_foreign_values() {
        let busy = element(
            "<r:activities><r:note>n</r:note><r:lunch/><r:other>knitting</r:other><z:gaming/><r:busy/></r:activities>",
        );
        let view = Enumeration::of(&busy).unwrap();
        let values: Vec<_> = view.values().collect();
        assert_eq!(values[..2], [Value::Name("lunch"), Value::Other("knitting".into())]);
        assert!(matches!(values[2], Value::Foreign(gaming) if gaming.is("gaming", "urn:z")));
        assert_eq!(view.notes().collect::<Vec<_>>(), ["n"]);
        let person = Person { elements: vec![busy.into()], ..Person::default() };
        let known: Vec<_> = activities(&person, None).collect();
        assert_eq!(known, [Activity::Lunch, Activity::Other, Activity::Busy]);
        let sphere = element("<r:sphere>bowling league</r:sphere>");
        assert_eq!(Enumeration::of(&sphere).and_then(|sphere| sphere.text()), Some("bowling league".into()));
    }

    // checks: PX-11
    #[test]
    fn rfc4480_s3_1_only_what_holds_at_the_time_counts() {
        let now = DateTime::parse("2026-11-22T12:00:00Z").unwrap();
        let holds = |bounds: &str| {
            let person = person(&format!("<r:activities {bounds}><r:away/></r:activities>"));
            activities(&person, Some(&now)).count() == 1
        };
        assert!(holds("") && holds("from='2026-11-22T12:00:00Z'") && holds("until='2026-11-22T14:00:00+01:00'"));
        assert!(!holds("from='2026-11-22T12:00:01Z'") && !holds("until='2026-11-22T12:00:00Z'"));
        assert!(!holds("from='yesterday'"));
    }

    // checks: PRS-053
    #[test]
    fn activities_with_something_that_must_be_understood_are_not_interpreted() {
        let person = person("<r:activities><r:away/><z:but mustUnderstand='true'/></r:activities>");
        assert_eq!(activities(&person, None).count(), 0);
    }

    // checks: PX-14
    #[test]
    fn rfc4480_s3_14_the_last_input_can_be_kept_back() {
        let text = "<r:user-input idle-threshold='600' last-input='2004-10-21T13:20:00.000-05:00'>idle</r:user-input>";
        let mut input = UserInput::of(&element(text)).unwrap();
        assert_eq!((input.active, input.idle_threshold), (false, Some(600)));
        assert_eq!(UserInput::of(input.to_element().element()).as_ref(), Some(&input));
        input.last_input = None;
        assert_eq!(input.to_element().element().attr("last-input"), None);
        assert_eq!(
            UserInput::of(&element("<r:user-input idle-threshold='0'>active</r:user-input>")).unwrap().idle_threshold,
            None
        );
        assert_eq!(UserInput::of(&element("<r:user-input>asleep</r:user-input>")), None);
    }

    #[test]
    fn lunch_is_sent_as_meal() {
        let sent = activities_element(&[Activity::Lunch, Activity::Away]);
        let names: Vec<_> = sent.element().elements().map(|child| child.name.to_string()).collect();
        assert_eq!(names, ["meal", "away"]);
        assert!(activities_element(&[]).element().child("unknown", RPID).is_some());
    }
}
