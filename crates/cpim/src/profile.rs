//! RFC 3862 §6: what an application demands beyond the base format.

use crate::error::{Deviation, ErrorKind, ParseError, Remedy};
use crate::header::{CoreHeader, Header};
use crate::message::Message;

/// Whose rules an object has to satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// RFC 3862 alone: no header is demanded, any may repeat.
    #[default]
    Base,
    /// RFC 4975 §13: From and To once or more, nothing but NS, To and cc twice.
    Msrp,
    /// What a gateway needs to translate: one From, one To or more, one DateTime at most.
    Gateway,
}

impl Profile {
    /// The profile of this name; `rcs` is the base format with the headers of RFC 5438.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "base" | "rcs" => Some(Self::Base),
            "msrp" => Some(Self::Msrp),
            "gateway" => Some(Self::Gateway),
            _ => None,
        }
    }

    /// What is wrong with an object inside a signed one, beyond what is wrong with it anyway.
    // RFC 4975 §13: a protected object also has a DateTime.
    pub(crate) fn protected(self, read: &Result<(Message<'_>, Vec<Deviation>), ParseError>) -> Option<ParseError> {
        match (self, read) {
            (Self::Base | Self::Gateway, _) => None,
            (Self::Msrp, Err(error)) => Some(*error),
            (Self::Msrp, Ok((message, _))) if message.date_time().is_some() => None,
            (Self::Msrp, Ok(_)) => {
                let kind = ErrorKind::MissingHeader(CoreHeader::DateTime);
                Some(ParseError { kind, line: 1, octet: 0 })
            }
        }
    }

    fn demands_addresses(self) -> bool {
        match self {
            Self::Base => false,
            Self::Msrp | Self::Gateway => true,
        }
    }

    fn allows_once(self, header: CoreHeader) -> bool {
        match (self, header) {
            (Self::Base, _) | (_, CoreHeader::To | CoreHeader::Cc | CoreHeader::Ns) => false,
            (Self::Msrp, _) | (Self::Gateway, CoreHeader::From | CoreHeader::DateTime) => true,
            (Self::Gateway, CoreHeader::Subject | CoreHeader::Require) => false,
        }
    }

    /// Looks at the headers together; `end` is the place of the blank line after them.
    pub(crate) fn check(
        self,
        headers: &[Header<'_>],
        end: (usize, usize),
        deviations: &mut Vec<Deviation>,
    ) -> Result<(), ParseError> {
        let error = |kind| ParseError { kind, line: end.0, octet: end.1 };
        for header in [CoreHeader::From, CoreHeader::To] {
            if self.demands_addresses() && count(headers, header) == 0 {
                return Err(error(ErrorKind::MissingHeader(header)));
            }
        }
        for header in [CoreHeader::From, CoreHeader::DateTime, CoreHeader::Subject, CoreHeader::Require] {
            if !self.allows_once(header) || count(headers, header) < 2 {
                continue;
            }
            let repeated = error(ErrorKind::RepeatedHeader(header));
            match header {
                CoreHeader::Subject | CoreHeader::DateTime => {
                    deviations.push(Deviation { error: repeated, remedy: Remedy::UseFirst });
                }
                // One From, so that nobody shows another sender than the one that was checked. Of two Require headers
                // neither may be passed over.
                CoreHeader::From | CoreHeader::Require | CoreHeader::To | CoreHeader::Cc | CoreHeader::Ns => {
                    return Err(repeated);
                }
            }
        }
        Ok(())
    }
}

fn count(headers: &[Header<'_>], core: CoreHeader) -> usize {
    headers.iter().filter(|header| header.core == Some(core) && !header.ignored).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CpimReport;

    const FROM: &str = "From: <im:a@b>\r\n";
    const TO: &str = "To: <im:c@d>\r\n";

    fn check(profile: Profile, headers: &[&str]) -> (Option<ErrorKind>, bool) {
        let octets = format!("{}\r\nContent-Type: text/plain\r\n\r\nhi", headers.concat());
        let strict = Message::parse(octets.as_bytes(), profile).err().map(|error| error.kind);
        (strict, Message::interpret(octets.as_bytes(), profile).is_ok())
    }

    // checks: MF-23, MF-65
    #[test]
    fn rfc3862_s6_each_profile_demands_its_headers() {
        assert_eq!(check(Profile::Base, &[]), (None, true));
        assert_eq!(check(Profile::Base, &[FROM, FROM, "Subject: a\r\nSubject: b\r\n"]), (None, true));
        for profile in [Profile::Msrp, Profile::Gateway] {
            assert_eq!(check(profile, &[FROM, TO, TO, "cc: <im:e@f>\r\n"]), (None, true));
            assert_eq!(check(profile, &[TO]), (Some(ErrorKind::MissingHeader(CoreHeader::From)), false));
            assert_eq!(check(profile, &[FROM]), (Some(ErrorKind::MissingHeader(CoreHeader::To)), false));
            assert_eq!(check(profile, &[FROM, TO, FROM]), (Some(ErrorKind::RepeatedHeader(CoreHeader::From)), false));
            let twice = ["DateTime: 2004-08-13T13:40:00Z\r\n"; 2].concat();
            let repeated = Some(ErrorKind::RepeatedHeader(CoreHeader::DateTime));
            assert_eq!(check(profile, &[FROM, TO, &twice]), (repeated, true));
        }
    }

    // checks: MP-01, MP-02
    #[test]
    fn rfc4975_s13_only_ns_to_and_cc_repeat() {
        let subjects = "Subject: a\r\nSubject:;lang=fr b\r\n";
        let requires = "Require: From\r\nRequire: To\r\n";
        let repeated = |header| Some(ErrorKind::RepeatedHeader(header));
        assert_eq!(check(Profile::Msrp, &[FROM, TO, subjects]), (repeated(CoreHeader::Subject), true));
        assert_eq!(check(Profile::Msrp, &[FROM, TO, requires]), (repeated(CoreHeader::Require), false));
        assert_eq!(check(Profile::Msrp, &[FROM, TO, "NS: a <urn:x:y>\r\nNS: b <urn:x:z>\r\n"]), (None, true));
        assert_eq!(check(Profile::Gateway, &[FROM, TO, subjects, requires]), (None, true));
    }

    // checks: MP-02
    #[test]
    fn rfc4975_s13_a_signed_object_has_a_date() {
        let signed = |headers: &str| {
            let octets = format!(
                "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: message/cpim\r\n\r\n\
                 {FROM}{TO}{headers}\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\n\r\nsig\r\n--b--\r\n"
            );
            let report = CpimReport::inspect(octets.as_bytes(), Profile::Msrp);
            (report.strict.and_then(|strict| strict.error), report.parsed_inner.is_some())
        };
        assert_eq!(signed(""), (Some("E_MISSING_HEADER"), true));
        assert_eq!(signed("DateTime: 2004-08-13T13:40:00Z\r\n"), (None, true));
    }
}
