"""People compare two videos of a story; their votes become ratings with intervals.

`study` says what is compared, `pairing` which pair a rater sees next, `votes` what is kept, `ratings` what follows
from it, `simulate` tries all of that with simulated raters.
"""
