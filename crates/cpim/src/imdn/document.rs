//! RFC 5438 §11: the XML document of a notification.

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};
use strict_xml::{Element, Limits, XmlError, XmlWriter, parse_document};

use super::XML_NAMESPACE;
use crate::limits::MAX_DOCUMENT;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imdn {
    /// The Message-ID of the message, verbatim.
    pub message_id: String,
    /// The DateTime of the message, verbatim.
    pub date_time: String,
    /// The To of the message.
    pub recipient_uri: Option<String>,
    /// The Original-To of the message.
    pub original_recipient_uri: Option<String>,
    /// One Subject of the message.
    pub subject: Option<ImdnSubject>,
    /// Which kind of report.
    pub notification: Notification,
    /// The report.
    pub status: Status,
}

/// A Subject with its language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImdnSubject {
    /// The language tag.
    pub language: Option<String>,
    /// The text.
    pub text: String,
}

/// Kinds of report (RFC 5438 §11.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notification {
    /// Whether it was delivered.
    Delivery,
    /// Whether it was shown.
    Display,
    /// Whether an intermediary processed it.
    Processing,
}

/// What is reported (RFC 5438 §11.1.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Delivery.
    Delivered,
    /// Delivery.
    Failed,
    /// Display.
    Displayed,
    /// Processing.
    Processed,
    /// Processing.
    Stored,
    /// Any: the disposition was denied.
    Forbidden,
    /// Any: an internal error.
    Error,
    /// An extension: the element's name.
    Extension(String),
}

/// Why octets are not a notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImdnError {
    /// No well-formed XML.
    #[error("not well-formed XML: {0}")]
    Xml(XmlError),
    /// RFC 5438 §11.1.
    #[error("the root element is not imdn")]
    Root,
    /// An element of the schema that has to be there.
    #[error("no {0} element")]
    Missing(&'static str),
    /// An element of the schema that may be there once.
    #[error("{0} stands there twice")]
    Repeated(&'static str),
    /// RFC 5438 §11.1.7: a status that its notification does not have.
    #[error("{0} is no status of this notification")]
    Status(String),
}

impl ImdnError {
    /// The code of the error, stable for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Xml(_) => "E_NOT_WELL_FORMED",
            Self::Root => "E_ROOT",
            Self::Missing(_) => "E_MISSING_ELEMENT",
            Self::Repeated(_) => "E_DUP_ELEMENT",
            Self::Status(_) => "E_STATUS",
        }
    }

    /// Octets before the fault, where it is one of the XML; what is missing or stands there twice is named instead.
    pub fn octet(&self) -> Option<usize> {
        if let Self::Xml(error) = self { Some(error.offset) } else { None }
    }
}

impl Imdn {
    /// Reads a document.
    ///
    /// ```
    /// use cpim::imdn::{Imdn, Notification, Status};
    ///
    /// let imdn = Imdn::parse(
    ///     b"<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>34jk324j</message-id>\
    ///       <datetime>2008-04-04T12:16:49-05:00</datetime>\
    ///       <display-notification><status><displayed/></status></display-notification></imdn>",
    /// )?;
    /// assert_eq!((imdn.notification, imdn.status), (Notification::Display, Status::Displayed));
    /// # Ok::<(), cpim::imdn::ImdnError>(())
    /// ```
    pub fn parse(octets: &[u8]) -> Result<Self, ImdnError> {
        let root = parse_document(octets, &Limits::default().with_bytes(MAX_DOCUMENT)).map_err(ImdnError::Xml)?;
        if !root.is("imdn", XML_NAMESPACE) {
            return Err(ImdnError::Root);
        }
        let (notification, status) = notification(&root)?;
        let subject = only(&root, "subject")?.map(|subject| ImdnSubject {
            language: subject.xml_lang().or_else(|| subject.attr("lang")).map(str::to_owned),
            text: subject.text().into_owned(),
        });
        Ok(Self {
            message_id: text(&root, "message-id")?.ok_or(ImdnError::Missing("message-id"))?,
            date_time: text(&root, "datetime")?.ok_or(ImdnError::Missing("datetime"))?,
            recipient_uri: text(&root, "recipient-uri")?,
            original_recipient_uri: text(&root, "original-recipient-uri")?,
            subject,
            notification,
            status,
        })
    }

    /// Writes the document; `None` if the status is not one of the notification.
    pub fn encode(&self) -> Option<BytesMut> {
        if !self.notification.has(&self.status) {
            return None;
        }
        let mut out = BytesMut::with_capacity(512);
        out.put_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n");
        let mut xml = XmlWriter::new(&mut out);
        xml.start("imdn").attr("xmlns", XML_NAMESPACE);
        let optional = [
            ("message-id", Some(&self.message_id)),
            ("datetime", Some(&self.date_time)),
            ("recipient-uri", self.recipient_uri.as_ref()),
            ("original-recipient-uri", self.original_recipient_uri.as_ref()),
        ];
        for (name, text) in optional {
            if let Some(text) = text {
                xml.start(name).text(text).end(name);
            }
        }
        if let Some(subject) = &self.subject {
            xml.start("subject").attr_opt("xml:lang", subject.language.as_deref());
            xml.text(&subject.text).end("subject");
        }
        let element = self.notification.element();
        xml.start(element).start("status");
        xml.start(self.status.element()?).end(self.status.element()?);
        xml.end("status").end(element);
        xml.end("imdn");
        Some(out)
    }
}

impl Notification {
    /// The name of its element.
    pub fn element(self) -> &'static str {
        match self {
            Self::Delivery => "delivery-notification",
            Self::Display => "display-notification",
            Self::Processing => "processing-notification",
        }
    }

    /// Whether it can report this.
    pub fn has(self, status: &Status) -> bool {
        match status {
            Status::Delivered | Status::Failed => self == Self::Delivery,
            Status::Displayed => self == Self::Display,
            Status::Processed | Status::Stored => self == Self::Processing,
            Status::Forbidden | Status::Error => true,
            Status::Extension(_) => false,
        }
    }

    const ALL: [Self; 3] = [Self::Delivery, Self::Display, Self::Processing];
}

impl Status {
    /// The name of its element; extensions are not written.
    pub fn element(&self) -> Option<&'static str> {
        Some(match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Displayed => "displayed",
            Self::Processed => "processed",
            Self::Stored => "stored",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
            Self::Extension(_) => return None,
        })
    }

    fn named(name: &str) -> Option<Self> {
        use Status::{Delivered, Displayed, Error, Failed, Forbidden, Processed, Stored};
        [Delivered, Failed, Displayed, Processed, Stored, Forbidden, Error]
            .into_iter()
            .find(|status| status.element() == Some(name))
    }
}

fn notification(root: &Element) -> Result<(Notification, Status), ImdnError> {
    let mut found = None;
    for kind in Notification::ALL {
        if let Some(element) = only(root, kind.element())? {
            if found.is_some() {
                return Err(ImdnError::Repeated("notification"));
            }
            found = Some((kind, element));
        }
    }
    let (kind, element) = found.ok_or(ImdnError::Missing("notification"))?;
    let status = only(element, "status")?.ok_or(ImdnError::Missing("status"))?;
    // RFC 5438 §11.1: extensions are in other namespaces, and stand beside or instead of a known status.
    if let Some(own) = status.elements().find(|element| element.ns == XML_NAMESPACE) {
        return match Status::named(&own.name).filter(|status| kind.has(status)) {
            Some(status) => Ok((kind, status)),
            None => Err(ImdnError::Status(own.name.to_string())),
        };
    }
    let extension = status.elements().next().ok_or(ImdnError::Missing("status"))?;
    Ok((kind, Status::Extension(extension.name.to_string())))
}

fn text(root: &Element, name: &'static str) -> Result<Option<String>, ImdnError> {
    Ok(only(root, name)?.map(|element| element.text().trim().to_owned()))
}

fn only<'a>(parent: &'a Element, name: &'static str) -> Result<Option<&'a Element>, ImdnError> {
    let mut found = parent.children_named(name, XML_NAMESPACE);
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(ImdnError::Repeated(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(inner: &str) -> String {
        format!(
            "<imdn xmlns='{XML_NAMESPACE}'><message-id> m1 </message-id><datetime>2008-04-04T12:16:49Z</datetime>{inner}</imdn>"
        )
    }

    fn parse(inner: &str) -> Result<Imdn, ImdnError> {
        Imdn::parse(document(inner).as_bytes())
    }

    // checks: IMDN-006
    #[test]
    fn rfc5438_s11_1_documents_are_read_and_written() {
        let full = Imdn {
            message_id: "m<1>".into(),
            date_time: "2008-04-04T12:16:49-05:00".into(),
            recipient_uri: Some("im:b@example.org".into()),
            original_recipient_uri: Some("im:list@example.net".into()),
            subject: Some(ImdnSubject { language: Some("fr".into()), text: "été & hiver".into() }),
            notification: Notification::Delivery,
            status: Status::Failed,
        };
        assert_eq!(Imdn::parse(&full.encode().unwrap()), Ok(full.clone()));
        let bare = Imdn { recipient_uri: None, original_recipient_uri: None, subject: None, ..full };
        assert_eq!(Imdn::parse(&bare.encode().unwrap()), Ok(bare));
    }

    // checks: IMDN-006
    #[test]
    fn rfc5438_s11_1_7_each_notification_has_its_statuses() {
        let one = |kind: Notification, status: &str| {
            parse(&format!("<{0}><status><{status}/></status></{0}>", kind.element())).map(|imdn| imdn.status)
        };
        assert_eq!(one(Notification::Delivery, "delivered"), Ok(Status::Delivered));
        assert_eq!(one(Notification::Processing, "stored"), Ok(Status::Stored));
        assert_eq!(one(Notification::Display, "forbidden"), Ok(Status::Forbidden));
        for (kind, status) in
            [(Notification::Display, "delivered"), (Notification::Delivery, "displayed"), (Notification::Delivery, "x")]
        {
            assert_eq!(one(kind, status), Err(ImdnError::Status(status.into())));
        }
        assert_eq!(one(Notification::Display, "e:read xmlns:e='urn:e'"), Ok(Status::Extension("read".into())));
        let wrong = Imdn { notification: Notification::Display, ..parse(DELIVERED).unwrap() };
        assert_eq!(wrong.encode(), None);
    }

    const DELIVERED: &str = "<delivery-notification><status><delivered/></status></delivery-notification>";

    #[test]
    fn errors_have_a_code_and_where_it_is_one_of_the_xml_a_place() {
        let told = |document: &str| Imdn::parse(document.as_bytes()).map_err(|error| (error.code(), error.octet()));
        assert_eq!(told("<imdn>\n<a></b></imdn>"), Err(("E_NOT_WELL_FORMED", Some(10))));
        assert_eq!(told("<imdn/>"), Err(("E_ROOT", None)));
        assert_eq!(told(&document("")), Err(("E_MISSING_ELEMENT", None)));
        assert_eq!(told(&document(&DELIVERED.repeat(2))), Err(("E_DUP_ELEMENT", None)));
        assert_eq!(told(&document(&DELIVERED.replace("delivered", "x"))), Err(("E_STATUS", None)));
    }

    #[test]
    fn what_the_schema_refuses_is_refused() {
        assert_eq!(parse(DELIVERED).unwrap().message_id, "m1");
        assert_eq!(parse(""), Err(ImdnError::Missing("notification")));
        assert_eq!(parse("<delivery-notification/>"), Err(ImdnError::Missing("status")));
        assert_eq!(parse("<display-notification><status/></display-notification>"), Err(ImdnError::Missing("status")));
        assert_eq!(parse(&DELIVERED.repeat(2)), Err(ImdnError::Repeated("delivery-notification")));
        assert_eq!(parse(&format!("{DELIVERED}<datetime/>")), Err(ImdnError::Repeated("datetime")));
        let display = DELIVERED.replace("delivery", "display").replace("delivered", "displayed");
        assert_eq!(parse(&format!("{DELIVERED}{display}")), Err(ImdnError::Repeated("notification")));
        assert_eq!(Imdn::parse(b"<imdn xmlns='urn:x'/>"), Err(ImdnError::Root));
        assert!(matches!(Imdn::parse(b"<!DOCTYPE imdn><imdn/>"), Err(ImdnError::Xml(_))));
        let long = document(&" ".repeat(MAX_DOCUMENT));
        assert!(matches!(Imdn::parse(long.as_bytes()), Err(ImdnError::Xml(_))));
    }
}
