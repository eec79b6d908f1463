//! Who takes the records: a file, a socket or an HTTP server.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::config::{self, ArchiveTo};

/// How long a consumer may take for one batch: beyond it hangs, as far as anybody can tell.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets of the word of a consumer: a number and its line end.
const MAX_WORD: u64 = 64;

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    /// It said nothing in time.
    #[error("no word for {} s", PATIENCE.as_secs())]
    Silent,
    /// The file or the socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The socket's other end said something else than the number of a line that it was given.
    #[error("the answer is not the number of a line")]
    Word,
    /// The HTTP server.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// It answered, and not with success.
    #[error("answered {0}")]
    Status(reqwest::StatusCode),
}

impl TakeError {
    /// The reason code, as logs have it.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Silent => "timeout",
            Self::Io(_) => "link-down",
            Self::Word => "malformed",
            Self::Http(_) => "link-down",
            Self::Status(_) => "refused",
        }
    }
}

/// Where records go, with what is open to it.
pub(super) enum Consumer {
    /// With what is being appended: two at a time would cut each other's lines.
    File(PathBuf, Option<JoinHandle<io::Result<()>>>),
    Socket(PathBuf, Option<BufReader<UnixStream>>),
    Http {
        client: reqwest::Client,
        url: String,
        token: Option<String>,
    },
}

impl Consumer {
    pub(super) fn new(config: &config::Archive) -> Result<Self> {
        Ok(match &config.to {
            ArchiveTo::File(path) => Self::File(path.clone(), None),
            ArchiveTo::Socket(path) => Self::Socket(path.clone(), None),
            ArchiveTo::Http(url) => {
                let read = |path: &PathBuf| {
                    std::fs::read_to_string(path).with_context(|| format!("archive.token_file: {}", path.display()))
                };
                let token = config.token_file.as_ref().map(read).transpose()?.map(|token| token.trim().to_owned());
                let client =
                    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
                Self::Http { client, url: url.clone(), token }
            }
        })
    }

    /// Gives lines to it; when this returns well they are its own. `last` is the number of the last line.
    pub(super) async fn take(&mut self, lines: &[u8], last: u64) -> Result<(), TakeError> {
        let taken = tokio::time::timeout(PATIENCE, self.try_take(lines, last)).await.unwrap_or(Err(TakeError::Silent));
        if let (Self::Socket(_, stream), Err(_)) = (self, &taken) {
            // What it may still say would be about something else.
            *stream = None;
        }
        taken
    }

    async fn try_take(&mut self, lines: &[u8], last: u64) -> Result<(), TakeError> {
        match self {
            Self::File(path, under_way) => {
                if let Some(earlier) = under_way {
                    // It was given up: whatever came of it, its lines come again now.
                    let _ = earlier.await;
                }
                let (path, lines) = (path.clone(), lines.to_vec());
                let writing = under_way.insert(tokio::task::spawn_blocking(move || append(&path, &lines)));
                let written = writing.await;
                *under_way = None;
                Ok(written.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?)
            }
            Self::Socket(path, stream) => {
                if stream.is_none() {
                    *stream = Some(BufReader::new(UnixStream::connect(path).await?));
                }
                let Some(stream) = stream else { return Err(TakeError::Word) };
                stream.get_mut().write_all(lines).await?;
                loop {
                    let mut word = String::new();
                    (&mut *stream).take(MAX_WORD).read_line(&mut word).await?;
                    match word.trim().parse::<u64>() {
                        _ if word.is_empty() => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                        Ok(number) if number == last => return Ok(()),
                        // It may say that it has each line, or only the last of them.
                        Ok(number) if number < last => {}
                        Ok(_) | Err(_) => return Err(TakeError::Word),
                    }
                }
            }
            Self::Http { client, url, token } => {
                let mut request = client.post(url.as_str()).header("Content-Type", "application/x-ndjson");
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let answer = request.body(lines.to_vec()).send().await?;
                if answer.status().is_success() { Ok(()) } else { Err(TakeError::Status(answer.status())) }
            }
        }
    }
}

/// Appends and forces to disk. Opened anew each time, so that a file may be rotated away.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let before = file.metadata()?.len();
    file.write_all(lines).and_then(|()| file.sync_data()).inspect_err(|_| {
        // A half line would spoil the next one.
        let _ = file.set_len(before);
    })
}
