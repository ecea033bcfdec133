"""An MCP server over HTTP that shows how it was signed for, in the place of the managed AWS MCP
server. Prints its URL."""

import socket

from fastmcp import FastMCP
from fastmcp.server.dependencies import get_http_headers

server = FastMCP("remote")


@server.tool
def aws___call_aws(cli_command: str) -> str:
    """Run an AWS CLI command."""
    headers = get_http_headers(include_all=True)
    return f"ran {cli_command}; signed: {headers.get('authorization')}; " \
           f"token: {headers.get('x-amz-security-token')}"


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
print(f"http://127.0.0.1:{port}/mcp", flush=True)
server.run(transport="http", host="127.0.0.1", port=port, show_banner=False)
