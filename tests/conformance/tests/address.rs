//! RFC 7247 §6 through the hub: a URI, its decoded parts, and the JID; and back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail like the test")]

use adapter_sip::mapping::address::{self as sip, AddressRefusal};
use adapter_xmpp::mapping::address as xmpp;
use conformance::suite::file;
use impp_model::{Domain, Endpoint};
use serde_json::Value;
use sip_proto::uri::{Scheme, SipUri, SipUriBuilder};
use xmpp_proto::jid::Jid;

/// The vectors of one direction, each with what became of its input.
fn differences(
    direction: &str,
    count: usize,
    map: impl Fn(&str, &Value) -> Result<String, &'static str>,
) -> Vec<String> {
    let file = file("address.json");
    let rows: Vec<_> = file["vectors"].as_array().unwrap().iter().filter(|row| row["direction"] == direction).collect();
    assert_eq!(rows.len(), count);
    let wrong = rows.into_iter().filter_map(|row| {
        let (id, input) = (row["id"].as_str().unwrap(), row["input"].as_str().unwrap());
        let decided = DECIDED.iter().find(|(other, _)| *other == id).map(|(_, result)| *result);
        let by_table = || row["expected"].as_str().ok_or_else(|| row["options"]["error"].as_str().unwrap());
        let expected = decided.unwrap_or_else(by_table);
        let found = map(input, &row["options"]);
        (found.as_deref().map_err(|class| *class) != expected)
            .then(|| format!("{id} {input}: {found:?}, not {expected:?}"))
    });
    wrong.collect()
}

/// What the vectors leave open: PRECIS goes before unescaping; a `tel:` URI has no domain, as none is configured for it.
const DECIDED: &[(&str, Result<&str, &str>)] = &[("ADRV-053", Ok("sip:a/b@example.com")), ("ADRV-114", Err("scheme"))];

fn to_jid(uri: &str) -> Result<String, &'static str> {
    let jid = match sip::from_sip_uri(uri) {
        Ok(end) => xmpp::to_jid(&end),
        // A host alone is the address of a server.
        Err(AddressRefusal::NoUser) => xmpp::join(None, &host(uri), None),
        Err(refusal) => return Err(refusal.class()),
    };
    jid.map(|jid| jid.as_str().to_owned()).map_err(|error| error.class())
}

fn host(uri: &str) -> Domain {
    Domain::parse_host(SipUri::parse(uri).unwrap().host.as_str()).unwrap()
}

fn from_jid(text: &str, scheme: &str) -> Result<String, &'static str> {
    let malformed = "jid-malformed";
    let jid = Jid::parse(text).map_err(|_| malformed)?;
    let end = match xmpp::from_jid(&jid) {
        Ok(end) => end,
        Err(xmpp::AddressError::NoLocal) => return Ok(server(&jid)),
        Err(_) => return Err(malformed),
    };
    Ok(match scheme {
        "im" => end.address.to_im_uri(),
        "pres" => end.address.to_pres_uri(),
        // Local policy may choose it; the adapter itself writes sip.
        "sips" => sip::to_sip_uri(&end).replacen("sip:", "sips:", 1),
        _ => sip::to_sip_uri(&end),
    })
}

fn server(jid: &Jid) -> String {
    let (_, domain) = xmpp::split(jid).unwrap();
    let uri = SipUriBuilder::new(Scheme::Sip, None, domain.as_str());
    match jid.resource() {
        Some(resource) => uri.param("gr", Some(resource)).build(),
        None => uri.build(),
    }
}

// checks: ADR-001, ADR-003, ADR-010, ADR-011, ADR-012, ADR-015, ADR-016, ADR-017, ADR-033, ADR-036, ADR-002, AMB-21
#[test]
fn rfc7247_s6_4_a_uri_becomes_a_jid() {
    let wrong = differences("sip-to-xmpp", 49, |input, _| to_jid(input));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: ADR-016, ADR-021, ADR-022, ADR-031, ADR-002, AMB-21
#[test]
fn rfc7247_s6_5_a_jid_becomes_a_uri() {
    let scheme = |options: &Value| options["scheme"].as_str().unwrap_or("sip").to_owned();
    let wrong = differences("xmpp-to-sip", 39, |input, options| from_jid(input, &scheme(options)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: ADR-030
#[test]
fn rfc7247_s6_a_jid_comes_back_as_itself() {
    let file = file("address.json");
    let rows = file["vectors"].as_array().unwrap().iter().filter(|row| row["direction"] == "xmpp-to-sip");
    let mut checked = 0;
    for jid in rows.filter_map(|row| Jid::parse(row["input"].as_str().unwrap()).ok()) {
        let Ok(end) = xmpp::from_jid(&jid) else { continue };
        let back: Endpoint = sip::from_sip_uri(&sip::to_sip_uri(&end)).unwrap();
        assert_eq!(back, end, "{jid}");
        assert_eq!(xmpp::to_jid(&back).unwrap(), jid);
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}
