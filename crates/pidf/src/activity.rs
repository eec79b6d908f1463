//! What a person can be doing (RFC 4480 §3.2).

/// An activity of RFC 4480 §3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// Has an appointment.
    Appointment,
    /// Away from every device.
    Away,
    /// First meal of the day.
    Breakfast,
    /// Busy, without details.
    Busy,
    /// Main meal.
    Dinner,
    /// A scheduled holiday.
    Holiday,
    /// Rides in a vehicle.
    InTransit,
    /// Looks for work.
    LookingForWork,
    /// Midday meal: in the prose of RFC 4480 §3.2, not in its schema.
    Lunch,
    /// Has a meal.
    Meal,
    /// In a meeting.
    Meeting,
    /// Talks on the telephone.
    OnThePhone,
    /// What the text of `<other>` says.
    Other,
    /// At a performance.
    Performance,
    /// Will not return.
    PermanentAbsence,
    /// Plays.
    Playing,
    /// At a presentation.
    Presentation,
    /// Shops.
    Shopping,
    /// Asleep.
    Sleeping,
    /// Watches an event.
    Spectator,
    /// Steers a vehicle.
    Steering,
    /// On a trip.
    Travel,
    /// Watches television.
    Tv,
    /// Not known.
    Unknown,
    /// On vacation.
    Vacation,
    /// Works.
    Working,
    /// At worship.
    Worship,
}

impl Activity {
    /// All activities, by name.
    pub const ALL: &[Self] = &[
        Self::Appointment,
        Self::Away,
        Self::Breakfast,
        Self::Busy,
        Self::Dinner,
        Self::Holiday,
        Self::InTransit,
        Self::LookingForWork,
        Self::Lunch,
        Self::Meal,
        Self::Meeting,
        Self::OnThePhone,
        Self::Other,
        Self::Performance,
        Self::PermanentAbsence,
        Self::Playing,
        Self::Presentation,
        Self::Shopping,
        Self::Sleeping,
        Self::Spectator,
        Self::Steering,
        Self::Travel,
        Self::Tv,
        Self::Unknown,
        Self::Vacation,
        Self::Working,
        Self::Worship,
    ];

    /// The activity of this element name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|activity| activity.name() == name)
    }

    /// The name of the element.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appointment => "appointment",
            Self::Away => "away",
            Self::Breakfast => "breakfast",
            Self::Busy => "busy",
            Self::Dinner => "dinner",
            Self::Holiday => "holiday",
            Self::InTransit => "in-transit",
            Self::LookingForWork => "looking-for-work",
            Self::Lunch => "lunch",
            Self::Meal => "meal",
            Self::Meeting => "meeting",
            Self::OnThePhone => "on-the-phone",
            Self::Other => "other",
            Self::Performance => "performance",
            Self::PermanentAbsence => "permanent-absence",
            Self::Playing => "playing",
            Self::Presentation => "presentation",
            Self::Shopping => "shopping",
            Self::Sleeping => "sleeping",
            Self::Spectator => "spectator",
            Self::Steering => "steering",
            Self::Travel => "travel",
            Self::Tv => "tv",
            Self::Unknown => "unknown",
            Self::Vacation => "vacation",
            Self::Working => "working",
            Self::Worship => "worship",
        }
    }

    /// The name of the element that is sent: one that the schema has, too.
    pub const fn sent_as(self) -> &'static str {
        // RFC 4480 §5.1: the schema has no lunch.
        if matches!(self, Self::Lunch) { Self::Meal.name() } else { self.name() }
    }
}
