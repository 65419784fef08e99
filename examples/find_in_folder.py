"""The best moments of all videos in a folder.

python examples/find_in_folder.py FOLDER QUERY [--top 5]
"""

import argparse
from pathlib import Path

import seal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("query")
    parser.add_argument("--top", type=int, default=5)
    given = parser.parse_args()
    library = seal.open(given.folder / ".seal")
    library.index(given.folder)  # Videos that are indexed already are skipped.
    found = library.find(given.query, top=given.top)
    if found.match is not None:
        print(f"{given.query}: {found.match.verdict} to be there")
    for moment in found.moments:
        video = library.by_id(moment.video)
        print(
            f"{video.path}\t{moment.span.start_s:.2f}\t{moment.span.end_s:.2f}\t{moment.score:.3f}"
        )


if __name__ == "__main__":
    main()
