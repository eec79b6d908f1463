//! Why a connection is refused or cut.

use crate::mapping::FrameError;
use crate::wire;
use std::time::Duration;

/// Why the gateway ends a stream: the code in `Goodbye`, in logs and in the README.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Another version of the schema.
    #[error("version {found}; this gateway speaks {}", crate::VERSION)]
    Version {
        /// The adapter's.
        found: u32,
    },
    /// The first frame is no hello, or did not come in time.
    #[error("a stream begins with a hello")]
    Hello,
    /// The name of another instance.
    #[error("this socket is that of another instance")]
    Instance,
    /// Other capabilities than those of the file.
    #[error("the capabilities differ from those of capabilities_file, in {field}")]
    Capabilities {
        /// The first that differs.
        field: String,
    },
    /// A domain that is not configured.
    #[error("the domain {domain} is not in `domains`")]
    Domains {
        /// The first of them.
        domain: String,
    },
    /// An adapter is connected.
    #[error("an adapter is connected already")]
    Busy,
    /// Another connection resumed the session.
    #[error("another connection goes on with this session")]
    Replaced,
    /// A frame longer than [`MAX_FRAME`](crate::MAX_FRAME).
    #[error("a frame of more than {} octets", crate::MAX_FRAME)]
    FrameTooLarge,
    /// More frames than allowed, or what came is never acknowledged.
    #[error("more frames than allowed")]
    Flood,
    /// An answer to nothing.
    #[error("it answers frame {of}, which waits for no answer")]
    Unsolicited {
        /// The number it names.
        of: u64,
    },
    /// A frame out of turn, or one that makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// No frame for too long.
    #[error("silent for {0:?}")]
    Silent(Duration),
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The adapter said goodbye.
    #[error("the adapter said goodbye: {0}")]
    Left(String),
    /// The gateway stops.
    #[error("the gateway stops")]
    Shutdown,
}

impl Reason {
    /// The reason code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Hello => "hello",
            Self::Instance => "instance",
            Self::Capabilities { .. } => "capabilities",
            Self::Domains { .. } => "domains",
            Self::Busy => "busy",
            Self::Replaced => "replaced",
            Self::FrameTooLarge => "frame-too-large",
            Self::Flood => "flood",
            Self::Unsolicited { .. } => "unsolicited",
            Self::Malformed(_) => "malformed",
            Self::Silent(_) => "silent",
            Self::Broken => "broken",
            Self::Left(_) => "left",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether the session may go on over another connection; else the adapter did what none does.
    pub(crate) fn may_resume(&self) -> bool {
        matches!(self, Self::Broken | Self::Silent(_) | Self::Replaced)
    }

    pub(crate) fn goodbye(&self) -> wire::Goodbye {
        wire::Goodbye { reason: self.code().to_owned(), text: self.to_string() }
    }
}

impl From<FrameError> for Reason {
    fn from(error: FrameError) -> Self {
        Self::Malformed(error.to_string())
    }
}
