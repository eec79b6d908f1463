//! The table of the archive.

use std::path::PathBuf;

use impp_model::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where operations are archived, and what becomes of them while that takes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Who takes the records, one JSON object a line: a file as `file:/var/log/interlingua/archive.jsonl`; a socket file as
    /// `unix:/run/archive.sock`, whose other end answers with the number `n` of each line that it has, or of the last one; or a URL as
    /// `http://127.0.0.1:9000/records`, which answers a POST with success. Required.
    #[schemars(with = "String", example = &"file:/var/log/interlingua/archive.jsonl")]
    pub to: ArchiveTo,
    /// The kinds of operation: `message`, `disposition`, `composing`, `subscribe`, `notify`, `authorize`, `publish`.
    #[serde(default = "Archive::messages")]
    #[schemars(with = "Vec<String>")]
    pub kinds: Vec<Kind>,
    /// Whether the records hold what messages say, not only who wrote to whom, when and how it ended.
    #[serde(default)]
    pub content: bool,
    /// While the consumer takes nothing, `continue` lets all pass and counts what is not archived, `spool` keeps records in
    /// `data_dir` until it does, and `block` lets no message pass that it has not taken.
    #[serde(default)]
    pub when_away: WhenAway,
    /// Octets of records that `spool` keeps; when they are full it is as with `block`.
    #[serde(default = "Archive::spool_octets")]
    pub spool_octets: u64,
    /// A file with a bearer token for the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"archive.token")]
    pub token_file: Option<PathBuf>,
}

impl Archive {
    fn messages() -> Vec<Kind> {
        vec![Kind::Message]
    }

    /// Two million records without content.
    fn spool_octets() -> u64 {
        1 << 30
    }
}

/// Who takes the records of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ArchiveTo {
    /// A file that they are appended to.
    File(PathBuf),
    /// A socket file that somebody listens at.
    Socket(PathBuf),
    /// An HTTP server.
    Http(String),
}

impl TryFrom<String> for ArchiveTo {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const REMEDY: &str = "neither file, socket nor URL; write \"file:/var/log/interlingua/archive.jsonl\", \"unix:/run/archive.sock\" or \"http://127.0.0.1:9000/records\"";
        const TLS: &str = "records go over http, without TLS; write the URL of a program on this host that passes them on, as \"http://127.0.0.1:9000/records\"";
        match text.split_once(':') {
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Socket(path.into())),
            Some(("http", rest)) if rest.starts_with("//") && reqwest::Url::parse(&text).is_ok() => {
                Ok(Self::Http(text))
            }
            Some(("https", _)) => Err(TLS),
            _ => Err(REMEDY),
        }
    }
}

impl From<ArchiveTo> for String {
    fn from(to: ArchiveTo) -> Self {
        match to {
            ArchiveTo::File(path) => format!("file:{}", path.display()),
            ArchiveTo::Socket(path) => format!("unix:{}", path.display()),
            ArchiveTo::Http(url) => url,
        }
    }
}

/// What becomes of operations while the archive takes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenAway {
    /// They pass.
    #[default]
    Continue,
    /// They pass, and their records are kept on disk.
    Spool,
    /// They do not.
    Block,
}
