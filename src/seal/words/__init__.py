"""Words: what is said, what the subtitles say, what is written in the picture.

cue         one stretch of words with its times, and the interfaces of back ends
subtitles   those in a file and beside it
sentences   cues split and joined to utterances, the size of a speech token
hearing     what is said in one part of a video, by speech recognition
whisper     a back end for it
loops       words that a recogniser repeats without end
"""

from seal.words.cue import Cue, Line, TextReader, Transcriber, Transcript, Word

__all__ = ["Cue", "Line", "TextReader", "Transcriber", "Transcript", "Word"]
