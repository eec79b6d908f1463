//! RFC 5438 §6, §10: the headers that ask for and route notifications.

use std::borrow::Cow;

use impp_model::DateTime;
use serde::{Deserialize, Serialize};

use super::NAMESPACE;
use crate::chars;
use crate::draft::{Draft, OtherHeader, QualifiedName};
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::write::WriteError;

/// What a sender can ask to be told (RFC 5438 §5, §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// It could not be delivered.
    NegativeDelivery,
    /// It was delivered.
    PositiveDelivery,
    /// An intermediary processed or stored it.
    Processing,
    /// It was shown.
    Display,
}

impl Disposition {
    /// All, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::PositiveDelivery, Self::NegativeDelivery, Self::Processing, Self::Display];

    /// The value in Disposition-Notification.
    pub fn name(self) -> &'static str {
        match self {
            Self::NegativeDelivery => "negative-delivery",
            Self::PositiveDelivery => "positive-delivery",
            Self::Processing => "processing",
            Self::Display => "display",
        }
    }
}

/// A set of [`Disposition`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dispositions(u8);

impl Dispositions {
    /// Nothing asked.
    pub const NONE: Self = Self(0);

    /// The set with one more.
    #[must_use]
    pub fn with(self, disposition: Disposition) -> Self {
        Self(self.0 | 1 << disposition as u8)
    }

    /// Whether it is asked for.
    pub fn contains(self, disposition: Disposition) -> bool {
        self.0 & 1 << disposition as u8 != 0
    }

    /// Whether nothing is asked for.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, in the order in which they are written.
    pub fn iter(self) -> impl Iterator<Item = Disposition> {
        Disposition::ALL.into_iter().filter(move |disposition| self.contains(*disposition))
    }
}

impl FromIterator<Disposition> for Dispositions {
    fn from_iter<I: IntoIterator<Item = Disposition>>(dispositions: I) -> Self {
        dispositions.into_iter().fold(Self::NONE, Self::with)
    }
}

/// The IMDN headers of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImdnHeaders<'a> {
    /// The sender's id of the message, to be echoed verbatim.
    pub message_id: Option<Cow<'a, str>>,
    /// What is asked for, as far as it is known.
    pub wanted: Dispositions,
    /// All values of Disposition-Notification in order, unknown ones included, without parameters.
    pub values: Vec<String>,
    /// The address that an intermediary replaced in To.
    pub original_to: Option<Mailbox<'a>>,
    /// Intermediaries that want to see the notification, top first.
    pub record_route: Vec<Mailbox<'a>>,
    /// Where this notification still has to pass, top first.
    pub route: Vec<Mailbox<'a>>,
    /// What is wrong with them, and how they are read nevertheless.
    pub faults: Vec<ImdnFault>,
}

/// A header of RFC 5438 that is not as it should be; RFC 3862 itself has nothing against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImdnFault {
    /// RFC 5438 §6.3, §6.4: there is one.
    #[error("{header} stands there twice: the first counts")]
    Repeated {
        /// Which.
        header: &'static str,
    },
    /// RFC 5438 §10.
    #[error("{header} holds no address and is ignored")]
    Address {
        /// Which.
        header: &'static str,
    },
    /// RFC 5438 §6.3, §10.
    #[error("the Message-ID is no token")]
    MessageId,
}

impl<'a> ImdnHeaders<'a> {
    /// The headers of a message, under whatever prefix; `None` if it has none of them.
    pub fn of(message: &Message<'a>) -> Option<Self> {
        if !message.headers().iter().any(|header| header.namespace() == Some(NAMESPACE)) {
            return None;
        }
        let mailboxes = |name| {
            let raw = message.headers_of(NAMESPACE, name).map(|header| header.raw_value());
            raw.filter_map(Mailbox::parse).collect::<Vec<_>>()
        };
        let values: Vec<String> = message
            .headers_of(NAMESPACE, DISPOSITION_NOTIFICATION)
            .flat_map(|header| parse_dispositions(header.raw_value()))
            .map(str::to_owned)
            .collect();
        let known = Disposition::ALL.into_iter().filter(|known| values.iter().any(|value| value == known.name()));
        Some(Self {
            faults: faults(message),
            message_id: message.headers_of(NAMESPACE, MESSAGE_ID).next().map(|header| header.value()),
            wanted: known.collect(),
            values,
            original_to: mailboxes(ORIGINAL_TO).into_iter().next(),
            record_route: mailboxes(RECORD_ROUTE),
            route: mailboxes(ROUTE),
        })
    }
}

fn faults(message: &Message<'_>) -> Vec<ImdnFault> {
    let all = |header: &'static str| message.headers_of(NAMESPACE, header);
    let repeated = [MESSAGE_ID, ORIGINAL_TO].map(|header| (header, all(header).count() > 1));
    let no_address = [ORIGINAL_TO, RECORD_ROUTE, ROUTE]
        .map(|header| (header, all(header).any(|found| Mailbox::parse(found.raw_value()).is_none())));
    let mut faults = Vec::new();
    faults.extend(repeated.iter().filter(|(_, is)| *is).map(|(header, _)| ImdnFault::Repeated { header }));
    faults.extend(no_address.iter().filter(|(_, is)| *is).map(|(header, _)| ImdnFault::Address { header }));
    faults.extend(all(MESSAGE_ID).any(|id| !chars::is_token(&id.value())).then_some(ImdnFault::MessageId));
    faults
}

impl Draft {
    /// Asks for notifications: the namespace, a Message-ID and what is wanted; and `sent`, unless there is a DateTime.
    ///
    /// The Message-ID is a token with at least 64 random bits (RFC 5438 §6.3). An anonymous sender should not ask
    /// (RFC 5438 §12.1.1), for the notification would have to find it.
    pub fn request_imdn(&mut self, message_id: &str, wanted: Dispositions, sent: DateTime) -> Result<(), WriteError> {
        if !chars::is_token(message_id) {
            return Err(WriteError::Token);
        }
        // RFC 5438 §7.1.1.2: a notification refers to the message by both.
        self.date_time.get_or_insert(sent);
        self.declare_imdn(message_id);
        if !wanted.is_empty() {
            let names: Vec<&str> = wanted.iter().map(Disposition::name).collect();
            self.push_imdn(DISPOSITION_NOTIFICATION, &names.join(", "));
        }
        Ok(())
    }

    /// Declares the namespace and adds the Message-ID.
    pub(crate) fn declare_imdn(&mut self, message_id: &str) {
        if !self.namespaces.iter().any(|(prefix, _)| prefix.as_deref() == Some(super::PREFIX)) {
            self.namespaces.push((Some(super::PREFIX.to_owned()), NAMESPACE.to_owned()));
        }
        self.push_imdn(MESSAGE_ID, message_id);
    }

    fn push_imdn(&mut self, name: &str, value: &str) {
        self.others.push(OtherHeader::text(QualifiedName::new(super::PREFIX, name), value));
    }

    /// Adds an IMDN header that holds an address.
    pub(crate) fn push_imdn_mailbox(&mut self, name: &str, mailbox: Mailbox<'static>) {
        self.others.push(OtherHeader::mailbox(QualifiedName::new(super::PREFIX, name), mailbox));
    }
}

// RFC 5438 §10: commas and semicolons may have spaces around them, unlike in Require.
fn parse_dispositions(value: &str) -> impl Iterator<Item = &str> {
    let name = |item| str::split(item, ';').next().map(|name| name.trim_matches(' '));
    split_outside_strings(value).filter_map(name).filter(|name| chars::is_token(name))
}

/// Splits at commas that stand in no quoted string.
fn split_outside_strings(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let comma = text.bytes().position(|octet| {
            let escapes = octet == b'\\' && !escaped;
            quoted ^= octet == b'"' && !escaped;
            escaped = escapes;
            octet == b',' && !quoted
        });
        let item = text.get(..comma.unwrap_or(text.len()))?;
        rest = comma.and_then(|comma| text.get(comma + 1..));
        Some(item)
    })
}

/// RFC 5438 §6.2.
pub(crate) const DISPOSITION_NOTIFICATION: &str = "Disposition-Notification";
/// RFC 5438 §6.3.
pub(crate) const MESSAGE_ID: &str = "Message-ID";
/// RFC 5438 §6.4.
pub(crate) const ORIGINAL_TO: &str = "Original-To";
/// RFC 5438 §6.5.
pub(crate) const RECORD_ROUTE: &str = "IMDN-Record-Route";
/// RFC 5438 §6.6.
pub(crate) const ROUTE: &str = "IMDN-Route";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    const ASKS: &str = "From: <im:a@example.com>\r\nTo: <im:b@example.org>\r\nNS: d <urn:ietf:params:imdn>\r\n\
        d.Message-ID: 9f\r\nDateTime: 2008-04-04T12:16:49-05:00\r\n\
        d.Disposition-Notification: negative-delivery;x=1 , processing,later;y=\"a,display\"\r\n\
        d.IMDN-Record-Route: \"S, 2\"<im:srv2@example.net>\r\nd.IMDN-Record-Route: <im:srv1@example.net>\r\n\
        d.Original-To: <im:list@example.net>\r\n\r\nContent-Type: text/plain\r\n\r\nhello";

    // checks: MP-04, MP-05, CPM-005
    #[test]
    fn rfc5438_s10_headers_are_found_under_any_prefix() {
        let message = Message::parse(ASKS.as_bytes(), Profile::Base).unwrap();
        let headers = ImdnHeaders::of(&message).unwrap();
        assert_eq!(headers.message_id.as_deref(), Some("9f"));
        assert_eq!(headers.values, ["negative-delivery", "processing", "later"]);
        let expected: Dispositions = [Disposition::NegativeDelivery, Disposition::Processing].into_iter().collect();
        assert_eq!(headers.wanted, expected);
        assert_eq!(headers.original_to, Some(Mailbox::new("im:list@example.net")));
        let routes: Vec<_> = headers.record_route.iter().map(|mailbox| mailbox.uri.as_ref()).collect();
        assert_eq!(routes, ["im:srv2@example.net", "im:srv1@example.net"]);
        assert!(headers.route.is_empty());
    }

    // checks: MP-04, MP-06, MP-08
    #[test]
    fn rfc5438_s6_faults_of_the_headers_are_named() {
        let faults = |from: &str, to: &str| {
            let object = ASKS.replacen(from, to, 1);
            ImdnHeaders::of(&Message::parse(object.as_bytes(), Profile::Base).unwrap()).unwrap().faults
        };
        assert_eq!(faults("", ""), []);
        assert_eq!(
            faults("d.Message-ID: 9f", "d.Message-ID: 9f\r\nd.Message-ID: 7"),
            [ImdnFault::Repeated { header: MESSAGE_ID }]
        );
        assert_eq!(faults("<im:srv1@example.net>", "srv1"), [ImdnFault::Address { header: RECORD_ROUTE }]);
        assert_eq!(
            faults("d.Original-To: <im:list@example.net>", "d.IMDN-Route: x"),
            [ImdnFault::Address { header: ROUTE }]
        );
        assert_eq!(faults("9f", "9 f"), [ImdnFault::MessageId]);
    }

    #[test]
    fn a_message_without_these_headers_asks_nothing() {
        let plain = ASKS.replace("urn:ietf:params:imdn", "urn:example:other");
        let message = Message::parse(plain.as_bytes(), Profile::Base).unwrap();
        assert_eq!(ImdnHeaders::of(&message), None);
    }

    // checks: IMDN-001, MP-06
    #[test]
    fn rfc5438_s7_1_1_a_request_is_written() {
        let mut draft = Draft::with_content("text/plain", &[], b"hi").unwrap();
        let sent = DateTime::parse("2008-04-04T12:16:49Z").unwrap();
        let wanted = Disposition::ALL.into_iter().collect();
        assert_eq!(draft.request_imdn("m 1", wanted, sent.clone()), Err(WriteError::Token));
        draft.request_imdn("m1", wanted, sent.clone()).unwrap();
        let octets = draft.encode().unwrap();
        let message = Message::parse(&octets, Profile::Base).unwrap();
        let headers = ImdnHeaders::of(&message).unwrap();
        assert_eq!(headers.values, ["positive-delivery", "negative-delivery", "processing", "display"]);
        assert_eq!(headers.message_id.as_deref(), Some("m1"));
        assert_eq!(message.date_time(), Some(sent));
        assert_eq!(message.namespaces().first().map(|declared| declared.uri), Some(NAMESPACE));
    }
}
