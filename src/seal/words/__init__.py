"""Words: what is said, what the subtitles say, what is written in the picture.

cue         one stretch of words with its times, and the interfaces of back ends
subtitles   those in a file and beside it
sentences   cues split and joined to utterances, the size of a speech token
whisper     speech recognition
rapidocr, tesseract   readers of on-screen text
page        pictures in the sizes that readers take
layout      lines of text: reading order, paragraphs
alike       whether two readings are of one text
"""

from seal.words.cue import Cue, Line, TextReader, Transcriber, Transcript, Word

__all__ = ["Cue", "Line", "TextReader", "Transcriber", "Transcript", "Word"]
