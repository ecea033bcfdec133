"""A stdio MCP server (revision 2025-11-25) that does what servers should not do."""

import hashlib
import json
import os
import subprocess
import sys
import time

out = sys.stdout.buffer


def send(message):
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def text(value):
    return {"content": [{"type": "text", "text": value}], "isError": False}


TOOLS = [
    "echo", "environment", "hang", "die", "die_quietly", "garbage", "flood", "huge", "grandchild",
    "malformed", "wrong_id", "protocol_error", "question", "change", "slow", "raw", "escape",
    "calls", "leak_in_error", "lease", "orphan",
]
more_tools = []
calls = []


def call(identifier, name, arguments):
    calls.append(name)
    if name == "echo":
        return text(arguments.get("text", ""))
    if name == "environment":
        return text(json.dumps(dict(os.environ)))
    if name == "lease":
        key = os.environ["AWS_ACCESS_KEY_ID"].encode()
        return text(json.dumps({"key_digest": hashlib.sha256(key).hexdigest(),
                                "region": os.environ["AWS_REGION"]}))
    if name == "calls":
        return text(json.dumps(calls))
    if name == "hang":
        time.sleep(10000)
    if name == "slow":
        time.sleep(arguments.get("seconds", 1))
        return text("done")
    if name == "die":
        sys.stderr.write("last words: %s\n" % arguments.get("text", "the disk is on fire"))
        sys.stderr.flush()
        os._exit(7)
    if name == "die_quietly":
        os._exit(0)
    if name == "garbage":
        out.write(b"this is no JSON\n\xff\xfe\x00\n{\"half\": \n[]\n\"text\"\n\n")
        out.flush()
        return text("after the garbage")
    if name == "flood":
        for _ in range(20000):
            send({"jsonrpc": "2.0", "method": "notifications/message",
                  "params": {"level": "info", "data": "x" * 100}})
        return text("after the flood")
    if name == "huge":
        return text("x" * arguments.get("bytes", 20_000_000))
    if name == "orphan":
        # It leaves the group and keeps our stdout open.
        child = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL,
                                 start_new_session=True)
        sys.stderr.write("orphan %d\n" % child.pid)
        sys.stderr.flush()
        os._exit(3)
    if name == "grandchild":
        child = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return text(str(child.pid))
    if name == "malformed":
        return {"nothing": "of use"}
    if name == "wrong_id":
        send({"jsonrpc": "2.0", "id": identifier + 1000, "result": text("for somebody else")})
        send({"jsonrpc": "2.0", "id": identifier - 1, "result": text("for somebody before")})
        return text("for you")
    if name == "protocol_error":
        send({"jsonrpc": "2.0", "id": identifier,
              "error": {"code": -32602, "message": "no such argument", "data": arguments}})
        return None
    if name == "leak_in_error":
        send({"jsonrpc": "2.0", "id": identifier,
              "error": {"code": -32000, "message": "failed with " + arguments["text"]}})
        return None
    if name == "question":
        send({"jsonrpc": "2.0", "id": 77, "method": "sampling/createMessage", "params": {
            "messages": [{"role": "user", "content": {"type": "text", "text": "tell me"}}],
            "maxTokens": 10}})
        answer = json.loads(sys.stdin.readline())
        return text("answered with " + ("an error" if "error" in answer else "a result"))
    if name == "change":
        more_tools.append("brand_new")
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        return text("changed")
    if name == "raw":
        # What is given, as raw bytes of the frame.
        line = '{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"%s"}]}}\n'
        out.write((line % (identifier, arguments["text"])).encode())
        out.flush()
        return None
    if name == "escape":
        value = "".join("\\u%04x" % ord(c) for c in arguments["text"])
        line = '{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"%s"}]}}\n'
        out.write((line % (identifier, value)).encode())
        out.flush()
        return None
    return {"content": [{"type": "text", "text": "unknown tool"}], "isError": True}


if "--die-at-start" in sys.argv:
    sys.stderr.write("ModuleNotFoundError: No module named 'fastmcp'\n")
    sys.exit(1)
if "--no-server" in sys.argv:
    for line in sys.stdin:
        pass
    sys.exit(0)
if "--ignore-eof" in sys.argv:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

while True:
    line = sys.stdin.readline()
    if not line:
        if "--ignore-eof" in sys.argv:
            time.sleep(10000)
        break
    message = json.loads(line)
    method, identifier = message.get("method"), message.get("id")
    if method == "notifications/cancelled":
        calls.append("cancelled")
    if identifier is None or method is None:
        continue
    if method == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": True}},
                  "serverInfo": {"name": "odd", "version": "1"}}
    elif method == "tools/list":
        if "--endless" in sys.argv:
            page = int(message.get("params", {}).get("cursor") or 0)
            send({"jsonrpc": "2.0", "id": identifier, "result": {
                "tools": [{"name": "echo%d" % page, "inputSchema": {"type": "object"}}],
                "nextCursor": str(page + 1)}})
            continue
        result = {"tools": [
            {"name": name, "description": "odd " + os.environ.get("AWS_SESSION_TOKEN", ""), "inputSchema": {"type": "object"}}
            for name in TOOLS + more_tools]}
    elif method == "tools/call":
        result = call(identifier, message["params"]["name"], message["params"].get("arguments", {}))
    else:
        send({"jsonrpc": "2.0", "id": identifier,
              "error": {"code": -32601, "message": "no such method"}})
        continue
    if result is not None:
        send({"jsonrpc": "2.0", "id": identifier, "result": result})
