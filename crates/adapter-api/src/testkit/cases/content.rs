//! What messages carry.

use super::messages::A_WHILE;
use crate::Carries;
use crate::testkit::stand::{Judged, Stand, check, wrong};
use bytes::Bytes;
use impp_model::{Cause, Content, Kind, Outcome, Sealed};

pub(super) async fn unknown_type(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let octets = Bytes::from_static(b"\x00\x01kit\xff\xfe");
    let content = Content { media_type: "application/x-kit".into(), language: None, octets: octets.clone() };
    let message = stand.content(content);
    let outcome = stand.send(message)?;
    let refusals = [Cause::UnsupportedMedia, Cause::NotAcceptable];
    if carried(stand, outcome, &refusals).await? {
        let seen = stand.seen_message().await?;
        check(seen.body == octets, "every octet as it was", &seen)?;
        check(seen.content_type == "application/x-kit", "its media type", &seen)?;
    }
    Ok(())
}

/// Whether a delivery was carried; anything but success and these refusals is wrong.
async fn carried(
    stand: &Stand<'_>,
    outcome: tokio::sync::oneshot::Receiver<Outcome>,
    refusals: &[Cause],
) -> Result<bool, crate::testkit::Fall> {
    match stand.outcome(outcome).await? {
        Outcome::Success(_) | Outcome::HandedOver => Ok(true),
        Outcome::Failure(failure) if refusals.contains(&failure.cause) => Ok(false),
        other @ (Outcome::Indeterminant | Outcome::Failure(_)) => {
            wrong(format!("carried, or refused as one of {refusals:?}"), format!("{other:?}"))
        }
    }
}

pub(super) async fn sealed(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let payload =
        Content { media_type: "application/x-kit-sealed".into(), language: None, octets: "\u{1}ciphertext".into() };
    let mut message = stand.text("This message is encrypted.");
    // A scheme that nobody speaks: an adapter can't know how to carry it.
    message.message.sealed = Some(Sealed { scheme: "urn:kit:seal".into(), name: Some("Kit".into()), payload });
    let outcome = stand.send(message)?;
    let outcome = stand.outcome(outcome).await?;
    match outcome {
        Outcome::Failure(failure) => {
            let right = [Cause::NotAcceptable, Cause::UnsupportedMedia];
            check(right.contains(&failure.cause), "refused as not-acceptable", failure)
        }
        Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => {
            let seen = stand.seen_message().await?;
            check(
                seen.body.ends_with(b"\x01ciphertext"),
                "the sealed octets, or a refusal: never the stand-in alone",
                &seen,
            )
        }
    }
}

/// Emoji joined by U+200D, right to left, combining marks, line separators, a byte order mark, and what lies beyond 16 bits.
const TEXTS: [&str; 6] = [
    "👩‍👩‍👧 \u{1F980}",
    "שלום, עולם",
    "e\u{301}\u{327} ≠ é",
    "a\u{2028}b\u{85}c",
    "\u{feff}bom",
    "𝒳 <b>&amp;</b> \"\\ %41 {x}",
];

pub(super) async fn unicode(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    for text in TEXTS {
        let message = stand.text(text);
        let outcome = stand.send(message)?;
        let seen = stand.seen_message().await?;
        check(seen.body == text.as_bytes(), format!("{text:?} out"), String::from_utf8_lossy(&seen.body))?;
        stand.outcome(outcome).await?;
        stand.user_sends(&format!("u{}", text.len()), "text/plain", text).await?;
        let submitted = stand.submitted_message().await?;
        check(submitted.message.content.as_text() == Some(text), format!("{text:?} in"), &submitted.message.content)?;
    }
    Ok(())
}

/// Line ends that would end a header, a line or a frame; NUL; escape sequences.
const CONTROLS: [&str; 5] =
    ["a\nb", "a\r\nMSG forged\r\n\r\nb", "nul\0byte", "\u{1b}[2Jescape\u{7f}", "</body></message><message>\r\n.\r\n"];

pub(super) async fn controls(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let fields = &stand.capabilities().fields;
    let degrades = fields.iter().any(|field| field.field == "content" && field.support == Carries::Degraded);
    for text in CONTROLS {
        let message = stand.text(text);
        let outcome = stand.send(message)?;
        let refusals = [Cause::NotAcceptable, Cause::UnsupportedMedia, Cause::BadRequest];
        if carried(stand, outcome, &refusals).await? {
            let seen = stand.seen_message().await?;
            let found = String::from_utf8_lossy(&seen.body).into_owned();
            let whole = same_lines(&found, text) || (degrades && same_lines(&found, &without_controls(text)));
            check(whole, format!("{text:?}, its line ends perhaps written otherwise"), found)?;
        }
        let message = stand.text("next");
        let outcome = stand.send(message)?;
        let seen = stand.seen_message().await?;
        check(&seen.body[..] == b"next", format!("one message for {text:?}"), &seen)?;
        stand.outcome(outcome).await?;
    }
    Ok(())
}

/// What is left of a text where control characters can't be carried, and the capabilities say so.
fn without_controls(text: &str) -> String {
    let is_forbidden = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    text.replace(is_forbidden, "\u{fffd}")
}

/// Whether two texts differ in their line ends at most.
fn same_lines(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
    plain(one) == plain(other)
}

/// What the issue of every protocol's limits is decided by.
const LARGE: usize = 64 * 1024;

pub(super) async fn large(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let limit = stand.capabilities().max_content;
    let body: String = "0123456789abcde\n".repeat(LARGE / 16);
    let message = stand.text(&body);
    let outcome = stand.send(message)?;
    if carried(stand, outcome, &[Cause::TooLarge]).await? {
        let seen = stand.seen_message().await?;
        let found = String::from_utf8_lossy(&seen.body).into_owned();
        check(same_lines(&found, &body), "65536 octets", format!("{} octets", found.len()))?;
        let said = limit.is_none_or(|limit| limit >= LARGE);
        check(said, "no success beyond max_content", limit)
    } else {
        check(limit.is_some_and(|limit| limit < LARGE), "a refusal as too-large only beyond max_content", limit)
    }
}

pub(super) async fn empty(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let message = stand.text("");
    let outcome = stand.deliver_within(impp_model::Operation::Message(Box::new(message)), A_WHILE * 10)?;
    if carried(stand, outcome, &[Cause::NotAcceptable, Cause::BadRequest]).await? {
        // RFC 3428 §9: where it is no instant message, nobody sees it.
        let behind = stand.text("behind");
        let outcome = stand.send(behind)?;
        let seen = stand.seen_message().await?;
        check(seen.body.is_empty() || &seen.body[..] == b"behind", "an empty body, or nothing", &seen)?;
        stand.outcome(outcome).await?;
    }
    Ok(())
}
