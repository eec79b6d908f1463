//! What the delivery machine promises (DESIGN A5), as a book of vectors that knows nothing of how it is built.

use impp_model::{Failure, Outcome, Proof};
use std::collections::{BTreeMap, BTreeSet};

/// A message's place in the book.
pub type Number = usize;

/// How the far side ended a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Its server, or its user, has it.
    Delivered(Proof),
    /// Nobody was asked for a confirmation.
    HandedOver,
    /// A failure for good.
    Final,
    /// A failure that may pass, and the message has not arrived.
    Refused,
    /// A failure that may pass, and the message may have arrived.
    Silent,
}

/// One try, as the far side saw it.
#[derive(Debug, Clone, Copy)]
pub struct Try {
    pub edition: u32,
    /// None while the adapter has it.
    pub answer: Option<Answer>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its sender waits.
    Open,
    /// Its sender need not care any more, and it has not ended.
    Accepted,
    /// It ended well.
    Arrived(Proof),
    /// The same, without a confirmation.
    HandedOver,
    /// It failed, and whoever waited for it heard so.
    Refused,
    /// It failed after it had been accepted: the sender is owed word.
    Owed,
    /// The gateway died before its sender heard anything, and nothing of it was kept.
    Lost,
}

/// One message.
#[derive(Debug)]
pub struct Message {
    pub pair: usize,
    pub sender: &'static str,
    pub text: String,
    /// The second.
    pub sent: u64,
    pub fate: Fate,
    pub tries: Vec<Try>,
    /// The life of the gateway in which it ended, and the second.
    pub ended: Option<(u32, u64)>,
    /// Whether a late error about it was told.
    pub reversed: bool,
    /// The edition in which a process that died may have sent the same before.
    pub before: Option<u32>,
}

/// All that was sent.
#[derive(Debug, Default)]
pub struct Book {
    pub messages: Vec<Message>,
    /// Numbers by text, the newest generation last.
    pub by_text: BTreeMap<String, Vec<Number>>,
    /// Ended while the disk was slow: a crash may undo it.
    pub unsafe_ends: BTreeSet<Number>,
    pub crashes: u32,
    /// Words of failure owed to each sender, and told.
    pub owed: BTreeMap<&'static str, usize>,
    pub told: BTreeMap<&'static str, usize>,
    /// Words that never reached their senders, as the gateway counts them.
    pub untold: usize,
}

impl Message {
    pub fn may_have_arrived(&self) -> Option<u32> {
        let arrived =
            |answer| matches!(answer, None | Some(Answer::Delivered(_) | Answer::HandedOver | Answer::Silent));
        self.before.or_else(|| self.tries.iter().find(|one| arrived(one.answer)).map(|one| one.edition))
    }

    pub fn in_hands(&self) -> bool {
        self.tries.last().is_some_and(|one| one.answer.is_none())
    }

    /// Whether those behind it may go: the far side has it in hand, or has said what becomes of it.
    fn lets_pass(&self) -> bool {
        let last = self.tries.last().map(|one| one.answer);
        let is_decided = matches!(last, Some(None | Some(Answer::Delivered(_) | Answer::HandedOver | Answer::Final)));
        is_decided || self.has_ended()
    }

    pub fn has_ended(&self) -> bool {
        !matches!(self.fate, Fate::Open | Fate::Accepted)
    }
}

impl Book {
    /// A sender hands in something new.
    pub fn sent(&mut self, pair: usize, sender: &'static str, text: &str, at: u64) -> Number {
        let number = self.messages.len();
        self.messages.push(Message {
            pair,
            sender,
            text: text.into(),
            sent: at,
            fate: Fate::Open,
            tries: Vec::new(),
            ended: None,
            reversed: false,
            before: None,
        });
        self.by_text.entry(text.into()).or_default().push(number);
        number
    }

    pub fn newest(&self, text: &str) -> Number {
        *self.by_text[text].last().unwrap()
    }

    /// An adapter is given a message.
    pub fn handed(&mut self, text: &str, repeat: bool, edition: u32) -> Number {
        let number = self.newest(text);
        let (pair, crashes) = (self.messages[number].pair, self.crashes);
        for earlier in self.messages[..number].iter().filter(|earlier| earlier.pair == pair) {
            assert!(earlier.lets_pass(), "{text} overtakes {earlier:?}");
        }
        let message = &mut self.messages[number];
        assert!(!message.in_hands(), "{text} is in two hands");
        assert!(!message.has_ended(), "{text} is tried after its end: {message:?}");
        match message.may_have_arrived() {
            Some(before) => assert!(repeat && edition == before, "{text}: an unflagged duplicate, {message:?}"),
            None if crashes == 0 => {
                assert!(!repeat, "{text} is flagged and has never arrived: {message:?}");
                let known = message.tries.iter().any(|one| one.edition == edition);
                assert!(!known, "{text} goes under ids that were refused: {message:?}");
            }
            None => {}
        }
        message.tries.push(Try { edition, answer: None });
        number
    }

    /// The far side answers what an adapter holds, or the adapter gives it up.
    pub fn answered(&mut self, number: Number, answer: Answer, life: u32, at: u64, disk_is_slow: bool) {
        let message = &mut self.messages[number];
        message.tries.last_mut().unwrap().answer = Some(answer);
        // While the sender waits the end is what he hears; afterwards it is what the far side said.
        if message.fate != Fate::Accepted {
            return;
        }
        let fate = match answer {
            Answer::Delivered(proof) => Fate::Arrived(proof),
            Answer::HandedOver => Fate::HandedOver,
            Answer::Final => Fate::Owed,
            Answer::Refused | Answer::Silent => return,
        };
        self.ended(number, fate, life, at, disk_is_slow);
    }

    pub fn ended(&mut self, number: Number, fate: Fate, life: u32, at: u64, disk_is_slow: bool) {
        let message = &mut self.messages[number];
        assert!(!message.has_ended(), "{} ends twice: {message:?} and {fate:?}", message.text);
        (message.fate, message.ended) = (fate, Some((life, at)));
        if fate == Fate::Owed {
            *self.owed.entry(message.sender).or_default() += 1;
        }
        if disk_is_slow {
            self.unsafe_ends.insert(number);
        }
    }

    /// The first of its senders to wait hears something.
    pub fn heard(&mut self, number: Number, outcome: &Outcome, (life, at): (u32, u64), disk_is_slow: bool) {
        let message = &self.messages[number];
        let last = message.tries.last().and_then(|one| one.answer);
        match outcome {
            Outcome::Success(proof) => {
                assert_eq!(last, Some(Answer::Delivered(*proof)), "{}: nobody has said so", message.text);
                self.ended(number, Fate::Arrived(*proof), life, at, disk_is_slow);
            }
            Outcome::HandedOver => {
                assert_eq!(last, Some(Answer::HandedOver), "{}", message.text);
                self.ended(number, Fate::HandedOver, life, at, disk_is_slow);
            }
            Outcome::Indeterminant => {
                assert_eq!(message.fate, Fate::Open, "{}", message.text);
                // What was journalled and failed is told by a word of its own, committed with its end.
                if matches!(message.tries.last(), Some(Try { answer: Some(Answer::Final), .. })) {
                    return self.ended(number, Fate::Owed, life, at, disk_is_slow);
                }
                self.messages[number].fate = Fate::Accepted;
            }
            Outcome::Failure(failure) => {
                self.may_hear(number, failure);
                // Whoever has heard of a failure must never see it come back.
                self.ended(number, Fate::Refused, life, at, false);
            }
        }
    }

    /// Nobody hears of a failure of what has arrived for certain.
    fn may_hear(&self, number: Number, failure: &Failure) {
        let message = &self.messages[number];
        let arrived = |one: &Try| matches!(one.answer, Some(Answer::Delivered(_) | Answer::HandedOver));
        assert!(!message.tries.iter().any(arrived), "{} has arrived, told {failure:?}", message.text);
    }

    /// The gateway died and found these in its ledger when it came back.
    pub fn crashed(&mut self, found: &BTreeSet<String>) {
        self.crashes += 1;
        let newest: BTreeSet<Number> = found.iter().map(|text| self.newest(text)).collect();
        for (number, message) in self.messages.iter_mut().enumerate() {
            let (is_there, may_be_back) = (newest.contains(&number), self.unsafe_ends.contains(&number));
            match message.fate {
                Fate::Open if is_there => message.fate = Fate::Accepted,
                Fate::Open => message.fate = Fate::Lost,
                Fate::Accepted => assert!(is_there, "{} was accepted and is lost", message.text),
                Fate::Arrived(_) | Fate::HandedOver | Fate::Owed if is_there && may_be_back => {
                    if message.fate == Fate::Owed {
                        *self.owed.entry(message.sender).or_default() -= 1;
                    }
                    (message.fate, message.ended) = (Fate::Accepted, None);
                }
                Fate::Arrived(_) | Fate::HandedOver | Fate::Owed | Fate::Refused | Fate::Lost => {
                    assert!(!is_there, "{} is back from its end {:?}", message.text, message.fate);
                }
            }
            if let Some(last) = message.tries.last_mut().filter(|one| one.answer.is_none()) {
                last.answer = Some(Answer::Silent);
            }
        }
        self.unsafe_ends.clear();
    }

    /// What must hold when nothing is pending.
    ///
    /// A word about a late error for which there is no `room` in the ledger is said once and at once: a crash may take it.
    pub fn close(&self, room: bool) {
        for message in &self.messages {
            assert!(message.has_ended(), "{message:?} has not ended");
        }
        let count = |words: &BTreeMap<_, usize>| words.values().sum::<usize>();
        let (owed, told) = (count(&self.owed), count(&self.told));
        assert!(
            told + self.untold >= owed || (self.crashes > 0 && !room),
            "{owed} owed, {told} told and {} untold",
            self.untold
        );
        for (sender, told) in &self.told {
            // A word on its way at a crash is said again.
            let most = self.owed.get(sender).copied().unwrap_or_default() * (1 + self.crashes as usize);
            assert!(*told <= most, "{sender}: {told} told and at most {most} owed");
        }
    }
}
