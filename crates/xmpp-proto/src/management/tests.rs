use super::*;

#[allow(clippy::disallowed_methods, reason = "the origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn managed() -> Management {
    Management::new(ManagementConfig::default())
}

fn send(management: &mut Management, tokens: std::ops::Range<Token>) {
    tokens.for_each(|token| management.sent(Some(token), Bytes::from_static(b"<message/>")));
}

fn acked(management: &mut Management, h: u32) -> Result<Vec<Token>, HandledTooHigh> {
    management.handle_ack(h, origin()).map(Iterator::collect)
}

// checks: SMG-001
#[test]
fn xep0198_s4_counters_run_modulo_2_32() {
    let mut management = managed();
    let near = u64::from(u32::MAX) - 1;
    (management.sent, management.acked) = (near, near);
    (management.received, management.handled) = (near, near);
    send(&mut management, 0..4);
    assert_eq!(acked(&mut management, u32::MAX), Ok(vec![0]));
    assert_eq!(acked(&mut management, 1), Ok(vec![1, 2]));
    assert_eq!(acked(&mut management, 1), Ok(vec![]));
    assert_eq!(acked(&mut management, 3), Err(HandledTooHigh { h: 3, sent: 2 }));
    assert_eq!(acked(&mut management, 0), Err(HandledTooHigh { h: 0, sent: 2 }));
    for _ in 0..3 {
        let number = management.handle_received();
        management.handle_settled(number);
    }
    assert_eq!(management.h(), 1);
}

// checks: SMG-002
#[test]
fn xep0198_s4_an_ack_covers_what_is_settled_without_gap() {
    let now = origin();
    let mut management = managed();
    let numbers: Vec<_> = (0..3).map(|_| management.handle_received()).collect();
    management.handle_settled(numbers[1]);
    management.handle_settled(99);
    assert_eq!((management.h(), management.unhandled()), (0, 3));
    management.handle_request(now);
    assert_eq!(management.poll_ack(now), None);
    management.handle_settled(numbers[0]);
    assert_eq!(management.h(), 2);
    management.handle_settled(numbers[2]);
    assert_eq!(management.poll_ack(now), Some(AckStep::Acknowledge(3)));
    assert_eq!(management.poll_ack(now), None);
    assert!(management.is_idle());
}

// checks: SMG-002
#[test]
fn xep0198_s4_an_ack_is_not_withheld_for_long() {
    let now = origin();
    let mut management = managed();
    let number = management.handle_received();
    management.handle_request(now);
    let due = management.ack_due().unwrap();
    assert_eq!(due, now + ManagementConfig::ACK_DELAY);
    assert_eq!(management.poll_ack(due), Some(AckStep::Settle));
    let late = management.ack_due().unwrap();
    assert_eq!(management.poll_ack(late), Some(AckStep::Acknowledge(0)));
    assert_eq!(management.ack_due(), None);
    management.handle_settled(number);
    assert_eq!(management.poll_ack(late), Some(AckStep::Acknowledge(1)));
}

// checks: SMG-002
#[test]
fn xep0198_s5_what_came_before_the_break_is_known_by_its_number() {
    let now = origin();
    let mut management = managed();
    let numbers: Vec<_> = (0..4).map(|_| management.handle_received()).collect();
    management.handle_settled(numbers[2]);
    management.pause();
    assert_eq!(management.handle_resuming(), 0);
    // The connection breaks again, and meanwhile two more are settled.
    let again = management.handle_received();
    assert!(management.is_known(again));
    management.pause();
    management.handle_settled(numbers[0]);
    assert_eq!(management.handle_resuming(), 1);
    // Settled after that was said: no answer runs ahead of what the peer repeats.
    management.handle_settled(numbers[1]);
    assert_eq!((management.h(), management.unhandled()), (1, 0));
    management.handle_request(now);
    assert_eq!(management.poll_ack(now), Some(AckStep::Acknowledge(1)));
    let repeated: Vec<_> = (0..3).map(|_| management.handle_received()).collect();
    assert_eq!(repeated, numbers[1..]);
    assert!(repeated.iter().all(|number| management.is_known(*number)));
    assert_eq!((management.h(), management.unhandled()), (3, 1));
    let new = management.handle_received();
    assert!(!management.is_known(new));
    management.handle_settled(numbers[3]);
    management.handle_settled(new);
    assert_eq!(management.h(), 5);
}

#[test]
fn requests_go_one_at_a_time_or_with_a_batch() {
    let now = origin();
    let mut management = managed();
    assert!(!management.poll_request(false, now));
    send(&mut management, 0..1);
    assert!(management.poll_request(false, now));
    assert!(!management.poll_request(false, now));
    send(&mut management, 1..32);
    assert!(!management.poll_request(false, now));
    send(&mut management, 32..33);
    let later = now + Duration::from_secs(1);
    assert!(management.poll_request(false, later));
    assert_eq!(management.dead_at(), Some(now + ACK_TIMEOUT));
    assert_eq!(acked(&mut management, 33).unwrap().len(), 33);
    assert_eq!(management.dead_at(), None);
    assert!(management.poll_request(true, later));
}

#[test]
fn the_queue_is_bounded_in_stanzas_and_octets() {
    let config = ManagementConfig { max_unacked: 2, max_unacked_octets: 1000, ..ManagementConfig::default() };
    let mut management = Management::new(config);
    send(&mut management, 0..1);
    assert!(management.has_room());
    send(&mut management, 1..2);
    assert!(!management.has_room());
    assert_eq!(acked(&mut management, 2), Ok(vec![0, 1]));
    management.sent(None, Bytes::from(vec![b' '; 1000]));
    assert!(!management.has_room());
    assert_eq!(acked(&mut management, 3), Ok(vec![]));
    assert!(management.has_room());
}

// checks: SMG-002
#[test]
fn xep0198_s5_what_is_not_acknowledged_is_sent_again() {
    let mut management = managed();
    send(&mut management, 0..3);
    assert_eq!(acked(&mut management, 1), Ok(vec![0]));
    assert_eq!(management.resend().count(), 2);
    assert_eq!(management.unacked().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(acked(&mut management, 3), Ok(vec![1, 2]));
}
