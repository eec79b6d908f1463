//! A scripted network in another process, over JSON lines.
//!
//! Each line to it is one object: `{"profile": {}}`, `{"begin": {}}`, `{"listening": "ADDRESS"}` or `{"act": ACT}`, and is answered in
//! its turn by `{"profile": PROFILE}`, `{"done": {}}` or `{"unable": "WHY"}`. `{"seen": SEEN}` may come at any time.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::testkit::{Act, Network, Profile, Seen, Unable};
use adapter_api::{Adapter, InstanceName, Tls};
use adapter_external::ExternalAdapter;
use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

/// What the kit asks of the network.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Profile {},
    Begin {},
    Listening(SocketAddr),
    Act(Act),
}

/// What the network says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Profile(Profile),
    Done {},
    Unable(String),
    Seen(Seen),
}

/// The longest line: a message of 64 KB whose octets are numbers, many times over.
const MAX_LINE: u64 = 4 * 1024 * 1024;

/// How long the network may take to say who is there, and to begin anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network in another process, and the adapter that is judged with it.
pub(super) struct ProcessNetwork {
    instance: InstanceName,
    config: adapter_external::Config,
    socket: std::path::PathBuf,
    starts: u32,
    // Killed when it is dropped.
    _process: Child,
    input: ChildStdin,
    profile: Profile,
    listening: Option<SocketAddr>,
    answers: mpsc::UnboundedReceiver<Result<Said, String>>,
    /// Answers that were not waited for to the end.
    owed: u32,
    seen: mpsc::UnboundedReceiver<Seen>,
    broken: Option<String>,
}

impl ProcessNetwork {
    /// Starts the process and asks who is there.
    pub(super) async fn start(command: &[String], name: &str, config: adapter_external::Config) -> Result<Self> {
        let (program, arguments) = command.split_first().context("no network")?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("the network {program} can't be started"))?;
        let mut input = process.stdin.take().context("no standard input")?;
        let output = process.stdout.take().context("no standard output")?;
        let (said, mut answers) = mpsc::unbounded_channel();
        let (show, seen) = mpsc::unbounded_channel();
        tokio::spawn(read(output, said, show));
        write(&mut input, &Ask::Profile {}).await.context("the network takes no line")?;
        let answer = tokio::time::timeout(PATIENCE, answers.recv()).await.context("the network tells no profile")?;
        let profile = match answer {
            Some(Ok(Said::Profile(profile))) => profile,
            Some(Ok(other)) => bail!("the network tells no profile but {other:?}"),
            Some(Err(problem)) => bail!("the network: {problem}"),
            None => bail!("the network has ended"),
        };
        let socket = config.socket_file.clone().context("the adapter has no socket_file")?;
        Ok(Self {
            instance: name.into(),
            config,
            socket,
            starts: 0,
            _process: process,
            input,
            profile,
            listening: None,
            answers,
            owed: 0,
            seen,
            broken: None,
        })
    }

    /// What kept the network from doing its part, if anything did.
    pub(super) fn end(&mut self) -> Result<()> {
        // The last adapter was ended in mid-work: its socket is there still.
        let _ = self.config.socket_file.as_ref().map(std::fs::remove_file);
        self.broken.take().map_or(Ok(()), |problem| Err(anyhow!("the network: {problem}")))
    }

    async fn ask(&mut self, ask: Ask) -> Result<(), Unable> {
        let asked = match write(&mut self.input, &ask).await {
            Ok(()) => self.answer().await,
            Err(error) => Err(error.to_string()),
        };
        match asked {
            Ok(Said::Done {}) => Ok(()),
            Ok(Said::Unable(why)) => Err(Unable(why)),
            Ok(Said::Profile(_) | Said::Seen(_)) => Err(self.breaks("an answer to what was not asked".to_owned())),
            Err(problem) => Err(self.breaks(problem)),
        }
    }

    /// The answer to the last question; earlier ones are passed over.
    async fn answer(&mut self) -> Result<Said, String> {
        self.owed += 1;
        loop {
            let answer = self.answers.recv().await.unwrap_or_else(|| Err("it has ended".to_owned()))?;
            self.owed -= 1;
            if self.owed == 0 {
                return Ok(answer);
            }
        }
    }

    fn breaks(&mut self, problem: String) -> Unable {
        self.broken.get_or_insert(problem.clone());
        Unable(problem)
    }
}

async fn write(input: &mut ChildStdin, ask: &Ask) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    input.write_all(&line).await?;
    input.flush().await
}

/// Reads what the network says until it ends, or says what can't be understood.
async fn read(
    output: ChildStdout,
    answers: mpsc::UnboundedSender<Result<Said, String>>,
    seen: mpsc::UnboundedSender<Seen>,
) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut output).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let going_on = match serde_json::from_slice(&line) {
            Ok(Said::Seen(one)) => seen.send(one).is_ok(),
            Ok(said) => answers.send(Ok(said)).is_ok(),
            Err(error) => {
                let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(200).collect();
                // Whoever waits hears it; then nothing more comes.
                let _ = answers.send(Err(format!("{error}: {text}")));
                false
            }
        };
        if !going_on {
            return;
        }
    }
}

#[async_trait::async_trait]
impl Network for ProcessNetwork {
    fn profile(&self) -> Profile {
        self.profile.clone()
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        match tokio::time::timeout(PATIENCE, self.ask(Ask::Begin {})).await {
            Ok(begun) => begun?,
            Err(_) => return Err(self.breaks("it does not begin anew".to_owned())),
        }
        while self.seen.try_recv().is_ok() {}
        self.listening = None;
        // A socket of its own: the last adapter may still be on its way out.
        let _ = self.config.socket_file.as_ref().map(std::fs::remove_file);
        self.starts += 1;
        self.config.socket_file = Some(self.socket.with_extension(format!("kit{}", self.starts)));
        let tls = Arc::new(Tls::none(self.profile.user.domain().clone()));
        match ExternalAdapter::new(self.instance.clone(), self.config.clone(), tls) {
            Ok(adapter) => Ok(Arc::new(adapter)),
            Err(error) => Err(self.breaks(error.to_string())),
        }
    }

    fn listening(&mut self, address: SocketAddr) {
        self.listening = Some(address);
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        if let Some(address) = self.listening.take() {
            self.ask(Ask::Listening(address)).await?;
        }
        self.ask(Ask::Act(act)).await
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}
