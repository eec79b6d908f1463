use super::{KeyHeaders, Message};
use crate::{
    header::{Date, HeaderError, NameAddr, delta_seconds, tokens},
    header_id::HeaderId,
    limits::MAX_VIAS,
    uri::Uri,
};

/// RFC 3261 §7.3.1: fields that are no lists and may occur once, besides those of [`KeyHeaders`].
const SINGLE: [HeaderId; 6] = [
    HeaderId::ContentType,
    HeaderId::ContentDisposition,
    HeaderId::Date,
    HeaderId::Event,
    HeaderId::Expires,
    HeaderId::SubscriptionState,
];

impl Message {
    /// Judges the headers; what fails is a 400 for a request, and a response to drop (RFC 3261 §8.2.2, §8.1.3.3).
    ///
    /// Of a response only the mandatory headers count. The SIP version is not judged here, see
    /// [`Message::is_version_2`].
    pub fn verify(&self) -> Result<KeyHeaders<'_>, HeaderError> {
        let key = self.key_headers()?;
        self.verify_vias()?;
        let Some(method) = self.method() else { return Ok(key) };
        self.verify_request_uri()?;
        verify_address(HeaderId::From, &key.from)?;
        verify_address(HeaderId::To, &key.to)?;
        self.verify_addresses()?;
        self.verify_singles()?;
        if key.cseq.is_for(method) { Ok(key) } else { Err(HeaderError::MethodMismatch) }
    }

    fn verify_vias(&self) -> Result<(), HeaderError> {
        for (at, via) in self.vias().enumerate() {
            via?;
            if at == MAX_VIAS {
                return Err(HeaderError::TooMany { id: HeaderId::Via, limit: MAX_VIAS });
            }
        }
        Ok(())
    }

    /// RFC 3261 §19.1.1: a Request-URI has no headers part.
    fn verify_request_uri(&self) -> Result<(), HeaderError> {
        match Uri::parse(self.request_uri().unwrap_or_default()) {
            Ok(Uri::Sip(uri)) if uri.has_headers() => Err(HeaderError::RequestUri),
            Ok(_) => Ok(()),
            Err(_) => Err(HeaderError::RequestUri),
        }
    }

    fn verify_addresses(&self) -> Result<(), HeaderError> {
        for id in [HeaderId::Contact, HeaderId::Route, HeaderId::RecordRoute] {
            for value in self.values(id) {
                let value = value?;
                // RFC 3261 §10.2.2: the wildcard of a REGISTER.
                if id == HeaderId::Contact && value == "*" {
                    continue;
                }
                verify_address(id, &NameAddr::parse(id, value)?)?;
            }
        }
        Ok(())
    }

    fn verify_singles(&self) -> Result<(), HeaderError> {
        for id in SINGLE {
            let Some(text) = self.only(id)? else { continue };
            if id == HeaderId::Date {
                Date::parse(text)?;
            } else if id == HeaderId::Expires {
                delta_seconds(id, text)?;
            }
        }
        self.content_type()?;
        for header in self.headers(HeaderId::Require) {
            tokens(HeaderId::Require, header.text()?)?;
        }
        Ok(())
    }
}

fn verify_address(id: HeaderId, address: &NameAddr<'_>) -> Result<(), HeaderError> {
    address.parsed_uri().map(|_| ()).map_err(|_| HeaderError::Syntax(id))
}
