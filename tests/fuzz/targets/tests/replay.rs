//! Runs every target over its corpus, over damaged copies of it, and over inputs too large to keep.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the message")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fuzz_targets::{TARGETS, Target};

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut corpora: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    corpora.sort();
    let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(corpora, targets);
}

#[test]
fn the_cpim_corpus_is_harmless() {
    replay("cpim");
}

#[test]
fn the_date_corpus_is_harmless() {
    replay("date");
}

#[test]
fn the_digest_corpus_is_harmless() {
    replay("digest");
}

#[test]
fn the_imdn_corpus_is_harmless() {
    replay("imdn");
}

#[test]
fn the_pidf_corpus_is_harmless() {
    replay("pidf");
}

#[test]
fn the_sip_corpus_is_harmless() {
    replay("sip");
}

#[test]
fn the_stanza_corpus_is_harmless() {
    replay("stanza");
}

#[test]
fn the_uri_corpus_is_harmless() {
    replay("uri");
}

#[test]
fn the_xml_framer_corpus_is_harmless() {
    replay("xml_framer");
}

#[test]
fn the_sip_stream_corpus_is_harmless() {
    replay("sip_stream");
}

#[test]
fn the_zone_corpus_is_harmless() {
    replay("zone");
}

#[test]
fn the_certificate_corpus_is_harmless() {
    replay("certificate");
}

#[test]
fn the_frame_corpus_is_harmless() {
    replay("frame");
}

#[test]
fn the_matrix_corpus_is_harmless() {
    replay("matrix");
}

#[test]
fn the_mime_corpus_is_harmless() {
    replay("mime");
}

#[test]
fn the_native_corpus_is_harmless() {
    replay("native");
}

#[test]
fn the_sip_mapping_corpus_is_harmless() {
    replay("sip_mapping");
}

#[test]
fn the_stanza_mapping_corpus_is_harmless() {
    replay("stanza_mapping");
}

#[test]
fn the_streams_corpus_is_harmless() {
    replay("streams");
}

#[test]
fn input_too_large_to_keep_is_harmless() {
    for (name, input) in large() {
        for (_, target) in TARGETS {
            survive(*target, name, &input);
        }
    }
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(found, _)| *found == name).unwrap();
    let corpus = corpus(name);
    assert!(corpus.len() >= FEWEST, "{name} has {} inputs", corpus.len());
    let mut dice = Dice(SEED);
    for (file, input) in &corpus {
        survive(*target, file, input);
        truncated(input, |input| survive(*target, file, input));
        let (_, other) = &corpus[dice.below(corpus.len())];
        for _ in 0..DAMAGED {
            survive(*target, file, &damaged(input, other, &mut dice));
        }
    }
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| (file.display().to_string(), fs::read(file).unwrap())).collect()
}

/// Runs the target and names the input if it breaks a promise.
fn survive(target: Target, name: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let shown = input.get(..2_000).unwrap_or(input).escape_ascii();
        panic!("{name} of {} octets breaks a promise: {shown}", input.len());
    }
}

/// Half-open input: every beginning of a short one, some of a long one.
fn truncated(input: &[u8], mut run: impl FnMut(&[u8])) {
    let step = input.len() / BEGINNINGS + 1;
    (0..input.len()).step_by(step).for_each(|end| run(&input[..end]));
}

/// A copy with a few octets changed, left out or doubled, or with the end of another input.
fn damaged(input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut copy = input.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(copy.len() + 1);
        match dice.below(5) {
            0 => copy.truncate(at),
            1 => copy.insert(at, NASTY[dice.below(NASTY.len())]),
            2 => copy.extend_from_within(at..),
            3 => copy.extend_from_slice(&other[dice.below(other.len() + 1)..]),
            _ => {
                if let Some(octet) = copy.get_mut(at) {
                    *octet = NASTY[dice.below(NASTY.len())];
                }
            }
        }
    }
    copy
}

fn presence(inside: &str) -> Vec<u8> {
    let ns = "urn:ietf:params:xml:ns:pidf";
    format!("<presence xmlns='{ns}' xmlns:d='{ns}:data-model' entity='x'>{inside}</presence>").into_bytes()
}

fn large() -> Vec<(&'static str, Vec<u8>)> {
    let stream = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>";
    let message = "MESSAGE sip:a@example.com SIP/2.0\r\n";
    vec![
        ("10,000 header fields", format!("{message}{}\r\n", "X: y\r\n".repeat(10_000)).into_bytes()),
        ("a header field of 1 MB", format!("{message}Subject: {}\r\n\r\n", "x".repeat(1 << 20)).into_bytes()),
        (
            "10,000 Via values",
            format!("{message}Via: {}\r\n\r\n", "SIP/2.0/UDP a;branch=z9hG4bK1,".repeat(10_000)).into_bytes(),
        ),
        ("a start line of 1 MB", format!("MESSAGE sip:{}@example.com SIP/2.0\r\n", "a".repeat(1 << 20)).into_bytes()),
        ("elements 10,000 deep", format!("{stream}{}", "<a>".repeat(10_000)).into_bytes()),
        (
            "10,000 attributes",
            format!("{stream}<a {}/>", (0..10_000).map(|n| format!("a{n}='' ")).collect::<String>()).into_bytes(),
        ),
        ("an attribute of 1 MB", format!("{stream}<a b='{}'/>", "x".repeat(1 << 20)).into_bytes()),
        ("100,000 character references", format!("{stream}<a>{}</a>", "&#x20;".repeat(100_000)).into_bytes()),
        ("5,000 persons of one id", presence(&"<d:person id='p'/>".repeat(5_000))),
        (
            "10,000 extensions under a long start tag",
            presence(&format!(
                "<tuple id='t' xmlns:x='urn:x' a='{}'><status><basic>open</basic></status>{}</tuple>",
                "b".repeat(100_000),
                "<x:y/>".repeat(10_000)
            )),
        ),
        ("10,000 tuples", presence(&"<tuple id='t'/>".repeat(10_000))),
        ("a million line ends", "\r\n".repeat(1 << 20).into_bytes()),
        ("a million zero octets", vec![0; 1 << 20]),
        ("10,000 message headers", "From: <im:a@b>\r\n".repeat(10_000).into_bytes()),
        ("10,000 namespaces", format!("{}\r\n", "NS: p <urn:x:y>\r\n".repeat(10_000)).into_bytes()),
        ("100,000 required names", format!("Require: {}a\r\n\r\n", "a,".repeat(100_000)).into_bytes()),
        ("100,000 parameters", format!("X:{} y\r\n\r\nContent-Type: a/b\r\n", ";a=b".repeat(100_000)).into_bytes()),
        (
            "200,000 escapes",
            format!("Subject: {}\r\n\r\nContent-Type: a/b\r\n", "\\u00e9".repeat(200_000)).into_bytes(),
        ),
        (
            "100,000 delimiters",
            format!("Content-Type: multipart/signed; boundary=b\r\n\r\n{}", "\r\n--bc".repeat(100_000)).into_bytes(),
        ),
        ("a URI of 300 kB", format!("im:{}@example.com", "%C3%BC".repeat(50_000)).into_bytes()),
        ("100,000 labels", format!("a@{}com", "a.".repeat(100_000)).into_bytes()),
    ]
}

/// xorshift64*: the same damage on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        roll as usize % limit.max(1)
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// A corpus with fewer inputs has been lost.
const FEWEST: usize = 15;
/// Damaged copies of each input.
const DAMAGED: usize = 100;
/// Beginnings of each input.
const BEGINNINGS: usize = 300;
/// Octets that mean something somewhere, or nothing anywhere.
const NASTY: &[u8] = b"\0\r\n\t <>&'\"/=:;,@%?#[]!-\\()x0A9\x7f\x80\xbf\xc0\xc3\xed\xf4\xff";
