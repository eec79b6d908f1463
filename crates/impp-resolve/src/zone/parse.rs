use std::str::FromStr;
use std::time::Duration;

use super::lex::{Line, lines};
use super::{Zone, ZoneError, ZoneProblem};
use crate::dns::{Name, Naptr, Record, Srv};

pub(super) fn parse(text: &str) -> Result<Zone, ZoneError> {
    let mut parser = Parser { zone: Zone::new(), origin: None, owner: None, default_ttl: DEFAULT_TTL };
    let mut last = 0;
    for line in lines(text)? {
        last = line.number;
        parser.line(line).map_err(|problem| ZoneError { line: last, problem })?;
    }
    match parser.zone.cname_conflict() {
        Some(name) => Err(ZoneError { line: last, problem: ZoneProblem::CnameAndOther(name.clone()) }),
        None => Ok(parser.zone),
    }
}

/// RFC 2308 §4 demands `$TTL`; a zone tried out by hand often has none.
const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// Types that are read over: they say nothing about where a service is.
const IGNORED: &[&str] = &[
    "SOA",
    "NS",
    "TXT",
    "MX",
    "PTR",
    "SPF",
    "HINFO",
    "CAA",
    "TLSA",
    "SSHFP",
    "HTTPS",
    "SVCB",
    "LOC",
    "RP",
    "DNAME",
    "DS",
    "DNSKEY",
    "RRSIG",
    "NSEC",
    "NSEC3",
    "NSEC3PARAM",
    "CDS",
    "CDNSKEY",
    "URI",
];

struct Parser {
    zone: Zone,
    /// What relative names end in; nothing for the root.
    origin: Option<Name>,
    owner: Option<Name>,
    default_ttl: Duration,
}

impl Parser {
    fn line(&mut self, line: Line) -> Result<(), ZoneProblem> {
        let mut words = Words(line.words.into_iter().peekable());
        if !line.owner_omitted {
            let first = words.next("owner")?;
            if first.starts_with('$') {
                return self.directive(&first, words);
            }
            self.owner = Some(self.name("owner", &first)?);
        }
        self.record(words)
    }

    fn directive(&mut self, directive: &str, mut words: Words) -> Result<(), ZoneProblem> {
        match directive.to_ascii_uppercase().as_str() {
            "$ORIGIN" => {
                let name = self.name("origin", &words.next("origin")?)?;
                self.origin = Some(name).filter(|name| !name.is_root());
            }
            "$TTL" => self.default_ttl = words.field("TTL", parse_ttl)?,
            _ => return Err(ZoneProblem::Directive(directive.into())),
        }
        words.end()
    }

    fn record(&mut self, mut words: Words) -> Result<(), ZoneProblem> {
        let ttl = words.ttl_and_class().unwrap_or(self.default_ttl);
        let record_type = words.next("record type")?.to_ascii_uppercase();
        let owner = self.owner.clone().ok_or(ZoneProblem::NoOwner)?;
        let record = match record_type.as_str() {
            "A" => Record::A(words.field("IPv4 address", parse_as)?),
            "AAAA" => Record::Aaaa(words.field("IPv6 address", parse_as)?),
            "CNAME" => Record::Cname(self.next_name("alias target", &mut words)?),
            "SRV" => Record::Srv(self.srv(&mut words)?),
            "NAPTR" => Record::Naptr(self.naptr(&mut words)?),
            other if IGNORED.contains(&other) || other.starts_with("TYPE") => return Ok(()),
            _ => return Err(ZoneProblem::Type(record_type)),
        };
        words.end()?;
        self.zone.insert(owner, ttl, record);
        Ok(())
    }

    fn srv(&self, words: &mut Words) -> Result<Srv, ZoneProblem> {
        Ok(Srv {
            priority: words.field("priority", parse_as)?,
            weight: words.field("weight", parse_as)?,
            port: words.field("port", parse_as)?,
            target: self.next_name("target", words)?,
        })
    }

    fn naptr(&self, words: &mut Words) -> Result<Naptr, ZoneProblem> {
        Ok(Naptr {
            order: words.field("order", parse_as)?,
            preference: words.field("preference", parse_as)?,
            flags: words.next("flags")?,
            service: words.next("service")?,
            regexp: words.next("regexp")?,
            replacement: self.next_name("replacement", words)?,
        })
    }

    fn next_name(&self, field: &'static str, words: &mut Words) -> Result<Name, ZoneProblem> {
        let text = words.next(field)?;
        self.name(field, &text)
    }

    /// RFC 1035 §5.1: `@` is the origin, a name without final dot is relative to it.
    fn name(&self, field: &'static str, text: &str) -> Result<Name, ZoneProblem> {
        let full = match &self.origin {
            Some(origin) if text == "@" => origin.to_string(),
            Some(origin) if !text.ends_with('.') => format!("{text}.{origin}"),
            None if text == "@" => ".".into(),
            Some(_) | None => text.into(),
        };
        Name::parse(&full).map_err(|_| ZoneProblem::Field { field, found: text.into() })
    }
}

struct Words(std::iter::Peekable<std::vec::IntoIter<String>>);

impl Words {
    fn next(&mut self, field: &'static str) -> Result<String, ZoneProblem> {
        self.0.next().ok_or(ZoneProblem::Missing(field))
    }

    fn field<T>(&mut self, field: &'static str, parse: fn(&str) -> Option<T>) -> Result<T, ZoneProblem> {
        let found = self.next(field)?;
        parse(&found).ok_or(ZoneProblem::Field { field, found })
    }

    /// Both are optional and stand in either order.
    fn ttl_and_class(&mut self) -> Option<Duration> {
        let mut ttl = None;
        for _ in 0..2 {
            if self.0.next_if(|word| word.eq_ignore_ascii_case("IN")).is_none()
                && let Some(word) = self.0.next_if(|word| ttl.is_none() && parse_ttl(word).is_some())
            {
                ttl = parse_ttl(&word);
            }
        }
        ttl
    }

    fn end(mut self) -> Result<(), ZoneProblem> {
        self.0.next().map_or(Ok(()), |word| Err(ZoneProblem::Trailing(word)))
    }
}

fn parse_as<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Seconds, or numbers with units as in `1h30m`.
fn parse_ttl(text: &str) -> Option<Duration> {
    let (mut total, mut number) = (0u32, None);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0u32).checked_mul(10)?.checked_add(digit)?);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    let rest = if text.ends_with(|c: char| c.is_ascii_digit()) { number? } else { 0 };
    (!text.is_empty()).then(|| total.checked_add(rest)).flatten().map(|s| Duration::from_secs(s.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::RecordType;

    fn answer(zone: &Zone, name: &str, record_type: RecordType) -> (Vec<Record>, u64) {
        let answer = zone.answer(&Name::parse(name).unwrap(), record_type).unwrap();
        (answer.records, answer.ttl.as_secs())
    }

    #[test]
    fn rfc1035_s5_1_a_whole_master_file_is_read() {
        let zone = Zone::parse(
            r#"
; a zone as operators write them
$TTL 1h
$ORIGIN example.com.
@   IN SOA ns hostmaster ( 2026010101 ; serial
        3600 600 1w 300 )
    IN NS  ns
    IN A   192.0.2.1
    60 IN AAAA 2001:db8::1
_im._sip    IN 1h30m SRV 10 20 5060 SIP.example.com.
            SRV 20 0 5060 backup
_xmpp-server._tcp SRV 0 0 0 .
@           NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp
www         CNAME @
$ORIGIN org.
example     A 192.0.2.9
"#,
        )
        .unwrap();
        let (srv, ttl) = answer(&zone, "_im._sip.example.com", RecordType::Srv);
        let target = |name| Name::parse(name).unwrap();
        let first = Srv { priority: 10, weight: 20, port: 5060, target: target("sip.example.com") };
        let second = Srv { priority: 20, weight: 0, port: 5060, target: target("backup.example.com") };
        assert_eq!((srv, ttl), (vec![Record::Srv(first), Record::Srv(second)], 3600));
        let none = Srv { priority: 0, weight: 0, port: 0, target: target(".") };
        assert_eq!(answer(&zone, "_xmpp-server._tcp.example.com", RecordType::Srv).0, [Record::Srv(none)]);
        assert_eq!(
            answer(&zone, "example.com", RecordType::Aaaa),
            (vec![Record::Aaaa("2001:db8::1".parse().unwrap())], 60)
        );
        assert_eq!(answer(&zone, "www.example.com", RecordType::Cname).0, [Record::Cname(target("example.com"))]);
        assert_eq!(answer(&zone, "example.org", RecordType::A).0.len(), 1);
        let (naptr, _) = answer(&zone, "example.com", RecordType::Naptr);
        assert!(matches!(&naptr[..], [Record::Naptr(n)] if n.service == "SIPS+D2T" && n.regexp.is_empty()));
    }

    #[test]
    fn without_origin_names_are_absolute() {
        let zone = Zone::parse("sip.example.com 5 A 192.0.2.1").unwrap();
        assert_eq!(answer(&zone, "sip.example.com", RecordType::A).1, 5);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let refused = |text: &str| Zone::parse(text).unwrap_err();
        let field = |field, found: &str| ZoneProblem::Field { field, found: found.into() };
        assert_eq!(
            refused("\n\na A 192.0.2.300"),
            ZoneError { line: 3, problem: field("IPv4 address", "192.0.2.300") }
        );
        assert_eq!(refused("a SRV 0 0 70000 b").problem, field("port", "70000"));
        assert_eq!(refused("a SRV 0 0 5060").problem, ZoneProblem::Missing("target"));
        assert_eq!(refused("a A 192.0.2.1 192.0.2.2").problem, ZoneProblem::Trailing("192.0.2.2".into()));
        assert_eq!(refused("  A 192.0.2.1").problem, ZoneProblem::NoOwner);
        assert_eq!(refused("a AX 1").problem, ZoneProblem::Type("AX".into()));
        assert_eq!(refused("$INCLUDE /etc/passwd").problem, ZoneProblem::Directive("$INCLUDE".into()));
        assert_eq!(refused("a..b A 192.0.2.1").problem, field("owner", "a..b"));
        assert!(matches!(refused("a CNAME b\na A 192.0.2.1").problem, ZoneProblem::CnameAndOther(_)));
    }

    #[test]
    fn lifetimes_may_have_units() {
        let seconds = |text| parse_ttl(text).map(|ttl| ttl.as_secs());
        assert_eq!([seconds("0"), seconds("1h30m"), seconds("1W")], [Some(0), Some(5_400), Some(604_800)]);
        for text in ["", "h", "1x", "9999999999", "A"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
