//! A presence notification in any protocol.

use adapter_sip::ids::RequestIds;
use adapter_sip::mapping::address::to_sip_uri;
use adapter_sip::mapping::presence::{Document, InDialog, Notification, to_notify};
use adapter_xmpp::mapping::presence as xmpp;
use bytes::{Bytes, BytesMut};
use cpim::{Draft, Mailbox};
use impp_model::{Cause, Endpoint, Failure, Mapped, Side};
use sip_proto::build::TopVia;

use super::{Notice, Protocol, Setting, Stop, unreadable};

/// The notification as it would go over the wire, and what it lost on the way out.
pub(super) fn write(to: Protocol, notice: &Notice, setting: &Setting) -> Result<Mapped<Bytes>, Stop> {
    match to {
        Protocol::Sip => write_sip(notice, setting),
        Protocol::Xmpp => write_xmpp(notice),
        // SM-04: nothing else can say what is protected.
        Protocol::Native | Protocol::Pidf if notice.info.sealed().is_some() => Err(unreadable()),
        Protocol::Native => write_native(notice),
        Protocol::Pidf => document(notice, setting),
        Protocol::Cpim => write_cpim(notice, setting),
    }
}

/// Whether PIDF goes on as it came, so that nothing of it is lost.
pub(super) fn is_relayed(to: Protocol, notice: &Notice) -> bool {
    notice.info.pidf.is_some() && matches!(to, Protocol::Sip | Protocol::Pidf | Protocol::Cpim)
}

fn ours(error: impl std::fmt::Display) -> Failure {
    Failure::new(Side::Ours, Cause::InternalError).with_text(error.to_string())
}

fn write_sip(notice: &Notice, setting: &Setting) -> Result<Mapped<Bytes>, Stop> {
    let now = setting.date_time();
    let Mapped { value: document, degraded, dropped } =
        Document::of_info(&notice.info, &notice.presentity, now.as_ref()).map_err(ours)?;
    let notification = Notification {
        presentity: Endpoint::bare(notice.presentity.clone()),
        watcher: notice.watcher.clone(),
        subscription: "active".to_owned(),
        document: Some(document),
    };
    // Without a dialog its identifiers are made up.
    let [ours, theirs] = [RequestIds::random(rand::random()), RequestIds::random(rand::random())];
    let dialog = InDialog {
        target: &to_sip_uri(&notice.watcher),
        call_id: &ours.call_id(),
        from_tag: &ours.from_tag(),
        to_tag: &theirs.from_tag(),
        contact: &format!("sip:{}", setting.gateway),
        cseq: 1,
        max_forwards: 70,
    };
    let branch = ours.branch(0);
    let via = TopVia { transport: "TCP", sent_by: &setting.gateway, branch: &branch, rport: true, alias: false };
    Ok(Mapped { value: to_notify(&notification, &dialog).encode(&via), degraded, dropped })
}

fn write_xmpp(notice: &Notice) -> Result<Mapped<Bytes>, Stop> {
    let Mapped { value: stanzas, degraded, dropped } =
        xmpp::to_stanzas(&notice.info, &notice.presentity, &notice.watcher).map_err(|error| error.failure())?;
    let mut output = BytesMut::new();
    for stanza in stanzas {
        if !output.is_empty() {
            output.extend_from_slice(b"\n");
        }
        super::stanza(&mut output, stanza.element());
    }
    Ok(Mapped { value: output.freeze(), degraded, dropped })
}

fn write_native(notice: &Notice) -> Result<Mapped<Bytes>, Stop> {
    let mapped = adapter_native::mapping::presence::to_event(&notice.info, &notice.presentity, &notice.watcher.address);
    let output = serde_json::to_vec(&mapped.value).map_err(ours)?;
    Ok(Mapped { value: output.into(), degraded: mapped.degraded, dropped: mapped.dropped })
}

/// RFC 3859 §3.3: the document that came, octet for octet, else a new one.
fn document(notice: &Notice, setting: &Setting) -> Result<Mapped<Bytes>, Stop> {
    if let Some(octets) = &notice.info.pidf {
        return Ok(Mapped::whole(octets.clone()));
    }
    let now = setting.date_time();
    let document = pidf::mapping::to_cpp_document(&notice.presentity, &notice.info, now.as_ref());
    let negative = notice.info.tuples.iter().any(|tuple| tuple.priority.is_some_and(|priority| priority < 0));
    Ok(Mapped::without(document.encode().map_err(ours)?.into(), [("priority", negative)]))
}

/// RFC 3922 §5.1: in an object whose headers name both as inboxes.
fn write_cpim(notice: &Notice, setting: &Setting) -> Result<Mapped<Bytes>, Stop> {
    if let Some(object) = notice.info.sealed().and_then(cpim::mapping::unseal) {
        return Ok(Mapped::whole(object.clone()));
    }
    let Mapped { value, degraded, dropped } = document(notice, setting)?;
    let content_type = format!("{}; charset=utf-8", pidf::MEDIA_TYPE);
    let mut draft = Draft::with_content(&content_type, &[], &value).map_err(ours)?;
    draft.from = Some(Mailbox::new(notice.presentity.to_im_uri()));
    draft.to.push(Mailbox::new(notice.watcher.address.to_im_uri()));
    Ok(Mapped { value: draft.encode().map_err(ours)?.freeze(), degraded, dropped })
}
