"""Subtitle files as they are found: texts, and the cues that each of them holds."""

Times = list[tuple[float, float, str]]
"""Start and end in seconds, and the text."""

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:03,000 --> 00:00:04,000\nBye.\n"
HELLO: Times = [(1.0, 2.5, "Hello there."), (3.0, 4.0, "Bye.")]


def srt(*cues: str) -> str:
    """SubRip of bodies, one a second."""
    return "".join(
        f"{n}\n00:00:{n:02d},000 --> 00:00:{n:02d},900\n{body}\n\n"
        for n, body in enumerate(cues, 1)
    )


ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def ass(*texts: str, start: str = "0:00:01.00", end: str = "0:00:03.00") -> str:
    return ASS + "".join(f"Dialogue: 0,{start},{end},Default,,0,0,0,,{text}\n" for text in texts)


ODDITIES: dict[str, tuple[str, Times]] = {
    "plain": (SRT, HELLO),
    "crlf": (SRT.replace("\n", "\r\n"), HELLO),
    "cr": (SRT.replace("\n", "\r"), HELLO),
    "doubled cr": (SRT.replace("\n", "\r\r\n"), HELLO),
    "byte order mark inside": ("\ufeff" + SRT, HELLO),
    "points": (SRT.replace(",000", ".000").replace(",500", ".500"), HELLO),
    "no numbers": (SRT.replace("1\n00", "00").replace("2\n00", "00"), HELLO),
    "no blank lines": (SRT.replace("\n\n", "\n"), HELLO),
    "many blank lines": (SRT.replace("\n\n", "\n\n\n\n").replace("500\n", "500\n\n"), HELLO),
    "spaces": (SRT.replace(" --> ", "   -->").replace("00:00:03", " 00 : 00 : 03"), HELLO),
    "one digit": ("1\n0:0:1,0 --> 0:0:2,5\nHello there.\n\n2\n0:0:3,0 --> 0:0:4,0\nBye.\n", HELLO),
    "no hours": (SRT.replace("00:00:0", "00:0"), HELLO),
    "no fractions": (SRT.replace(",000", "").replace(",500", ",5"), HELLO),
    "other arrows": (SRT.replace("-->", "->", 1).replace("-->", "\u2192"), HELLO),
    "colon before ms": (SRT.replace(",000", ":000").replace(",500", ":500"), HELLO),
    "coordinates": (SRT.replace("2,500", "2,500 X1:10 X2:20 Y1:1 Y2:2"), HELLO),
    "wrong numbers": (SRT.replace("2\n00", "77\n00"), HELLO),
    "order": (SRT[SRT.index("2\n00") :] + "\n" + SRT[: SRT.index("2\n00")], HELLO),
    "text ends in a number": (
        "1\n00:00:01,000 --> 00:00:02,000\nRoom\n101\n\n2\n00:00:03,000 --> 00:00:04,000\n3\n",
        [(1.0, 2.0, "Room 101"), (3.0, 4.0, "3")],
    ),
    "a number is the text": (srt("3", "2", "1"), [(1, 1.9, "3"), (2, 2.9, "2"), (3, 3.9, "1")]),
    "no text": (srt("", "a"), [(2.0, 2.9, "a")]),
    "blank line in text": (srt("a\n\nb"), [(1.0, 1.9, "a b")]),
    "times in text": (
        srt("12:30 -> 13:00 lunch\n10:30, 11:45"),
        [(1.0, 1.9, "12:30 -> 13:00 lunch 10:30, 11:45")],
    ),
    "text behind times": ("00:00:01,000 --> 00:00:02,000 Hello\n", [(1.0, 2.0, "Hello")]),
    "hundred hours": ("100:00:00,000 --> 100:00:01,000\na\n", [(360000.0, 360001.0, "a")]),
    "html": (
        srt('<i>one</i> <B>two</B> <font color="#ff0">three</font><br/>four < i >five</ i >'),
        [(1.0, 1.9, "one two three four five")],
    ),
    "unclosed": (srt("<i>one", "</i>two"), [(1.0, 1.9, "one"), (2.0, 2.9, "two")]),
    "no tags": (srt("<sigh> I <3 you, 1 < 2 > 0"), [(1.0, 1.9, "<sigh> I <3 you, 1 < 2 > 0")]),
    "entities": (
        srt("Q&amp;A &lt;b&gt; &#39;x&#x27; &nbsp;R&B AT&T; &copy"),
        [(1.0, 1.9, "Q&A <b> 'x' R&B AT&T; &copy")],
    ),
    "overrides in SubRip": (
        srt("{\\an8}Top{\\pos(1,2)} {Y:i}end {smile}"),
        [(1.0, 1.9, "Top end {smile}")],
    ),
    "line marks": (srt("one\\Ntwo\\hthree C:\\New"), [(1.0, 1.9, "one two three C:\\New")]),
    "heard": (
        srt("[door slams]", "(MUSIC) \u266a la \u266a"),
        [(1, 1.9, "[door slams]"), (2, 2.9, "(MUSIC) \u266a la \u266a")],
    ),
    "direction marks": (
        srt("\u202b\u05e9\u05dc\u05d5\u05dd\u202c\u200f"),
        [(1.0, 1.9, "\u05e9\u05dc\u05d5\u05dd")],
    ),
    "backwards": ("00:00:05,000 --> 00:00:02,000\nabc\n", [(5.0, 6.0, "abc")]),
    "backwards, then another": (
        "00:00:05,000 --> 00:00:02,000\nabc\n\n00:00:05,400 --> 00:00:06,000\nd\n",
        [(5.0, 5.4, "abc"), (5.4, 6.0, "d")],
    ),
    "negative": (
        "-00:00:05,000 --> 00:00:00,500\nin\n\n-00:00:05,000 --> -00:00:03,000\nout\n",
        [(0.0, 0.5, "in")],
    ),
    "overlapping": (
        "00:00:01,000 --> 00:00:05,000\na\n\n00:00:02,000 --> 00:00:03,000\nb\n",
        [(1.0, 5.0, "a"), (2.0, 3.0, "b")],
    ),
    "said twice": (srt("No!", "No!"), [(1.0, 1.9, "No!"), (2.0, 2.9, "No!")]),
    "webvtt": (
        "WEBVTT - title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:a\n\n"
        "NOTE not shown\n00:00.000 --> 00:01.000\nno\n\nid\n00:01.000 --> 00:02.500 align:start\n"
        "Hello there.\n\n2\n00:00:03.000 --> 00:00:04.000\nBye.\n\nNOTE the end\n",
        HELLO,
    ),
    "voices": (
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<v.loud Fred Boy>Hi &lt;</v>\n<v Ann>Ho\n",
        [(1.0, 2.0, "Fred Boy: Hi <"), (1.0, 2.0, "Ann: Ho")],
    ),
    "ruby and classes": (
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<c.a.b>x</c><lang en>y</lang>"
        "<ruby>\u6f22<rt>kan</rt></ruby>\n",
        [(1.0, 2.0, "xy\u6f22")],
    ),
    "ass": (
        ass("{\\an8\\i1}One{\\i0}, two\\Nthree\\hfour\\nfive {comment}"),
        [(1.0, 3.0, "One, two three four five")],
    ),
    "ass comment line": (
        ASS + "Comment: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,no\n" + ass("yes")[len(ASS) :],
        [(1.0, 3.0, "yes")],
    ),
    "ass drawing": (ass("{\\p1}m 0 0 l 1 1{\\p0}Text", "{\\p2}m 0 0"), [(1.0, 3.0, "Text")]),
    "ass position is no drawing": (ass("{\\pos(1,2)\\pbo10}Text"), [(1.0, 3.0, "Text")]),
    "ass layers": (ass("Text", "{\\blur3}Text"), [(1.0, 3.0, "Text")]),
    "ass bad line": (ass("Text") + "Dialogue: broken\n", [(1.0, 3.0, "Text")]),
    "ass other order": (
        "[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:03.00,a, b\n",
        [(1.0, 3.0, "a, b")],
    ),
    "ass animation": (
        "".join(
            [
                ASS,
                *(
                    ass("Fade", start=f"0:00:01.{n:02d}", end=f"0:00:01.{n + 4:02d}")[len(ASS) :]
                    for n in range(0, 20, 4)
                ),
            ]
        ),
        [(1.0, 1.2, "Fade")],
    ),
    "microdvd": (
        "{1}{1}25\n{25}{50}{y:i}One|two\n{75}{100}Bye\n",
        [(1, 2, "One two"), (3, 4, "Bye")],
    ),
    "mpl2": ("[10][25]/One|two\n[30][40]Bye\n", [(1.0, 2.5, "One two"), (3.0, 4.0, "Bye")]),
    "subviewer": ("00:00:01.00,00:00:03.00\nOne[br]two\n", [(1.0, 3.0, "One two")]),
    "sbv": ("0:00:01.000,0:00:03.000\nOne\ntwo\n", [(1.0, 3.0, "One two")]),
    "sami": (
        "<SAMI><BODY><SYNC Start=1000><P Class=E>One<br><b>two</b><P Class=D>Eins"
        "<SYNC Start=2000><P Class=E>&nbsp;<SYNC Start=3000><P Class=E>Bye<SYNC Start=4000><P>"
        "</BODY></SAMI>",
        [(1.0, 2.0, "One two"), (3.0, 4.0, "Bye")],
    ),
    "ttml": (
        '<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
        '<p begin="00:00:01.500" end="2s">One<br/>&amp; two</p></div></body></tt>',
        [(1.5, 2.0, "One & two")],
    ),
}
