"""Numbered frames: each arrives once and in order, over any number of connections, and no more than the receiver allows."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Frame = TypeVar("Frame")

#: Frames that may be under way before the receiver says more.
WINDOW = 1024


class Broken(Exception):
    """The other side does what none does; the code says what."""


@dataclass
class Outbox(Generic[Frame]):
    """Frames on their way out, kept until the other side has taken them."""

    allowed: int = 0
    first: int = 1
    written: int = 0
    frames: deque[Frame] = field(default_factory=deque)

    def push(self, frame: Frame) -> int:
        """Adds a frame; gives its number."""
        self.frames.append(frame)
        return self.first + len(self.frames) - 1

    def next(self, after: int) -> tuple[int, Frame] | None:
        """The frame to write behind `after`, if one is there and allowed."""
        number = max(self.first, after + 1)
        place = number - self.first
        if number > self.allowed or place >= len(self.frames):
            return None
        self.written = max(self.written, number)
        return number, self.frames[place]

    def received(self, number: int, allowed: int) -> None:
        """The other side has taken the frames up to `number`, and allows those up to `allowed`."""
        if number > self.written:
            raise Broken("unsolicited")
        while self.first <= number:
            self.frames.popleft()
            self.first += 1
        self.allowed = max(self.allowed, allowed)


@dataclass
class Inbox:
    """Which frames of the other side were taken."""

    taken: int = 0
    told: int = 0

    def take(self, number: int) -> bool:
        """Takes a frame by its number: true if it is new."""
        if number > self.told + WINDOW:
            raise Broken("flood")
        if number > self.taken + 1:
            raise Broken("malformed")
        if number <= self.taken:
            return False
        self.taken = number
        return True

    def tell(self) -> tuple[int, int]:
        """What to tell: the last number that was taken, and the last that may be sent."""
        self.told = self.taken
        return self.told, self.told + WINDOW

    @property
    def wants_to_tell(self) -> bool:
        return self.taken >= self.told + WINDOW // 4
