"""What the reader of plots makes of English."""

import pytest

from storyreel.writing.clauses import split_sentences
from storyreel.writing.plot import read_plot


def deeds(plot):
    return [event.deeds for event in read_plot(split_sentences(plot))[0]]


def told(plot):
    return [str(finding) for finding in read_plot(split_sentences(plot))[1]]


@pytest.mark.parametrize(
    ("plot", "expected"),
    [
        ("A cat eats a pie.", ["Biscuit eat pie"]),
        ("The kitten is eating the cake.", ["Biscuit eat cake"]),
        ("The ball is stolen by a puppy.", ["Bruno get ball"]),
        ("A cat sleeps while a mouse takes the cheese.", ["Biscuit sleep & Pip get cheese"]),
        ("The dog and the rabbit dance.", ["Bruno dance & Clover dance"]),
        ("The dog gives the ball to the duck.", ["Bruno give ball>Waddle"]),
        ("A mouse runs away. The cat chases it.", ["Pip flee & Biscuit chase Pip"]),
        ("A mouse picks up the key. She drops it.", ["Pip get key", "Pip put key"]),
        ("The dog falls asleep. He wakes up.", ["Bruno sleep", "Bruno jump:surprised"]),
        ("The rabbit laughs happily.", ["Clover laugh:happy"]),
        ("The sad duck walks in.", ["Waddle in:sad"]),
        ("Cat and mouse see a dog. They race.", ["Biscuit look Bruno & Pip look Bruno", "Biscuit race & Pip race"]),
        ("Biscuit waves to Pip.", ["Biscuit wave Pip"]),
        ("The cat decides to hide.", ["Biscuit hide"]),
    ],
)
def test_sentences_become_deeds(plot, expected):
    assert deeds(plot) == expected


def test_going_somewhere_is_a_new_place():
    events, _ = read_plot(split_sentences("A dog sits in the kitchen. It runs to the beach."))
    assert [(event.place, event.deeds) for event in events] == [
        ("kitchen", "Bruno sit"), ("kitchen", "Bruno runout"), ("beach", "Bruno runin"),
    ]  # fmt: skip


def test_night_and_place_are_told_by_a_sentence_of_their_own():
    events, findings = read_plot(split_sentences("It is night in the forest. A rabbit dances."))
    assert [(event.place, event.time) for event in events] == [("forest", "night")]
    assert findings == []


def test_a_name_is_bound_to_its_species():
    plot = "Tom the cat sleeps in the bedroom. Jerry, a clever little mouse, takes the cheese. Tom chases Jerry."
    assert deeds(plot) == ["Biscuit sleep", "Pip get cheese", "Pip flee & Biscuit chase Pip"]
    assert any("Tom is drawn as Biscuit the orange cat" in line for line in told(plot))


@pytest.mark.parametrize(
    ("plot", "line"),
    [
        ("A dragon eats a pie in the kitchen.", '"dragon" cannot be drawn; Waddle the yellow duck plays the part'),
        ("A cat steals the crown in the street.", '"crown" cannot be drawn; the key is shown instead'),
        ("A cat eats a sandwich in the kitchen.", '"sandwich" is drawn as the pie'),
        ("A cat sits in a house.", '"house" is drawn as the living room'),
        ("A spaniel sits in the garden.", '"spaniel" is drawn as Bruno the brown dog'),
        ("A black cat sits in the garden.", "the cat cannot be black: Biscuit is always orange"),
        ("Two cats sit in the garden.", "there is one cat only"),
        ("A cat sings in the garden.", '"sings" is drawn as something near: dances'),
        ("A cat does not jump in the garden.", "cannot be drawn"),
        ('"Hello," says the cat in the garden.', "speech cannot be drawn"),
        ("A cat sits.", "no place is told; the story plays in the garden"),
        ("A cat sits in the garden. Physics rules.", "nothing that can be drawn happens"),
        ("A cat sits in the kitchn.", '"kitchn" has no picture in the cartoon and is left out. Nearest known: kitchen'),
        ("Cat, mouse, dog, rabbit and duck sit in the garden. A dragon jumps.", "all five of the cast have a part"),
    ],
)
def test_what_is_not_drawn_as_it_is_told_is_said(plot, line):
    assert any(line in own for own in told(plot)), told(plot)


def test_a_plot_as_the_examples_say_it_has_no_findings():
    plot = "A cat eats a pie in the kitchen. A mouse watches. The mouse steals the pie and leaves. The cat chases it."
    assert told(plot) == []
