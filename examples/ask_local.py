"""Ask a model on this machine about a video.

python examples/ask_local.py VIDEO QUESTION --server vllm --model Qwen/Qwen3-VL-8B-Instruct
python examples/ask_local.py VIDEO QUESTION --server ollama --model qwen3-vl

Start the model first, in a terminal of its own:

    vllm serve Qwen/Qwen3-VL-8B-Instruct --max-model-len 32768 --limit-mm-per-prompt '{"image": 16}'
    OLLAMA_CONTEXT_LENGTH=32768 ollama serve

Ollama cuts a prompt that is longer than its context, without an error: the variable makes the
context long enough for 16 pictures.
"""

import argparse

import seal

ADDRESSES = {"vllm": "http://localhost:8000/v1", "ollama": "http://localhost:11434/v1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("question")
    parser.add_argument("--server", choices=ADDRESSES, default="vllm")
    parser.add_argument("--model", required=True)
    parser.add_argument("--url", help="the address of the server, if it is another one")
    parser.add_argument("--budget", type=int, default=16, help="pictures that the model is shown")
    given = parser.parse_args()
    video = seal.open().index(given.video)
    answer = video.ask(
        given.question,
        answerer=f"openai:{given.model}",
        budget=given.budget,
        options={"answer.base_url": given.url or ADDRESSES[given.server]},
    )
    print(answer.text)
    # Several tokens may have one time.
    cited = answer.citations
    spans = zip(cited.start_s.tolist(), cited.end_s.tolist(), strict=True)
    for start_s, end_s in dict.fromkeys(spans):
        print(f"  rests on {start_s:.1f} to {end_s:.1f} s")
    for note in answer.notes:
        print(f"  note: {note}")


if __name__ == "__main__":
    main()
