//! Users of the toy network, who connect and answer as they are told.

use adapter_api::Adapter;
use adapter_api::model::{Address, Cause};
use adapter_api::testkit::{Act, Answer, Manner, Network, Profile, Seen, Unable, context};
use adapter_line::Line;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// The users of the toy network.
pub(crate) struct Users {
    address: Option<SocketAddr>,
    manner: Arc<Mutex<Manner>>,
    devices: BTreeMap<(Address, String), mpsc::UnboundedSender<Line>>,
    sender: mpsc::UnboundedSender<Seen>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Users {
    pub(crate) fn new() -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let manner = Arc::new(Mutex::new(Manner::Confirm));
        Self { address: None, manner, devices: BTreeMap::new(), sender, seen }
    }

    async fn connect(&mut self, user: Address, device: String) -> std::io::Result<()> {
        let socket = TcpStream::connect(self.address.unwrap()).await?;
        let (read, mut write) = socket.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(format!("{}\n", Line::new("HELLO", [user.local(), &device])).as_bytes()).await?;
        assert_eq!(lines.next_line().await?.as_deref(), Some("HI"));
        let (to_send, mut sending) = mpsc::unbounded_channel::<Line>();
        self.devices.insert((user.clone(), device), to_send);
        let (sender, manner) = (self.sender.clone(), Arc::clone(&self.manner));
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    line = sending.recv() => {
                        let Some(line) = line else { return };
                        if write.write_all(format!("{line}\n").as_bytes()).await.is_err() { return }
                    }
                    text = lines.next_line() => {
                        let Ok(Some(text)) = text else { return };
                        let line = Line::parse(&text).unwrap();
                        if let Some(seen) = see(&user, &line) {
                            // A kit that is done looks no more.
                            let _ = sender.send(seen);
                        }
                        let manner = *manner.lock().unwrap();
                        let Some(answer) = answer(&line, manner).await else { return };
                        if write.write_all(answer.as_bytes()).await.is_err() { return }
                    }
                }
            }
        });
        Ok(())
    }

    fn say(&self, user: &Address, line: Line) -> Result<(), Unable> {
        let mut devices = self.devices.iter().filter(|((name, _), _)| name == user);
        let gone = || Unable::new("speak for who is not connected");
        devices.next().ok_or_else(gone)?.1.send(line).map_err(|_| gone())
    }
}

/// What a device writes upon a line; none when it hangs up instead.
async fn answer(line: &Line, manner: Manner) -> Option<String> {
    if line.verb != "MSG" {
        return Some(String::new());
    }
    let id = line.fields.first().unwrap().as_str();
    match manner {
        Manner::Confirm | Manner::Cut => Some(format!("{}\n", Line::new("OK", [id]))),
        Manner::After(time) => {
            tokio::time::sleep(time).await;
            Some(format!("{}\n", Line::new("OK", [id])))
        }
        Manner::Silent => Some(String::new()),
        Manner::Refuse(cause) => Some(format!("{}\n", Line::new("NO", [id, cause.code()]))),
        Manner::Vanish => None,
    }
}

fn see(user: &Address, line: &Line) -> Option<Seen> {
    let address = |text: &str| Address::parse_bare(text).unwrap();
    let fields: Vec<&str> = line.fields.iter().map(String::as_str).collect();
    let user = user.clone();
    Some(match (line.verb.as_str(), &*fields) {
        ("MSG", [id, from, content_type, text]) => Seen::Message {
            to: user,
            from: address(from),
            id: Some((*id).to_owned()),
            content_type: (*content_type).to_owned(),
            body: (*text).to_owned().into(),
        },
        ("OK", [id]) => Seen::Answer { id: (*id).to_owned(), answer: Answer::Delivered },
        ("WAIT", [id]) => Seen::Answer { id: (*id).to_owned(), answer: Answer::Accepted },
        ("NO", [id, _]) => Seen::Answer { id: (*id).to_owned(), answer: Answer::Failed },
        ("ASK", [watcher]) => Seen::Asked { user, watcher: address(watcher) },
        ("STATE", [presentity, open @ ..]) => {
            let open = open.iter().map(|&device| device.to_owned()).collect();
            Seen::Presence { user, presentity: address(presentity), open }
        }
        ("OVER", [presentity]) => Seen::Ended { user, presentity: address(presentity) },
        _ => return None,
    })
}

#[async_trait::async_trait]
impl Network for Users {
    fn profile(&self) -> Profile {
        Profile {
            user: Address::parse_bare("alice@line.example").unwrap(),
            other: Address::parse_bare("bob@line.example").unwrap(),
            listens: true,
            refusals: Cause::ALL.to_vec(),
            asks: true,
            shows_ids: true,
            remembers_ids: false,
        }
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        *self = Self::new();
        let config = r#"{"listen":"127.0.0.1:0","domain":"line.example","users":["alice","bob"]}"#;
        let config = serde_json::from_str(config).unwrap();
        Ok(adapter_line::new("kit".into(), config, context(self.profile().user.domain())).unwrap())
    }

    fn listening(&mut self, address: SocketAddr) {
        self.address = Some(address);
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        match act {
            Act::Connect { user, device } => {
                self.connect(user, device).await.map_err(|error| Unable::new(error.to_string()))
            }
            Act::Disconnect { user, device } => {
                self.devices.remove(&(user, device));
                Ok(())
            }
            Act::Send { from, to, id, content_type, body } => {
                let text = std::str::from_utf8(&body).map_err(|_| Unable::new("send what is no text"))?;
                self.say(&from, Line::new("MSG", [&*id, &*to.to_string(), &*content_type, text]))
            }
            Act::Receive(manner) => {
                *self.manner.lock().unwrap() = manner;
                Ok(())
            }
            Act::Authorize { user, watcher, allow } => {
                self.say(&user, Line::new(if allow { "ALLOW" } else { "DENY" }, [&*watcher.to_string()]))
            }
            Act::Watch { user, presentity } => self.say(&user, Line::new("WATCH", [&*presentity.to_string()])),
            Act::Unwatch { user, presentity } => self.say(&user, Line::new("UNWATCH", [&*presentity.to_string()])),
            Act::Publish { user, device, open, .. } => {
                let gone = || Unable::new("publish for a device that is not connected");
                let device = self.devices.get(&(user, device)).ok_or_else(gone)?;
                device.send(Line::new("STATE", [if open { "open" } else { "closed" }])).map_err(|_| gone())
            }
        }
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}
