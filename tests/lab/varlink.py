"""A Varlink client that knows nothing of keepalived: varlink.org's framing and calls, by their description only.

varlink.py SOCKET call METHOD [PARAMETERS]     one answer, as a line
varlink.py SOCKET more METHOD COUNT [PARAMETERS]   so many answers, a line each
varlink.py SOCKET hammer METHOD PER_SECOND SECONDS   how many were answered, how many refused
varlink.py SOCKET burst METHOD COUNT   the same of so many calls at once
varlink.py SOCKET raw HEX                      bytes as they are; how many bytes came back before the end
"""
import json
import socket
import sys
import time


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(15)
        self.socket.connect(path)
        self.rest = b""

    def send(self, method, parameters=None, **flags):
        call = {"method": method, **flags}
        if parameters is not None:
            call["parameters"] = parameters
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def receive(self):
        while b"\0" not in self.rest:
            got = self.socket.recv(65536)
            if not got:
                sys.exit("the connection ended")
            self.rest += got
        answer, self.rest = self.rest.split(b"\0", 1)
        return json.loads(answer)


def main():
    path, what, *rest = sys.argv[1:]
    connection = Connection(path)
    if what == "call":
        connection.send(rest[0], json.loads(rest[1]) if rest[1:] else None)
        print(json.dumps(connection.receive()))
    elif what == "more":
        connection.send(rest[0], json.loads(rest[2]) if rest[2:] else None, more=True)
        for _ in range(int(rest[1])):
            print(json.dumps(connection.receive()), flush=True)
    elif what == "hammer":
        due = time.monotonic()
        refused = 0
        for _ in range(int(rest[1]) * int(rest[2])):
            # What is late is not made up for: never more than so many a second.
            due = max(due + 1 / int(rest[1]), time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            connection.send(rest[0])
            refused += "error" in connection.receive()
        print(json.dumps({"answered": int(rest[1]) * int(rest[2]) - refused, "refused": refused}))
    elif what == "burst":
        count = int(rest[1])
        connection.socket.sendall((json.dumps({"method": rest[0]}).encode() + b"\0") * count)
        refused = sum("error" in connection.receive() for _ in range(count))
        print(json.dumps({"answered": count - refused, "refused": refused}))
    else:
        try:
            connection.socket.sendall(bytes.fromhex(rest[0]))
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = 0
        try:
            while part := connection.socket.recv(65536):
                got += len(part)
        except ConnectionError:
            pass
        print(got)


main()
