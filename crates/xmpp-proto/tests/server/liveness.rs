use std::time::Duration;

use xmpp_proto::server::{Output, ServerConfig, Times};
use xmpp_proto::stream::StreamCondition;

use crate::support::*;

fn both_ways(host: &str) -> ServerConfig {
    let mut config = server(host);
    config.management = None;
    config
}

// checks: XST-032
#[test]
fn rfc6120_s4_6_1_white_space_goes_over_a_stream_that_goes_one_way() {
    let mut ends = Ends::open(plain(CALLER), plain(CALLED));
    let before = ends.caller_wrote.len();
    assert_eq!(ends.wait(Times::KEEPALIVE), [vec![], vec![]]);
    assert_eq!(&ends.caller_wrote[before..], " ");
}

// checks: XST-032, SMG-003
#[test]
fn xep0199_s4_1_a_silent_peer_is_pinged_and_its_answer_stays_within() {
    let mut ends = Ends::open(both_ways(CALLER), both_ways(CALLED));
    let now = ends.now + Times::KEEPALIVE;
    ends.caller.handle_timeout(now);
    let (ping, _) = drained(|| ends.caller.poll_output());
    assert_eq!(
        ping,
        "<iq id='keepalive-1' type='get' from='example.com' to='example.net'><ping xmlns='urn:xmpp:ping'/></iq>"
    );
    for (answer, is_pong) in [
        ("<iq id='keepalive-2' type='result' from='example.net' to='example.com'/>", false),
        ("<iq id='keepalive-1' type='result' from='x@example.net' to='example.com'/>", false),
        ("<iq id='keepalive-1' type='error' from='example.net' to='example.com'/>", true),
        ("<iq id='keepalive-1' type='result' from='example.net' to='example.com'/>", false),
    ] {
        ends.caller.handle_bytes(answer.as_bytes(), now);
        assert_eq!(drained(|| ends.caller.poll_output()).1.is_empty(), is_pong, "{answer}");
    }
    assert_eq!(ends.caller.poll_timeout(), Some(now + Times::KEEPALIVE));
}

// checks: XST-032
#[test]
fn rfc6120_s4_6_2_a_peer_that_does_not_answer_is_dead() {
    let mut ends = Ends::open(both_ways(CALLER), both_ways(CALLED));
    let asked = ends.now + Times::KEEPALIVE;
    ends.caller.handle_timeout(asked);
    drained(|| ends.caller.poll_output());
    assert_eq!(ends.caller.poll_timeout(), Some(asked + Times::ANSWER));
    ends.caller.handle_timeout(asked + Times::ANSWER);
    assert_eq!(refusal(&drained(|| ends.caller.poll_output()).1), Some(StreamCondition::ConnectionTimeout));
}

// checks: XST-032
#[test]
fn rfc6120_s4_6_an_idle_stream_is_closed_in_order() {
    let mut ends = Ends::open(plain(CALLER), plain(CALLED));
    ends.wait(Times::IDLE - Duration::from_secs(1));
    ends.say("still here", 0);
    assert_eq!(ends.wait(Times::IDLE - Duration::from_secs(1)), [vec![], vec![]]);
    assert_eq!(ends.wait(Duration::from_secs(1)), [vec![Output::Closed], vec![Output::Closed]]);
    assert!(ends.caller_wrote.ends_with("</stream:stream>") && !ends.caller_wrote.contains("stream:error"));
    assert_eq!((ends.caller.poll_timeout(), ends.called.poll_timeout()), (None, None));
}
