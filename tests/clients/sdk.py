"""The same calls with the Python SDK. Arguments: mode, then the server's command line."""

import asyncio
import json
import os
import sys

from mcp import Client, MCPError, StdioServerParameters


async def main():
    mode, command, *arguments = sys.argv[1:]
    server = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with Client(server, mode=mode) as client:
        tools = await client.list_tools()
        native = await client.call_tool("ecs_list_clusters", {})
        served = await client.call_tool(
            "ecs__ecs_resource_management", {"api_operation": "ListClusters"}
        )
        denied = await client.call_tool(
            "ecs__ecs_resource_management", {"api_operation": "DeleteCluster"}
        )
        try:
            await client.call_tool("no_such_tool", {})
            unknown = False
        except MCPError:
            unknown = True
        print(json.dumps({
            "revision": client.protocol_version,
            "tools": len(tools.tools),
            "native": native.structured_content,
            "served": served.content[0].text,
            "denied": denied.is_error and "Denied by policy" in denied.content[0].text,
            "unknown": unknown,
        }))


asyncio.run(main())
