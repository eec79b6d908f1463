//! Bounds on what a peer may make us keep.
//!
//! RFC 3261 sets none; each value leaves ample room above what real networks send.

/// Octets of start line and headers together: the size of a UDP datagram, which RFC 3261 §18.1.1 obliges us to take.
pub const MAX_HEAD: usize = 65_536;

/// Header lines of one message: long paths have some 40.
pub const MAX_HEADERS: usize = 256;

/// Via values of one message: a request starts with 70 hops (RFC 3261 §8.1.1.6), so no honest path is longer.
pub const MAX_VIAS: usize = 100;

/// Octets of one body on a stream: documents and long messages stay far below.
pub const MAX_BODY: usize = 1 << 20;

/// Octets of an over-large body that are read and dropped to keep a shared connection in step; beyond it the stream ends.
pub const MAX_SKIPPED_BODY: usize = 16 << 20;

/// Empty lines in front of a message that are skipped: keep-alives of senders that do not frame them.
pub const MAX_LEADING_LINES: usize = 16;

/// Parameters, and headers, of one SIP URI: it takes few, and comparing each with each must stay cheap.
pub const MAX_URI_PARAMS: usize = 32;
