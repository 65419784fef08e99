"""What an agent sees of a library: `seal mcp`, started and called from Python.

python examples/mcp_client.py STORE QUERY
"""

import argparse
import asyncio
import os
import sys

from mcp import Client, StdioServerParameters


async def ask(store: str, query: str) -> None:
    arguments = ["-m", "seal.cli", "mcp", "--store", store]
    # The client hands on only a few variables by itself, and SEAL_ANSWERER is none of them.
    server = StdioServerParameters(command=sys.executable, args=arguments, env={**os.environ})
    async with Client(server) as client:
        tools = await client.list_tools()
        print("tools:", ", ".join(tool.name for tool in tools.tools))
        found = await client.call_tool("find", {"query": query, "top": 3})
    if found.is_error:
        sys.exit("\n".join(part.text for part in found.content))
    for moment in found.structured_content["moments"]:
        print(moment["video"], moment["start_s"], moment["end_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("query")
    given = parser.parse_args()
    asyncio.run(ask(given.store, given.query))


if __name__ == "__main__":
    main()
