"""Clips of a study, made alike: within a story they differ in their pictures and in nothing else.

`source` looks at the videos as given, `shape` says what a story's clips have in common, `encode` makes coded pictures,
`pack` files of them whose bytes outside the pictures are equal, `boxes` reads MP4 boxes, `library` keeps the files.
"""
