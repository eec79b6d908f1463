//! Bounds on what is read; RFC 3862 §2.2 asks for none on a line, so all are on the object.

/// Octets of one object: what a message may weigh on its way through memory, far above any text.
pub const MAX_OBJECT: usize = 4 * 1024 * 1024;

/// Message headers of one object, so that nobody fills memory with spans; deployed messages have fewer than 20.
pub const MAX_HEADERS: usize = 256;

/// Parameters of one header; deployed headers have one, and each costs a fault of its own in reports.
pub const MAX_PARAMS: usize = 16;

/// Namespace declarations of one object, since each header walks them.
pub const MAX_NAMESPACES: usize = 32;

/// Names in all Require headers of one object.
pub const MAX_REQUIREMENTS: usize = 64;

/// MIME headers of one entity.
pub const MAX_MIME_HEADERS: usize = 64;

/// Octets of an XML report or status document; real ones have fewer than 2,000.
pub const MAX_DOCUMENT: usize = 64 * 1024;
