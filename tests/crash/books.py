"""The books of the senders and the receivers, and what they must say about the gateway's ledger.

A message's text names it, so that the far side, the ledger's export and a notice can be matched without the gateway's help.
"""
import re
from collections import Counter, defaultdict

NAME = re.compile(rb"(s2x|x2s) n(\d+) pair(\d+) seq(\d+)")


class Message:
    """One message in its sender's and its receiver's book."""
    __slots__ = ("direction", "number", "pair", "seq", "sent", "life", "answer", "again", "arrivals", "stored")

    def __init__(self, direction, number, pair, seq, sent, life):
        self.direction, self.number, self.pair, self.seq, self.sent, self.life = direction, number, pair, seq, sent, life
        self.answer = None  # of a SIP sender: a status; of an XMPP sender: an error's condition; "cut": the link or the gateway was gone first
        self.again = False  # its sender repeated it to another life of the gateway
        self.arrivals = []  # the far side's ids of each arrival
        self.stored = False  # found in the ledger after a kill

    @property
    def text(self):
        return f"{self.direction} n{self.number} pair{self.pair} seq{self.seq}"

    @property
    def accepted(self):
        """Whether the gateway has taken it on: a 2xx, or its ledger said so."""
        return self.stored or (self.direction == "s2x" and isinstance(self.answer, int) and self.answer < 300)

    @property
    def refused(self):
        return self.answer is not None and self.answer != "cut" and not self.accepted


class Books:
    def __init__(self):
        self.messages = {}
        self.seqs = Counter()
        self.notices = Counter()  # by pair: failures that a SIP sender was told of after acceptance
        self.first = defaultdict(list)  # by direction and pair: first arrivals, in their order
        self.problems = []

    def new(self, direction, pair, now, life):
        number = len(self.messages)
        self.seqs[direction, pair] += 1
        message = Message(direction, number, pair, self.seqs[direction, pair], now, life)
        self.messages[number] = message
        return message

    def find(self, text):
        found = NAME.search(text)
        return self.messages.get(int(found[2])) if found else None

    def arrived(self, message, ids):
        if not message.arrivals:
            self.first[message.direction, message.pair].append(message)
        message.arrivals.append(ids)

    def problem(self, text):
        self.problems.append(text)

    # ------------------------------------------------------------------------------------------------ the judgement

    def after_kill(self, life, found, killed):
        """The ledger of a dead gateway must hold all that was accepted and has not arrived."""
        stored = found.stored
        for number in stored:
            self.messages[number].stored = True
        for message in self.messages.values():
            if message.accepted and not message.arrivals and message.number not in stored and not self.told(message):
                self.problem(f"life {life}: {message.text} was accepted ({message.answer}) and is not in the ledger")
        # What an XMPP sender's stream lost is the end of what it sent: nothing kept stands behind something lost.
        kept = {}
        for message in self.messages.values():
            if message.direction == "x2s" and (message.arrivals or message.number in stored):
                kept[message.pair] = max(kept.get(message.pair, 0), message.seq)
        for message in self.messages.values():
            if message.direction == "x2s" and message.life == life and not message.arrivals and message.answer is None \
                    and message.number not in stored and message.number not in found.told:
                if message.seq < kept.get(message.pair, 0):
                    self.problem(f"life {life}: {message.text} is lost though a later one of its pair was kept")
                elif killed - message.sent > LOST_AGE:
                    self.problem(f"life {life}: {message.text} was lost {killed - message.sent:.1f} s after it was sent")
                message.answer = "cut"
        for message in self.messages.values():
            if message.direction == "s2x" and message.answer is None and not message.again:
                message.answer = "cut"

    def server_died(self, now):
        """What an XMPP server had on its way to the gateway dies with it, whatever comes later."""
        for message in self.messages.values():
            if message.direction == "x2s" and not message.arrivals and message.answer is None and now - message.sent < 2:
                message.answer = "cut"

    def refusals(self):
        """Why messages were refused."""
        return Counter(str(message.answer) for message in self.messages.values() if message.refused)

    def told(self, message):
        return message.direction == "s2x" and self.notices[message.pair] > 0

    def close(self, repeats):
        """What must hold at the end, when nothing is pending; `repeats` counts, by far-side id, what the gateway flagged."""
        count = Counter()
        for message in self.messages.values():
            arrivals = len(message.arrivals)
            count["sent"] += 1
            count["accepted"] += message.accepted
            count["refused"] += message.refused
            count["arrived"] += arrivals > 0
            count["refused and arrived"] += message.refused and arrivals > 0
            count["lost before acceptance"] += message.answer == "cut" and not arrivals and not message.accepted
            if message.accepted and not arrivals:
                if message.refused or self.told(message):
                    count["failed and told"] += 1
                else:
                    count["lost in silence"] += 1
                    self.problem(f"{message.text} was accepted ({message.answer}) and never arrived")
            if arrivals > 1:
                count["arrived twice"] += 1
                if len(set(message.arrivals)) > 1:
                    count["unflagged"] += 1
                    self.problem(f"{message.text} arrived under several ids: {message.arrivals}")
                elif repeats[message.arrivals[0] if message.direction == "s2x" else f"n{message.number}"] < arrivals - 1:
                    count["unflagged"] += 1
                    self.problem(f"{message.text} arrived {arrivals} times and the gateway flagged "
                                 f"{repeats[message.arrivals[0]]} of them; its sender repeated it: {message.again}")
                else:
                    count["twice by their sender" if message.again else "twice by the gateway"] += 1
        for (direction, pair), messages in self.first.items():
            for before, after in zip(messages, messages[1:]):
                if before.seq > after.seq:
                    count["out of order"] += 1
                    self.problem(f"{after.text} arrived behind seq{before.seq}")
        return count


# The write-ahead takes 20 ms and a group commit; a machine under load is slower, but not by that much.
LOST_AGE = 5.0
