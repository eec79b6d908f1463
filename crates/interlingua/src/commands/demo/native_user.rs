//! A native user: messages and presence over HTTP, events as they come.

use std::net::SocketAddr;

use adapter_native::client::{Client, Incoming};
use adapter_native::wire::{
    Authorize, BasicStatus, DeliveryStatus, PresenceEvent, SendMessage, SetPresence, Subscribe, SubscriptionEvent,
};
use anyhow::{Context, Result};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::{Heard, Side, Told};

/// The user, connected with one device.
pub(super) struct NativeUser {
    client: Client,
    server: String,
}

/// The name of the device; it acknowledges what arrives.
const DEVICE: &str = "demo";

impl NativeUser {
    /// Connects; returns when events can arrive.
    pub(super) async fn start(gateway: SocketAddr, token: &str, ears: mpsc::Sender<Heard>) -> Result<Self> {
        let server = format!("http://{gateway}");
        let client = Client::new(&server, token)?;
        let mut events = client.events(DEVICE, None).await.context("the native user's events")?;
        let acknowledger = client.clone();
        tokio::spawn(async move {
            while let Some(Ok(received)) = events.next().await {
                let heard = match received.event {
                    Incoming::Message(message) => {
                        Some(Heard { by: Side::Native, from: message.from, text: message.body })
                    }
                    Incoming::Other { kind, data } if kind == "presence" => seen(&data),
                    Incoming::Other { kind, data } if kind == "subscription" => {
                        allow(&acknowledger, &data).await;
                        None
                    }
                    Incoming::Other { .. } | _ => None,
                };
                if let Some(heard) = heard
                    && ears.send(heard).await.is_err()
                {
                    return;
                }
                if let Err(error) = acknowledger.ack(DEVICE, received.id).await {
                    tracing::warn!(%error, "the native user could not acknowledge");
                }
            }
        });
        let state = SetPresence {
            basic: BasicStatus::Open,
            show: None,
            note: Some(Side::Native.note().to_owned()),
            lang: None,
            priority: None,
        };
        client.set_presence(DEVICE, &state).await.context("the native user's presence")?;
        Ok(Self { client, server })
    }

    pub(super) async fn watch(&self, target: &str) -> Result<()> {
        self.client.subscribe(&Subscribe { target: target.to_owned(), duration: None }).await?;
        Ok(())
    }

    pub(super) async fn send(&self, to: &str, text: &str) -> Result<Told> {
        let message = SendMessage {
            to: to.to_owned(),
            content_type: "text/plain".to_owned(),
            body: text.to_owned(),
            ..SendMessage::default()
        };
        let result = self.client.send(&message).await?;
        Ok(match result.status {
            DeliveryStatus::Success => Told::Accepted(format!("success ({})", result.proof.unwrap_or_default())),
            DeliveryStatus::Indeterminant => Told::Accepted("indeterminant".to_owned()),
            DeliveryStatus::Failure => Told::Refused(format!("failure ({})", result.reason.unwrap_or_default())),
        })
    }

    /// Where the native API is.
    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

/// Who is seen to be there.
fn seen(data: &str) -> Option<Heard> {
    let event: PresenceEvent = serde_json::from_str(data).ok()?;
    let there = event.basic == BasicStatus::Open;
    there.then(|| Heard::seen(Side::Native, event.from, event.note.as_deref().unwrap_or_default()))
}

/// Everybody may watch.
async fn allow(client: &Client, data: &str) {
    let Ok(event) = serde_json::from_str::<SubscriptionEvent>(data) else { return };
    if event.state != "requested" {
        return;
    }
    if let Err(error) = client.authorize(&Authorize { watcher: event.watcher, allow: true }).await {
        tracing::warn!(%error, "the native user could not allow a watcher");
    }
}
