#!/usr/bin/env python3
"""An independent speaker of VRRP with auth_hmac: signs and verifies with Python's own hmac, shares no code with the suite.

  hmac_peer.py verify FAMILY COUNT ID=HEXKEY...   judges COUNT adverts from eth0; one line each, "good" or why not
  hmac_peer.py send SOURCE PRIORITY HOW SECONDS ID HEXKEY   sends an advert every 0.2 s
      HOW: signed, unsigned, wrongkey, unknown, stale, flipped, malformed, replay (one signed advert over and over)
"""
import hashlib, hmac, socket, struct, sys, time

VRID, INTERVAL, VIP = 51, 20, "10.77.0.50"
GROUP4, GROUP6 = "224.0.0.18", "ff02::12"


def fold(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def digest(key, family, source, message, head):
    packed = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, source)
    pseudo = bytes([family, message[0] >> 4, message[1], 0]) + packed.ljust(16, b"\0")
    bare = message[:6] + b"\0\0" + message[8:]
    return hmac.new(key, pseudo + bare + head + bytes(16), hashlib.sha256).digest()[:16]


def judge(family, source, destination, payload, keys, last):
    size = 4 if family == 4 else 16
    length = 8 + payload[3] * size + (8 if payload[0] >> 4 == 2 else 0)
    if len(payload) != length + 28:
        return "length %d, expected %d" % (len(payload), length + 28), last
    message, trailer = payload[:length], payload[length:]
    if family == 4:
        pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 112, length)
        covered = message if payload[0] >> 4 == 2 else pseudo + message
    else:
        pair = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
        covered = pair + struct.pack("!II", len(payload), 112) + payload
    if fold(covered) != 0:
        return "checksum", last
    kind, key_id, zero, seconds, fraction, tie = struct.unpack("!BBHIHH", trailer[:12])
    if (kind, zero) != (1, 0):
        return "malformed", last
    if key_id not in keys:
        return "unknown key %d" % key_id, last
    if abs(time.time() - seconds) > 3:
        return "stale by %.1f s" % (time.time() - seconds), last
    if digest(keys[key_id], family, source, message, trailer[:12]) != trailer[12:]:
        return "digest", last
    stamp = (seconds << 32) | (fraction << 16) | tie
    if stamp <= last:
        return "not later than the one before", last
    return "good key %d priority %d" % (key_id, message[2]), stamp


def verify(family, count, keys):
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    sock = socket.socket(kind, socket.SOCK_RAW, 112)
    index = socket.if_nametoindex("eth0")
    if family == 4:
        request = socket.inet_aton(GROUP4) + struct.pack("=4si", b"\0" * 4, index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    else:
        request = socket.inet_pton(socket.AF_INET6, GROUP6) + struct.pack("=i", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    sock.settimeout(10)
    last = 0
    for _ in range(count):
        data, address = sock.recvfrom(4096)
        if family == 4:
            source, destination = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
            data = data[(data[0] & 15) * 4:]
        else:
            source, destination = address[0].split("%")[0], GROUP6
        verdict, last = judge(family, source, destination, data, keys, last)
        print(verdict, flush=True)


def send(source, priority, how, seconds, key_id, key):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    sock.bind((source, 0))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    end, kept, tie = time.time() + seconds, None, 0
    while time.time() < end:
        message = struct.pack("!BBBBHH", 0x31, VRID, priority, 1, INTERVAL, 0) + socket.inet_aton(VIP)
        pseudo = socket.inet_aton(source) + socket.inet_aton(GROUP4) + struct.pack("!BBH", 0, 112, len(message))
        message = message[:6] + struct.pack("!H", fold(pseudo + message)) + message[8:]
        now = time.time() - (60 if how == "stale" else 0)
        number = 99 if how == "unknown" else key_id
        zero = 7 if how == "malformed" else 0
        head = struct.pack("!BBHIHH", 1, number, zero, int(now), int(now % 1 * 65536), tie)
        code = digest(b"x" * 32 if how == "wrongkey" else key, 4, source, message, head)
        if how == "flipped":
            code = bytes([code[0] ^ 1]) + code[1:]
        frame = message if how == "unsigned" else message + head + code
        if how == "replay":
            kept = frame = kept or frame
        sock.sendto(frame, (GROUP4, 0))
        time.sleep(0.2)


if sys.argv[1] == "verify":
    pairs = (word.split("=") for word in sys.argv[4:])
    verify(int(sys.argv[2]), int(sys.argv[3]), {int(number): bytes.fromhex(key) for number, key in pairs})
else:
    source, priority, how, seconds, number, key = sys.argv[2:]
    send(source, int(priority), how, float(seconds), int(number), bytes.fromhex(key))
