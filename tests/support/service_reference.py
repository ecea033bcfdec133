"""A CONNECT proxy on the loopback interface that serves AWS's service reference, which
awslabs.aws-api-mcp-server needs at its start, from botocore's models, under a certificate
authority of its own. Any other host is refused. Prints the proxy's URL and the authority's file."""

import json
import os
import socket
import ssl
import tempfile
import threading

import botocore.session
import trustme

HOST = "servicereference.us-east-1.amazonaws.com"
READS = ("Get", "List", "Describe", "BatchGet", "Filter", "Search", "Lookup", "Head")
SERVICES = ("ecs", "logs", "sts", "iam", "secretsmanager", "ec2", "s3")

folder = tempfile.mkdtemp()
authority = trustme.CA()
authority_file = os.path.join(folder, "ca.pem")
authority.cert_pem.write_to_path(authority_file)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert(HOST).configure_cert(context)
session = botocore.session.get_session()


def document(path):
    if path in ("/", ""):
        return [{"service": s, "url": f"https://{HOST}/v1/{s}/{s}.json"} for s in SERVICES]
    service = path.split("/")[2]
    operations = session.get_service_model(service).operation_names
    return {"Name": service, "Version": "v1", "Actions": [
        {"Name": o, "Annotations": {"Properties": {"IsWrite": not o.startswith(READS)}}}
        for o in operations]}


def head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(4096)
        if not more:
            return ""
        data += more
    return data.split(b"\r\n")[0].decode()


def serve(connection):
    try:
        if not head(connection).startswith(f"CONNECT {HOST}:443"):
            connection.sendall(b"HTTP/1.1 403 Blocked\r\nContent-Length: 0\r\n\r\n")
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as secure:
            body = json.dumps(document(head(secure).split()[1])).encode()
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
    except (OSError, IndexError):
        pass
    finally:
        connection.close()


listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]} {authority_file}", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
