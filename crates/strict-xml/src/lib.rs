//! XML for hostile peers: an incremental framer, a strict parser with limits, and a writer that cannot emit illegal XML.
//!
//! The subset is that of RFC 6120 §11.1: no DTD, no processing instructions, no comments, no entities but the five
//! predefined ones and character references, UTF-8 only. [`parse_document`] widens it by comments and processing
//! instructions, which bodies such as PIDF may hold.
//!
//! quick-xml's parsers find where tags and instructions end; every other rule is checked here: `Char` and name productions,
//! attribute syntax, namespace constraints, matching end tags, `]]>` in text, one root.
//!
//! ```
//! use strict_xml::{Limits, Scope, parse_element};
//!
//! let scope = Scope::with_default("jabber:client");
//! let message = parse_element(b"<message to='juliet@example.com'><body>Hi</body></message>", &scope, &Limits::default())?;
//! assert_eq!(message.attr("to"), Some("juliet@example.com"));
//! assert_eq!(message.child("body", "jabber:client").map(|body| body.text()), Some("Hi".into()));
//! # Ok::<(), strict_xml::XmlError>(())
//! ```

mod chars; // XML 1.0 §2.2, §2.3
mod element;
mod error; // RFC 6120 §4.9.3
mod escape; // XML 1.0 §2.4
mod framer; // RFC 6120 §11.1
mod limits; // RFC 6120 §13.12
mod parse;
mod scope; // Namespaces in XML 1.0
mod shared;
mod tag; // XML 1.0 §3.1
mod token; // XML 1.0 §2.4, §3.1
mod tree;
mod write;

pub use chars::{is_ncname, is_xml_char, is_xml_text};
pub use element::{Attr, Element, Node};
pub use error::{Fault, XmlError, XmlErrorKind};
pub use escape::{escape_attr, escape_text};
pub use framer::{Frame, Framer, StreamTag};
pub use limits::Limits;
pub use parse::{parse_document, parse_element};
pub use scope::{Scope, XML_NS, XMLNS_NS};
pub use shared::SharedStr;
pub use tree::{AttrRef, Declaration, ElementRef, NodeRef, TextRef, Tree};
pub use write::{XmlWriter, write_element};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
