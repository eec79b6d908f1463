//! RFC 5438 §7.2, §12: when a notification is due, and the message that carries it.

use bytes::BytesMut;
use impp_model::DateTime;
use serde::{Deserialize, Serialize};

use super::headers::{Disposition, Dispositions, ImdnHeaders, ROUTE};
use super::{CONTENT_DISPOSITION, Imdn, MEDIA_TYPE, NAMESPACE, Notification, Status, is_imdn};
use crate::draft::{Draft, OtherHeader, OtherValue, QualifiedName};
use crate::mailbox::Mailbox;
use crate::message::Message;

/// What has to be kept of a message to report on it later; small, and fit to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImdnRequest {
    /// Message-ID, to be echoed.
    pub message_id: String,
    /// DateTime, to be echoed.
    pub date_time: String,
    /// From: who asked.
    pub sender: Mailbox<'static>,
    /// To: who reports.
    pub recipient: Mailbox<'static>,
    /// Original-To.
    pub original_to: Option<Mailbox<'static>>,
    /// IMDN-Record-Route, top first.
    pub record_route: Vec<Mailbox<'static>>,
    /// What was asked for.
    pub wanted: Dispositions,
    /// What was reported.
    pub reported: Reported,
}

/// Which kinds of report have been made about a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    delivery: bool,
    display: bool,
    processing: bool,
}

/// Why no notification may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDue {
    /// RFC 5438 §7.2.1.
    #[error("no notification is sent about a notification")]
    IsImdn,
    /// Nobody asked.
    #[error("the sender did not ask for it")]
    NotAsked,
    /// RFC 5438 §7.1.1.1, §7.1.1.2, §11.1: without them there is nothing to refer to.
    #[error("the message has no Message-ID or no DateTime")]
    NoReference,
    /// There is nobody to tell, or nobody to report.
    #[error("the message has no From or no To")]
    NoAddress,
    /// RFC 5438 §7.2.1.
    #[error("this kind of report was made before")]
    AlreadyReported,
    /// RFC 5438 §11.1.7.
    #[error("the notification cannot report this status")]
    Mismatch,
}

/// A notification ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where it goes: the top of the route, else the sender.
    pub destination: String,
    /// The object.
    pub draft: Draft,
}

impl ImdnRequest {
    /// What a message asks for.
    pub fn of(message: &Message<'_>) -> Result<Self, NotDue> {
        // RFC 5438 §7.2.1: a request inside a notification is ignored.
        if is_imdn(message.content()) {
            return Err(NotDue::IsImdn);
        }
        let headers = ImdnHeaders::of(message).filter(|headers| !headers.wanted.is_empty()).ok_or(NotDue::NotAsked)?;
        let date_time = message.date_times().next().ok_or(NotDue::NoReference)?;
        Ok(Self {
            message_id: headers.message_id.ok_or(NotDue::NoReference)?.into_owned(),
            date_time: date_time.to_owned(),
            sender: message.from().ok_or(NotDue::NoAddress)?.into_owned(),
            recipient: message.to().next().ok_or(NotDue::NoAddress)?.into_owned(),
            original_to: headers.original_to.map(Mailbox::into_owned),
            record_route: headers.record_route.into_iter().map(Mailbox::into_owned).collect(),
            wanted: headers.wanted,
            reported: Reported::default(),
        })
    }

    /// Makes the notification, once for each kind.
    ///
    /// `message_id` is the notification's own, with at least 64 random bits; `now` is when it is sent.
    pub fn report(
        &mut self,
        notification: Notification,
        status: Status,
        message_id: &str,
        now: DateTime,
    ) -> Result<Notice, NotDue> {
        let document = self.document(notification, status)?;
        let kind = self.reported.kind(notification);
        // RFC 5438 §7.2.1: never "delivered" and then "failed".
        if std::mem::replace(kind, true) {
            return Err(NotDue::AlreadyReported);
        }
        let mut draft = Draft::with_content(MEDIA_TYPE, &[CONTENT_DISPOSITION], &document).unwrap_or_default();
        draft.from = Some(self.recipient.clone());
        draft.to = vec![self.sender.clone()];
        draft.date_time = Some(now);
        draft.declare_imdn(message_id);
        // RFC 5438 §7.2.1: copied in order; Record-Route itself does not go into a notification.
        for hop in &self.record_route {
            draft.push_imdn_mailbox(ROUTE, hop.clone());
        }
        let destination = self.record_route.first().unwrap_or(&self.sender).uri.clone().into_owned();
        Ok(Notice { destination, draft })
    }

    fn document(&self, notification: Notification, status: Status) -> Result<BytesMut, NotDue> {
        let wanted = match (notification, &status) {
            (Notification::Delivery, Status::Delivered) => Disposition::PositiveDelivery,
            (Notification::Delivery, _) => Disposition::NegativeDelivery,
            (Notification::Display, _) => Disposition::Display,
            (Notification::Processing, _) => Disposition::Processing,
        };
        if !self.wanted.contains(wanted) {
            return Err(NotDue::NotAsked);
        }
        let imdn = Imdn {
            message_id: self.message_id.clone(),
            date_time: self.date_time.clone(),
            recipient_uri: Some(self.recipient.uri.clone().into_owned()),
            original_recipient_uri: self.original_to.as_ref().map(|mailbox| mailbox.uri.clone().into_owned()),
            subject: None,
            notification,
            status,
        };
        imdn.encode().ok_or(NotDue::Mismatch)
    }
}

impl Reported {
    fn kind(&mut self, notification: Notification) -> &mut bool {
        match notification {
            Notification::Delivery => &mut self.delivery,
            Notification::Display => &mut self.display,
            Notification::Processing => &mut self.processing,
        }
    }
}

/// Passes a notification on as an intermediary that had put itself on its route: a new object without the top route,
/// if that is `own`, and where it goes next; `None` if it names nobody to go to.
// RFC 5438 §8: to the next route, else to the address in To.
pub fn forward(message: &Message<'_>, own: &str) -> Option<Notice> {
    let mut route = ImdnHeaders::of(message).map(|headers| headers.route).unwrap_or_default();
    if route.first().is_some_and(|top| top.uri == own) {
        route.remove(0);
    }
    let next = route.first().cloned().or_else(|| message.to().next())?;
    let mut draft = Draft::like(message);
    let routes = message.headers().iter().filter(|header| header.is(NAMESPACE, ROUTE));
    let raw: Vec<&str> = routes.map(|header| header.raw_value()).collect();
    let is_route = |header: &OtherHeader| {
        header.name.name == ROUTE
            && matches!(&header.value, OtherValue::Escaped(value) if raw.contains(&value.as_str()))
    };
    draft.others.retain(|header| !is_route(header));
    let prefix = draft.namespaces.iter().find(|(_, uri)| uri == NAMESPACE).and_then(|(prefix, _)| prefix.clone());
    for hop in &route {
        let name = QualifiedName { prefix: prefix.clone(), name: ROUTE.to_owned() };
        draft.others.push(OtherHeader::mailbox(name, hop.clone().into_owned()));
    }
    Some(Notice { destination: next.uri.into_owned(), draft })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    const ASKS: &str = "From: Alice <im:alice@example.com>\r\nTo: <im:bob@example.org>\r\n\
        NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\nDateTime: 2008-04-04T12:16:49-05:00\r\n\
        imdn.Disposition-Notification: positive-delivery, display\r\n\
        imdn.IMDN-Record-Route: <im:srv2@example.net>\r\nimdn.IMDN-Record-Route: <im:srv1@example.net>\r\n\
        imdn.Original-To: <im:list@example.net>\r\n\r\nContent-Type: text/plain\r\n\r\nhello";

    fn request(text: &str) -> Result<ImdnRequest, NotDue> {
        ImdnRequest::of(&Message::parse(text.as_bytes(), Profile::Base).unwrap())
    }

    fn now() -> DateTime {
        DateTime::parse("2008-04-04T12:16:50Z").unwrap()
    }

    // checks: IMDN-004, IMDN-005, IMDN-006, MP-07, MP-08
    #[test]
    fn rfc5438_s7_2_1_the_notification_goes_back_along_the_route() {
        let mut request = request(ASKS).unwrap();
        let notice = request.report(Notification::Delivery, Status::Delivered, "d834", now()).unwrap();
        assert_eq!(notice.destination, "im:srv2@example.net");
        let octets = notice.draft.encode().unwrap();
        let message = Message::parse(&octets, Profile::Gateway).unwrap();
        assert_eq!(message.from().unwrap().uri, "im:bob@example.org");
        assert_eq!(message.to().next().unwrap().uri, "im:alice@example.com");
        let headers = ImdnHeaders::of(&message).unwrap();
        assert_eq!(headers.message_id.as_deref(), Some("d834"));
        assert!(headers.values.is_empty() && headers.record_route.is_empty());
        let route: Vec<_> = headers.route.iter().map(|hop| hop.uri.as_ref()).collect();
        assert_eq!(route, ["im:srv2@example.net", "im:srv1@example.net"]);
        assert_eq!(message.content().value("Content-Disposition").as_deref(), Some("notification"));
        let imdn = Imdn::parse(message.content().body()).unwrap();
        assert_eq!((imdn.message_id.as_str(), imdn.date_time.as_str()), ("34jk324j", "2008-04-04T12:16:49-05:00"));
        assert_eq!(imdn.recipient_uri.as_deref(), Some("im:bob@example.org"));
        assert_eq!(imdn.original_recipient_uri.as_deref(), Some("im:list@example.net"));
        assert_eq!(ImdnRequest::of(&message), Err(NotDue::IsImdn));
    }

    // checks: IMDN-003
    #[test]
    fn rfc5438_s7_2_1_one_notification_of_each_kind() {
        let mut request = request(&ASKS.replace("display", "display,negative-delivery")).unwrap();
        let mut report = |kind, status| request.report(kind, status, "x", now()).map(|_| ());
        assert_eq!(report(Notification::Delivery, Status::Delivered), Ok(()));
        assert_eq!(report(Notification::Delivery, Status::Failed), Err(NotDue::AlreadyReported));
        assert_eq!(report(Notification::Display, Status::Displayed), Ok(()));
        assert_eq!(report(Notification::Display, Status::Displayed), Err(NotDue::AlreadyReported));
        assert_eq!(report(Notification::Processing, Status::Stored), Err(NotDue::NotAsked));
    }

    // checks: IMDN-002, IMDN-007, MP-06
    #[test]
    fn rfc5438_s7_2_1_only_what_was_asked_is_told() {
        let mut asked = request(ASKS).unwrap();
        assert_eq!(asked.report(Notification::Delivery, Status::Failed, "x", now()), Err(NotDue::NotAsked));
        assert_eq!(asked.report(Notification::Display, Status::Failed, "x", now()), Err(NotDue::Mismatch));
        assert_eq!(asked.reported, Reported::default());
        let without = |line: &str| request(&ASKS.replace(line, ""));
        assert_eq!(without("imdn.Message-ID: 34jk324j\r\n"), Err(NotDue::NoReference));
        assert_eq!(without("DateTime: 2008-04-04T12:16:49-05:00\r\n"), Err(NotDue::NoReference));
        assert_eq!(without("To: <im:bob@example.org>\r\n"), Err(NotDue::NoAddress));
        assert_eq!(request(&ASKS.replace("positive-delivery, display", "other")), Err(NotDue::NotAsked));
        assert_eq!(request(&ASKS.replace("text/plain", "message/imdn+xml")), Err(NotDue::IsImdn));
    }

    // checks: MP-08, MP-09
    #[test]
    fn rfc5438_s8_an_intermediary_takes_itself_off_the_route() {
        let routed = request(ASKS).unwrap().report(Notification::Display, Status::Displayed, "x", now()).unwrap();
        let mut octets = routed.draft.encode().unwrap();
        let mut hops = Vec::new();
        for own in ["im:srv2@example.net", "im:srv1@example.net", "im:other@example.net"] {
            let message = Message::parse(&octets, Profile::Base).unwrap();
            let notice = forward(&message, own).unwrap();
            hops.push(notice.destination.clone());
            octets = notice.draft.encode().unwrap();
        }
        assert_eq!(hops, ["im:srv1@example.net", "im:alice@example.com", "im:alice@example.com"]);
        assert!(!octets.windows(5).any(|window| window == b"Route"));
    }
}
